"""What the other examples share: a script that stands in for the model when there is no network."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alloy.testing import replies


@contextmanager
def offline(*script: Any) -> Iterator[None]:
    """With ALLOY_BACKEND=fake, answer the block's model requests by *script*; else change nothing."""
    if os.environ.get("ALLOY_BACKEND") == "fake":
        with replies(*script):
            yield
    else:
        yield
