"""Packages that come with an extra of Alloy, imported when they are first needed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from alloy.errors import ConfigurationError

__all__ = ["import_extra"]


def import_extra(module: str, extra: str, why: str) -> ModuleType:
    """*module*, which the *extra* installs.

    Raises `ConfigurationError` with *why* it is needed and the install line. An import that is missing inside
    of an installed package is raised as it is.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise ConfigurationError(f"{why}: pip install 'alloy-ai[{extra}]'") from error
