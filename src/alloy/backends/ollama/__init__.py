"""Ollama: its own API, and its OpenAI-compatible one."""
