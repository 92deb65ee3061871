"""peewee without its PostgreSQL drivers: it imports every driver that is installed, which triples its own start (B7).

The journal speaks to PostgreSQL through psycopg itself (``postgres``), so peewee never needs it. Imported before peewee
is, this module leaves it in ``sys.modules`` for everybody.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

DRIVERS: Final = ("psycopg", "psycopg2", "psycopg2cffi")


def _import_peewee() -> None:
    hidden = [name for name in DRIVERS if name not in sys.modules]
    # None in there is Python's own word for "cannot be imported".
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        import_module("peewee")
    finally:
        for name in hidden:
            del sys.modules[name]


if "peewee" not in sys.modules:
    _import_peewee()
