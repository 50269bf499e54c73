"""Used by the other examples: scripted answers, so that they run without a model."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alloy.testing import replies


@contextmanager
def offline(*script: Any) -> Iterator[None]:
    """With ALLOY_BACKEND=fake, answer the model requests in the block with *script*; otherwise do nothing."""
    if os.environ.get("ALLOY_BACKEND") == "fake":
        with replies(*script):
            yield
    else:
        yield
