"""The public face as type checkers and editors see it; the runtime face is lazy and has the same names.

Each name is imported as itself: jedi knows the names of a stub only in that form.
"""
# ruff: noqa: I001  # otherwise each `as` gets a statement of its own

from alloy.asking import ask as ask
from alloy.backends.registry import register_backend as register_backend
from alloy.batch_status import BatchStatus as BatchStatus
from alloy.batches.batch import Batch as Batch
from alloy.budgets import Budget as Budget
from alloy.caches.cache import Cache as Cache, CacheInfo as CacheInfo
from alloy.checkup import Checkup as Checkup, doctor as doctor
from alloy.circuit_breakers import CircuitBreaker as CircuitBreaker, CircuitState as CircuitState
from alloy.commands import AsyncCommand as AsyncCommand, Command as Command, command as command
from alloy.config import Config as Config, configure as configure, use_config as use_config
from alloy.contracts import ensure as ensure, require as require
from alloy.conversations import Conversation as Conversation
from alloy.effects import handlers as handlers, listen as listen
from alloy.endpoints import Transport as Transport
from alloy.errors import (
    AlloyError as AlloyError,
    AnswerError as AnswerError,
    AuthenticationError as AuthenticationError,
    BadReplyError as BadReplyError,
    BadRequestError as BadRequestError,
    BudgetError as BudgetError,
    CheckpointError as CheckpointError,
    CircuitOpenError as CircuitOpenError,
    CommandError as CommandError,
    ConfigurationError as ConfigurationError,
    DeadlineError as DeadlineError,
    EmptyAnswerError as EmptyAnswerError,
    FilteredError as FilteredError,
    McpError as McpError,
    ModelNotFoundError as ModelNotFoundError,
    ParseError as ParseError,
    PostconditionError as PostconditionError,
    ProviderConnectionError as ProviderConnectionError,
    ProviderError as ProviderError,
    ProviderTimeoutError as ProviderTimeoutError,
    RateLimitError as RateLimitError,
    RefusalError as RefusalError,
    ResponseTooLargeError as ResponseTooLargeError,
    ServerError as ServerError,
    ToolError as ToolError,
    TruncatedError as TruncatedError,
    TurnLimitError as TurnLimitError,
    UnsupportedError as UnsupportedError,
    WorkerError as WorkerError,
)
from alloy.maps.async_iterators import AsyncMap as AsyncMap
from alloy.maps.iterators import Map as Map
from alloy.maps.outcomes import MapSummary as MapSummary, Outcome as Outcome
from alloy.messages import Spent as Spent, ToolCall as ToolCall, ToolResult as ToolResult, Usage as Usage
from alloy.parsing import Parsed as Parsed, parse as parse, register_parser as register_parser
from alloy.partials import Partial as Partial
from alloy.parts import (
    CachePoint as CachePoint,
    Document as Document,
    Image as Image,
    Message as Message,
    Prompt as Prompt,
)
from alloy.result import Result as Result
from alloy.streams import AsyncStream as AsyncStream, Stream as Stream
from alloy.tools import Tool as Tool, tool as tool
from alloy.usage import UsageTotal as UsageTotal, budget as budget, track_usage as track_usage

__version__: str

__all__ = [
    "AlloyError",
    "AnswerError",
    "AsyncCommand",
    "AsyncMap",
    "AsyncStream",
    "AuthenticationError",
    "BadReplyError",
    "BadRequestError",
    "Batch",
    "BatchStatus",
    "Budget",
    "BudgetError",
    "Cache",
    "CacheInfo",
    "CachePoint",
    "CheckpointError",
    "Checkup",
    "CircuitBreaker",
    "CircuitOpenError",
    "CircuitState",
    "Command",
    "CommandError",
    "Config",
    "ConfigurationError",
    "Conversation",
    "DeadlineError",
    "Document",
    "EmptyAnswerError",
    "FilteredError",
    "Image",
    "Map",
    "MapSummary",
    "McpError",
    "Message",
    "ModelNotFoundError",
    "Outcome",
    "ParseError",
    "Parsed",
    "Partial",
    "PostconditionError",
    "Prompt",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderTimeoutError",
    "RateLimitError",
    "RefusalError",
    "ResponseTooLargeError",
    "Result",
    "ServerError",
    "Spent",
    "Stream",
    "Tool",
    "ToolCall",
    "ToolError",
    "ToolResult",
    "Transport",
    "TruncatedError",
    "TurnLimitError",
    "UnsupportedError",
    "Usage",
    "UsageTotal",
    "WorkerError",
    "__version__",
    "ask",
    "budget",
    "command",
    "configure",
    "doctor",
    "ensure",
    "handlers",
    "listen",
    "parse",
    "register_backend",
    "register_parser",
    "require",
    "tool",
    "track_usage",
    "use_config",
]
