"""The names of OpenTelemetry's conventions for generative AI.

They are those of the package opentelemetry-semantic-conventions 0.66b2; a test compares them. The conventions
are in development (https://github.com/open-telemetry/semantic-conventions-genai), and the package moves its
names from time to time, so they are written down here.
"""

from __future__ import annotations

__all__ = [
    "ATTEMPT",
    "CACHED_TURNS",
    "CHAT",
    "DURATION",
    "DURATION_BUCKETS",
    "EXECUTE_TOOL",
    "FIRST_CHUNK",
    "INVOKE_AGENT",
    "PROVIDERS",
    "TOKENS",
    "TOKEN_BUCKETS",
]

# Operations, which begin the names of spans.
CHAT = "chat"
EXECUTE_TOOL = "execute_tool"
INVOKE_AGENT = "invoke_agent"

# By backend, the values of `gen_ai.provider.name`; another backend is its own name.
PROVIDERS = {"openai": "openai", "openai-chat": "openai", "anthropic": "anthropic", "gemini": "gcp.gemini"}

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
AGENT_NAME = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_TOP_P = "gen_ai.request.top_p"
REQUEST_SEED = "gen_ai.request.seed"
REQUEST_STOP = "gen_ai.request.stop_sequences"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
OUTPUT_TYPE = "gen_ai.output.type"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - no secret
TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_TYPE = "gen_ai.tool.type"

# What is said, only with `content=True`.
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

# General names: https://opentelemetry.io/docs/specs/semconv/registry/attributes/
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

# Alloy's own: which request of its command it is, from 1; retries and re-asks count.
ATTEMPT = "alloy.attempt"
# And how many turns of a call come from the response cache.
CACHED_TURNS = "alloy.cached_turns"

# Metrics, with the boundaries that the conventions advise.
TOKENS = "gen_ai.client.token.usage"
DURATION = "gen_ai.client.operation.duration"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_BUCKETS = tuple(4**power for power in range(14))
DURATION_BUCKETS = tuple(0.01 * 2**power for power in range(14))
