"""Models on this machine: GGUF files, run by llama.cpp through the package xllamacpp."""

PREFIXES: dict[str, tuple[str, ...]] = {"local": ()}
