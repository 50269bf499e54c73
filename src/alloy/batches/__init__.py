"""Provider batches: `command.batch(…)` sends many calls, to be answered within a day at a lower price.

- `methods`: the methods `batch` and `batch_async` of commands
- `beginning`: a batch from its inputs to the answer that it has begun
- `collecting`: the calls of a batch, prepared and written as its entries
- `steps`: an operation of a batch, taken to its outcome in sync and async
- `batch`: `Batch`, by which a batch is watched, cancelled and read
- `matching`: which line of the results belongs to which input
"""
