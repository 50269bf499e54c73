"""Python types on the wire: schemas, the providers' dialects of them, and the way back to values."""
