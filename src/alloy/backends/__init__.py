"""The providers, one file each. `base.py` says what a backend is; nothing here is imported before it is needed."""
