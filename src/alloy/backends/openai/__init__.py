"""OpenAI: the Responses API, and Chat Completions for every compatible server."""

PREFIXES = {"openai": ("gpt-", "chatgpt-", "o1", "o3", "o4", "ft:gpt-"), "openai-chat": ()}
