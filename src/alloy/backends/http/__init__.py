"""What backends that are reached over HTTP share: the exchange, clients, event streams, errors."""
