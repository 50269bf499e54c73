"""One suite: each behaviour is one test, which runs with every provider in four ways to call.

`script` has the answers of a model and the content of a request, in terms that do not depend on the
provider. `providers` and `local` convert them to each provider's format, `scripted_provider` joins a
provider, a server and a script, `table` has the rows of the support matrix, and `proofs` the tests that
prove its cells.
"""
