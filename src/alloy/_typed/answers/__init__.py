"""From a model's text to a value, whole or while it is still arriving."""
