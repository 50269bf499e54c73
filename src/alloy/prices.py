"""What model requests cost, by the price list of the package genai-prices (extra `prices`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from alloy.extras import import_extra
from alloy.messages import RequestUsage

__all__ = ["cost_of", "price"]

# The names of the price list: https://github.com/pydantic/genai-prices/tree/main/prices/providers
_PROVIDERS = {"openai": "openai", "openai-chat": "openai", "anthropic": "anthropic", "gemini": "google"}


def cost_of(requests: Iterable[RequestUsage]) -> Decimal | None:
    """What *requests* cost together in US dollars; `None` if the price of one is not known.

    Raises `ConfigurationError` if genai-prices is not installed.
    """
    _library()
    total = Decimal(0)
    for request in requests:
        if (cost := price(request)) is None:
            return None
        total += cost
    return total


def price(request: RequestUsage) -> Decimal | None:
    """What *request* cost in US dollars, by today's prices; `None` if they are not known.

    A request to a host in the price list has the prices of that host. Any other address is taken for a
    gateway to the provider, whose prices it has. A request in a batch has the price of batches, and one
    to the fake backend that of the model that it names. Raises `ConfigurationError` as `cost_of`.
    """
    prices, usage = _library(), request.usage
    counted = prices.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    for model, place in _places(request):
        try:
            if request.in_batch:
                return _batch_price(prices, counted, model, place)
            found: Decimal = prices.calc_price(counted, model, **place).total_price
        except LookupError:
            continue
        return found
    return None


def _places(request: RequestUsage) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where the list may have the model of *request*, and its name there, the best place first."""
    provider, _, model = request.model.partition(":")
    if provider == "fake":  # it answers in place of another model
        named, _, rest = model.partition(":")
        if named not in _PROVIDERS:
            yield model, {}  # the list guesses the provider from the model's name
            return
        provider, model = named, rest
    if request.address:
        yield model, {"provider_api_url": request.address}
    if provider in _PROVIDERS:
        yield model, {"provider_id": _PROVIDERS[provider]}


def _batch_price(prices: Any, usage: Any, model: str, place: dict[str, Any]) -> Decimal | None:
    """What *usage* costs in a batch; `None` if the list has no prices of its own for batches of *model*."""
    usual = prices.calc_price(usage, model, **place)
    try:
        found = prices.calc_price(usage, model, **place, price_context={"processing": "batch"})
    except TypeError:  # an older version, without a context
        return None
    if found.model_price == usual.model_price:
        return None
    cost: Decimal = found.total_price
    return cost


def _library() -> Any:
    return import_extra("genai_prices", "prices", "the prices of models come from another package")
