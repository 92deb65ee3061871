"""When Python looks for garbage: rarely, while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

RARELY: Final = 200_000
"""Objects made and not yet gone before the youngest are looked through; Python's own default is 700."""


@contextmanager
def rarely_collecting() -> Iterator[None]:
    """While modules are loaded or a journal is folded, nearly all that is made stays: looking through it again and
    again takes a tenth of the time and finds nothing."""
    usual = gc.get_threshold()
    gc.set_threshold(RARELY, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
