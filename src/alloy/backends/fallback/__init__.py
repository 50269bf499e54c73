"""Codecs that wrap another backend's, and emulate what a model lacks: tools, structured output."""
