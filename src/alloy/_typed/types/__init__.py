"""Python types: annotations, parsers, validation, signatures and descriptions."""
