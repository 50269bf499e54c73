"""The public face as type checkers and editors see it; the runtime face is lazy and has the same names."""

from alloy._engine.handlers import handlers, listen
from alloy._engine.usage import UsageTotal, track_usage
from alloy._typed.types.parsers import register_parser
from alloy.asking import ask
from alloy.backends.registry import register_backend
from alloy.commands import AsyncCommand, Command, command
from alloy.config import Config, configure, use_config
from alloy.contracts import ensure, require
from alloy.conversations import Conversation
from alloy.errors import (
    AlloyError,
    AnswerError,
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    CommandError,
    ConfigurationError,
    DeadlineError,
    EmptyAnswerError,
    FilteredError,
    ModelNotFoundError,
    ParseError,
    PostconditionError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RefusalError,
    ServerError,
    ToolError,
    TruncatedError,
    TurnLimitError,
    UnsupportedError,
)
from alloy.messages import ToolCall, ToolResult, Usage
from alloy.parsing import Parsed, parse
from alloy.parts import Document, Image, Message, Prompt
from alloy.result import Result
from alloy.streams import AsyncStream, Stream
from alloy.tools import Tool, tool

__version__: str

__all__ = [
    "AlloyError",
    "AnswerError",
    "AsyncCommand",
    "AsyncStream",
    "AuthenticationError",
    "BadReplyError",
    "BadRequestError",
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
    "Message",
    "ModelNotFoundError",
    "ParseError",
    "Parsed",
    "PostconditionError",
    "Prompt",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderTimeoutError",
    "RateLimitError",
    "RefusalError",
    "Result",
    "ServerError",
    "Stream",
    "Tool",
    "ToolCall",
    "ToolError",
    "ToolResult",
    "TruncatedError",
    "TurnLimitError",
    "UnsupportedError",
    "Usage",
    "UsageTotal",
    "__version__",
    "ask",
    "command",
    "configure",
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
