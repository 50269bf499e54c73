"""Many inputs: `command.map(…)` makes one ordinary call of the command for each of them.

What a user sees: `for value in command.map(inputs, concurrency=32, checkpoint="run.sqlite")`, with
`.outcomes()` for values and errors with their inputs, and `.summary` for counts, usage and cost.

- `methods`: the methods `map` and `map_async` of commands, and their types
- `iterators`: `Map`, which asks by threads or by an executor of the caller
- `async_iterators`: `AsyncMap`, which asks by tasks of the running event loop
- `window`: which inputs are under way, and which outcome is read next
- `calls`: one call of a map, and what is recorded of it
- `outcomes`: `Outcome` and `MapSummary`
- `executors`: the calls in the executor of a caller, such as one of processes or of Dask
- `checkpoint`: the answers in a SQLite file
- `identity`, `fingerprints`: how a checkpoint knows a command and its inputs again
- `progress`: a bar in terminals and notebooks, otherwise lines in the log
"""
