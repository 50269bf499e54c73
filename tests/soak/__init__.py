"""Very many calls of all kinds at once, with faults and cancellations: `make soak`."""
