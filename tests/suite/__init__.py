"""One suite: each behaviour is one test, run on every provider in sync, async, stream and stream_async.

`saying` has the words that no provider owns: what a model says, and what was said to it. `providers` puts
them into each provider's own, `stage` plays them, `table` holds the rows of the support matrix, and
`conftest` collects which tests prove which of its cells.
"""
