"""The address of a PostgreSQL database as a person writes it: whether it can be one, and the password in it.

Pure, and nobody is asked: what only libpq knows (its options) and whether there is such a server is found out later.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from polyhost.model.secrecy import HIDDEN

SCHEMES: Final = ("postgresql://", "postgres://")
FORM: Final = '"postgresql://USER@HOST/DATABASE"'
WRITE_IT: Final = f"write {FORM}, or leave it empty for a SQLite file in data_dir"
_PASSWORD: Final = re.compile(r"([a-z]+://[^/?#@:]*:)[^/?#@]*(@[^@]*)")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(\d*))?")
_LONE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PORT_MAX: Final = 65_535


class Refused(NamedTuple):
    """Why an address may not stand in a configuration, and what to do; ``value`` is the address without a password."""

    problem: str
    value: str
    remedy: str


def refused(address: str) -> Refused | None:
    """Why ``address`` may not stand in a configuration; None: it may."""
    if problem := malformed(address):
        return Refused(problem, without_password(address), WRITE_IT)
    if password_in(address):
        return Refused(
            "holds a password, which has no place in a configuration", without_password(address),
            'write { env = "NAME" } for the whole address, or leave the password to ~/.pgpass',
        )
    return None


def malformed(address: str) -> str:
    """Why it can be no address of a database, with nothing of it repeated; empty: it looks like one."""
    if not address.startswith(SCHEMES):
        return "is no address of a PostgreSQL database"
    if any(sign.isspace() or not sign.isprintable() for sign in address):
        return "is no address of a PostgreSQL database: it has white space in it"
    if _LONE_PERCENT.search(address):
        return "is no address of a PostgreSQL database: a % without two hexadecimal digits (a % itself is %25)"
    try:
        hosts = urlsplit(address).netloc.rpartition("@")[2].split(",")
    except ValueError:
        return "is no address of a PostgreSQL database: its host cannot be read"
    for host in hosts:  # libpq tries several in turn
        found = _HOST.fullmatch(host)
        if found is None or (found[1] and not 0 < int(found[1]) <= _PORT_MAX):
            return f"is no address of a PostgreSQL database: what follows its host is no port (1 to {_PORT_MAX})"
    return ""


def password_in(address: str) -> str:
    """The password in an address, as it is and not as it is quoted; empty: none. Of what cannot be read: all of it."""
    try:
        parts = urlsplit(address)
        options = parse_qs(parts.query)
        return unquote(parts.password or "".join(options.get("password", options.get("sslpassword", []))))
    except ValueError:
        # What might be a password is hidden with the whole.
        return address


def without_password(address: str) -> str:
    """For people; hidden as a whole where it is not plain which part might be a password."""
    if found := _PASSWORD.fullmatch(address):
        address = f"{found[1]}{HIDDEN}{found[2]}"
    elif ":" in address[address.find("://") + 3 if "://" in address else 0 :].rpartition("@")[0]:
        return HIDDEN
    return HIDDEN if "pass" in address.lower() else address
