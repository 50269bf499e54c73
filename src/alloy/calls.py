"""What commands and `ask` share: the options of a call, and the call that is prepared from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from alloy._typed.types.expressions import check_is_type
from alloy.config import check_settings, current
from alloy.conversations import Conversation
from alloy.errors import ConfigurationError
from alloy.pickling import Given, check_pickles
from alloy.prompts import read_prompt
from alloy.settings import ALIASES, SETTINGS
from alloy.tools import Tool, as_tools

if TYPE_CHECKING:
    from alloy._engine.prepare import PreparedCall

__all__ = ["OPTIONS", "CallOptions", "prepared"]

OWN_OPTIONS = ("output", "tools", "conversation", "parser")  # those that are not settings
OPTIONS = frozenset({*OWN_OPTIONS, *SETTINGS, *ALIASES})


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The options of a call, checked. *settings* has those that are fields of `Config`, by name."""

    output: Any = str
    tools: tuple[Tool[..., Any], ...] = ()
    conversation: Conversation | None = None
    parser: Callable[[Any], Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=Given)

    def __reduce__(self) -> Any:
        own = {name: getattr(self, name) for name in OWN_OPTIONS}
        check_pickles(own, self.settings)
        return CallOptions, (*own.values(), self.settings)

    def __deepcopy__(self, memo: dict[int, Any]) -> CallOptions:
        return CallOptions(*(deepcopy(getattr(self, each.name), memo) for each in fields(self)))

    def changed(self, options: Mapping[str, Any], where: str, also: tuple[str, ...] = ()) -> CallOptions:
        """These options with *options* in place of those of the same name.

        An error begins with *where* and names the options in *also* as valid, too. Raises
        `ConfigurationError`.
        """
        own = {name: options[name] for name in OWN_OPTIONS if name in options}
        check_is_type(own.get("output"), f"{where}: output")
        if "tools" in own:
            own["tools"] = as_tools(own["tools"], where)
        if not isinstance(history := own.get("conversation"), Conversation | None):
            raise ConfigurationError(f"{where}: conversation must be a Conversation, not {history!r:.80}")
        if not (own.get("parser") is None or callable(own["parser"])):
            raise ConfigurationError(f"{where}: parser must be a function, not {own['parser']!r:.80}")
        settings = {name: value for name, value in options.items() if name not in OWN_OPTIONS}
        checked = check_settings(settings, where, (*OWN_OPTIONS, *also)) if settings else {}
        return replace(self, **own, settings=Given({**self.settings, **checked}))


def prepared(
    prompt: object,
    options: CallOptions,
    where: str,
    *,
    streamed: bool,
    check: Callable[[Any], str | None] | None = None,
) -> PreparedCall[Any]:
    """The call that asks *prompt* with *options*, under the settings in force now; nothing is sent.

    *check* returns what is wrong with an answer. An error begins with *where*. Raises
    `ConfigurationError` and `CommandError`.
    """
    from alloy._engine.prepare import prepare

    turns = read_prompt(prompt, where)
    try:
        return prepare(
            turns,
            output=options.output,
            settings=current(options.settings),
            name=where,
            tools=options.tools,
            parser=options.parser,
            conversation=options.conversation,
            check=check,
            streamed=streamed,
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
