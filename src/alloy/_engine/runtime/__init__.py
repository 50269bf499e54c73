"""How effects are performed: the engine's only `await`, its only thread pools and its only sleep are here."""
