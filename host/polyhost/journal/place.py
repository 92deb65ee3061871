"""Where a folder's journal stands: in the folder itself (SQLite), or in PostgreSQL.

A journal in PostgreSQL is named by a small file beside the place where the SQLite file would be: the database's address
without a password, or the reference to the secret that holds it, and the account's schema. So every command finds the
journal from the folder alone, and a configuration that names another place than the journal's is told, never obeyed: an
empty journal instead of the old one would forget orders and positions.
"""

from __future__ import annotations

import hashlib
import os
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from polyhost.errors import ConfigError
from polyhost.files import write_atomically
from polyhost.journal.errors import JournalError
from polyhost.model.database_address import FORM, SCHEMES, WRITE_IT, malformed, password_in, refused

if TYPE_CHECKING:
    from polyhost.settings import KeySource

_SUFFIX: Final = ".postgres"
_PLAIN: Final = re.compile(r"[a-z0-9_]{1,30}")
EXTRA: Final = "pip install 'polyhost[postgres]'"
SECRET_FORM: Final = "put postgresql://USER:PASSWORD@HOST/DATABASE there"


class Postgres(Struct, frozen=True, omit_defaults=True):
    """A journal in PostgreSQL: the database, the account's schema in it, and who asks."""

    schema: str
    folder: str
    """Random name of the data folder that asks: who holds the account's lease is told apart by it."""
    url: str = ""
    """Without a password; empty: a secret holds it."""
    secret: dict[str, str] = {}
    """Reference to the secret that holds the URL: ``{"env": "NAME"}``."""

    def address(self) -> str:
        """The URL, with its password if there is one. Raises JournalError: the secret is not where it should be."""
        if not self.secret:
            return self.url
        from polyhost.secret import Secret, Unresolved, fetched

        reference = Secret.model_validate(self.secret)
        try:
            found = fetched(reference)
        except Unresolved as error:
            raise JournalError(self.shown, f"the database's address is missing: {error}", error.remedy) from None
        if not found.startswith(SCHEMES):
            raise JournalError(
                self.shown, f"the secret ({reference.reference}) is no address of a PostgreSQL database", SECRET_FORM
            )
        return found

    @property
    def shown(self) -> str:
        """For people, never a password."""
        where = self.url or "the database of " + " ".join(next(iter(self.secret.items()), ("", "")))
        return f"{where} (schema {self.schema})"

    def secrets(self) -> tuple[str, ...]:
        """What no log may show: the address and the password in it, when they come from a secret."""
        if not self.secret:
            return ()
        address = self.address()
        return tuple(text for text in (address, password_in(address)) if text)

    def in_schema(self, schema: str) -> Postgres:
        """Another schema of the same database."""
        return msgspec.structs.replace(self, schema=schema)


def pointer_path(journal: Path) -> Path:
    return journal.with_name(journal.name + _SUFFIX)


def elsewhere(journal: Path) -> Postgres | None:
    """The PostgreSQL place of the journal that belongs at this path; None: it is (or will be) the file itself.

    Raises JournalError for a pointer that cannot be read.
    """
    try:
        text = pointer_path(journal).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(
            pointer_path(journal), f"it cannot be read ({error.strerror})", "Check its folder and permissions"
        ) from error
    try:
        return msgspec.json.decode(text, type=Postgres, strict=True)
    except msgspec.DecodeError as error:
        raise JournalError(
            pointer_path(journal), f"it does not say where the journal is ({error})",
            "Delete it, and `polyhost run` writes it again from [host] database",
        ) from error


def is_there(journal: Path) -> bool:
    """May there be a journal? A file, or a word that it is in PostgreSQL; nobody is asked."""
    return journal.exists() or pointer_path(journal).exists()


def point(journal: Path, place: Postgres) -> None:
    """The journal that belongs at this path is in PostgreSQL from now on. Raises OSError."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(pointer_path(journal), msgspec.json.format(msgspec.json.encode(place)) + b"\n")


def place_for(database: str | KeySource, account: str, folder: str = "") -> Postgres:
    """The place that ``[host] database`` (an address, or where it is kept) and an account name.

    Raises ConfigError for what is no such address.
    """
    folder, schema = folder or os.urandom(8).hex(), schema_of(account)
    if not isinstance(database, str):
        return Postgres(schema, folder, secret={str(kind): name for kind, name in database.items()})
    if (wrong := refused(database)) is not None:
        raise ConfigError(wrong.problem, table="host", key="database", value=wrong.value, remedy=wrong.remedy)
    return Postgres(schema, folder, url=database)


def refuse_unusable(database: str | KeySource) -> None:
    """Raises ConfigError when a journal there could not be opened, as far as this machine alone can tell: the library,
    the secret that holds the address, and how libpq reads it. Nobody is asked."""
    from polyhost.secret import FORMS, Secret, Unresolved, fetched

    if not database:
        return
    where = place_for(database, "main")

    def refuse(problem: str, remedy: str) -> ConfigError:
        value = where.url or Secret.model_validate(where.secret).reference
        return ConfigError(
            problem, table="host", key="database", value=value, allowed=(FORM, *FORMS), remedy=remedy
        )

    try:
        conninfo: Any = import_module("psycopg.conninfo")
        library: Any = import_module("psycopg")
    except ImportError:
        raise refuse("PostgreSQL needs the library psycopg", EXTRA) from None
    try:
        address = where.url or fetched(Secret.model_validate(where.secret))
    except Unresolved as error:
        raise refuse(str(error), error.remedy) from None
    if problem := malformed(address):
        raise refuse(f"the secret there {problem}", SECRET_FORM)
    try:
        conninfo.conninfo_to_dict(address)
    except library.ProgrammingError as error:
        # libpq repeats what it cannot read, which may be a part of the password.
        told = "" if where.secret else f": {' '.join(str(error).split())}"
        raise refuse(f"is no address that libpq can read{told}", SECRET_FORM if where.secret else WRITE_IT) from None


def schema_of(account: str) -> str:
    """The account's schema: ``polyhost_main``. A name that PostgreSQL would change gets a few letters of its hash."""
    if _PLAIN.fullmatch(account):
        return f"polyhost_{account}"
    plain = re.sub(r"[^a-z0-9_]", "_", account.lower())[:20]
    return f"polyhost_{plain}_{hashlib.sha256(account.encode()).hexdigest()[:8]}"


def settle(journal: Path, database: str | KeySource, account: str) -> Postgres | None:
    """Keep to where the configuration says that the journal is; None: the file. A new folder takes the place named.

    Raises ConfigError when the folder's journal stands somewhere else already.
    """
    known = elsewhere(journal)
    if not database:
        if known is not None:
            raise _moved(journal, f"this folder's journal is in PostgreSQL ({known.shown}), the setting names none")
        return None
    wanted = place_for(database, account, known.folder if known else "")
    if known is None:
        if journal.exists() and journal.stat().st_size:
            raise _moved(journal, f"this folder's journal is the file {journal}, the setting names {wanted.shown}")
        point(journal, wanted)
    elif known != wanted:
        error = _moved(journal, f"this folder's journal is in {known.shown}, the setting names {wanted.shown}")
        error.remedy += f"; if it is the same database under another address, delete {pointer_path(journal)}"
        raise error
    return wanted


def _moved(journal: Path, problem: str) -> ConfigError:
    return ConfigError(
        problem, table="host", key="database",
        remedy="put the setting back, or move the journal: `polyhost db backup`, then `polyhost db restore FILE`",
    )
