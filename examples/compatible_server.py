"""Any OpenAI-compatible server: vLLM, llama.cpp, LM Studio, OpenRouter, an Ollama server's /v1, ...

Needs the extra: pip install 'alloy-ai[openai]'. Set the address of the server in OPENAI_BASE_URL, or below.

Expected outcome: the server's model gives a typed answer. Offline (ALLOY_BACKEND=fake) it prints:

    City(name='Reykjavik', population=140000)
    model: openai-chat:qwen3-4b at http://127.0.0.1:8080/v1
"""

import os
from dataclasses import dataclass

from offline import offline

from alloy import command

SERVER = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
MODEL = os.environ.get("ALLOY_MODEL", "openai-chat:qwen3-4b")


@dataclass
class City:
    name: str
    population: int


@command(output=City, model=MODEL, base_url=SERVER, timeout=120)
def capital(country: str) -> str:
    return f"The capital of {country}, with its population to the nearest ten thousand."


def main() -> None:
    with offline(City("Reykjavik", 140_000)):
        print(capital("Iceland"))
    print(f"model: {MODEL} at {SERVER}")


if __name__ == "__main__":
    main()
