"""Every provider and way to call, times every fault of a server or a network: `make test-faults`."""
