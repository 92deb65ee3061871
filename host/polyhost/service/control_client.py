"""The control socket seen from outside: where it is, what a request looks like, and a client that waits for one answer.

The protocol is docs/control.md. It imports nothing of the host: every command may use it.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from polyhost.errors import PolyhostError
from polyhost.files import short_path

SOCKET: Final = "control.sock"
TOKEN: Final = "control.token"
PROTOCOL: Final = 1
"""Rises when something that is there changes its meaning; what is added does not count."""
TARGETS: Final[Mapping[str, tuple[str, bool]]] = {
    "pause": ("", False), "resume": ("breaker", False), "close": ("window", False), "merge": ("window", False),
    "redeem": ("window", False), "kill": ("all", True), "cancel": ("order", False),
}
"""Operator's word → the argument that names its target, and whether it takes ``flatten``."""
REQUEST_BYTES_MAX: Final = 65_536
"""One request, its line end included."""
ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024
"""One answer."""
CONNECT_S: Final = 1.0
"""Wall seconds that a host has to take the connection: it does so in a few milliseconds, or it is stuck."""
ANSWER_S: Final = 25.0
"""Wall seconds a client waits for its answer, the start of a plugin's process included."""


class Request(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line from a client."""

    id: int
    """Comes back with the answer."""
    token: str
    do: str
    """The word."""
    args: dict[str, Any] = {}
    who: str = ""
    """Who says it, for the journal."""
    why: str = ""


class NoAnswerError(PolyhostError):
    """No host answers on the socket: there is none, it is stuck, or it has none of its own. Use the file."""

    exit_code: ClassVar[int] = 1


class RefusedError(PolyhostError):
    """The host answered that it does not do it; ``exit_code`` is what a command should end with."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]


def ask(
    data_dir: Path, do: str, args: Mapping[str, Any] | None = None, *, who: str = "", why: str = "",
    within_s: float = ANSWER_S,
) -> dict[str, Any]:
    """Say one word to the host of a data folder and wait for what it answers.

    Raises NoAnswerError when nobody answers, RefusedError when the host says no.
    """
    try:
        token = (data_dir / TOKEN).read_text(encoding="ascii").strip()
        line = msgspec.json.encode(Request(1, token, do, dict(args or {}), who, why)) + b"\n"
        if len(line) > REQUEST_BYTES_MAX:
            raise RefusedError(f"a request of {len(line)} bytes, at most {REQUEST_BYTES_MAX}", 2)
        with socket.socket(socket.AF_UNIX) as connection, short_path(data_dir, SOCKET) as path:
            connection.settimeout(CONNECT_S)
            connection.connect(path)
            connection.settimeout(within_s)
            connection.sendall(line)
            reply = msgspec.json.decode(_line(connection))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoAnswerError(f"no host answers on {data_dir / SOCKET}: {error}") from error
    if not isinstance(reply, dict) or not isinstance(reply.get("ok"), bool):
        raise NoAnswerError(f"what answers on {data_dir / SOCKET} is no host")
    if not reply["ok"]:
        problem = reply.get("error", {})
        raise RefusedError(str(problem.get("message", "refused")), int(problem.get("exit_code", 1)))
    result: dict[str, Any] = reply.get("result", {})
    return result


def _line(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    size = 0
    while not (parts and parts[-1].endswith(b"\n")):
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError("the connection was closed without an answer")
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise ConnectionError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)
