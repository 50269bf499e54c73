"""Readers of foreign text, on a kept corpus: replayed by pytest, mutated by `make fuzz`."""
