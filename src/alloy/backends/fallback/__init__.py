"""Codecs round any backend that stand in for what a model lacks: tools, structured output."""
