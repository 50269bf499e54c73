"""Ollama: its own API, and its OpenAI-compatible one."""

# The families in Ollama's library that no other provider has; its `gpt-oss` is longer than OpenAI's `gpt-`.
PREFIXES = {
    "ollama": (
        "gpt-oss",
        "llama",
        "qwen",
        "qwq",
        "mistral",
        "mixtral",
        "gemma",
        "phi3",
        "phi4",
        "deepseek-r1",
        "codellama",
        "granite",
        "smollm",
        "llava",
        "devstral",
    ),
    "ollama-chat": (),
}
