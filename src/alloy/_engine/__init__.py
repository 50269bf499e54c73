"""One conversation, written once, with no I/O in it, and the four drivers that perform what it asks for."""
