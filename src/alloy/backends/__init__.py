"""The providers, a package each. `base` says what a backend is; nothing is imported before it is needed."""
