"""Alloy in front of servers that others wrote: `make test-servers`, which needs their packages."""
