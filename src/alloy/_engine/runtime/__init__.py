"""How effects are performed: the only `await`, thread pool and sleep of the engine are here."""
