"""One step from a schema version to the next."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

_TABLE: Final = re.compile(r'CREATE TABLE "?(\w+)"?')


class Migration(Struct, frozen=True):
    """Statements that bring a database of version ``version - 1`` to ``version``, all of them or none."""

    version: int
    name: str
    statements: tuple[str, ...]


class Family(Struct, frozen=True):
    """One kind of database of ours: how it is recognised and what became of its schema."""

    name: str
    application_id: int
    """SQLite's ``application_id``: a file without it is somebody else's."""
    migrations: tuple[Migration, ...]
    """Versions 1, 2, … without a gap."""

    @property
    def version(self) -> int:
        """The schema version this host works with."""
        return self.migrations[-1].version

    @property
    def tables(self) -> frozenset[str]:
        """Every table that its migrations make (none was ever dropped), with the history itself."""
        texts = (statement for migration in self.migrations for statement in migration.statements)
        return frozenset({"schema_version"}.union(*(_TABLE.findall(text) for text in texts)))
