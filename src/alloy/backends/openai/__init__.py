"""OpenAI: the Responses API, and Chat Completions for every compatible server."""
