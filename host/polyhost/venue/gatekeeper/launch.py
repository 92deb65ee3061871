"""How the gateway process is started: what it is told, once, and the socket that it inherits.

It imports next to nothing: the process is started before the rest of the host is loaded, because it takes longest.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

from polyhost.files import short_path
from polyhost.frames import framed
from polyhost.model.clients import FIRST
from polyhost.model.money import Micros
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.words import ActionKind

PROTOCOL: Final = 2
"""Rises with every change of the messages; both ends say theirs, and another one is refused."""
SOCKET: Final = "gateway.sock"
FRAME_BYTES_MAX: Final = 32 * 1024 * 1024
"""The largest message: all trades and orders of a busy account are some megabytes."""


class Policy(Struct, frozen=True):
    """The limits, in micro-units of collateral; money counts at the worst price with every fee."""

    order_max: Micros
    """Of a single buy."""
    hour_max: Micros
    """Of all buys and splits within an hour."""
    day_max: Micros
    """Of all buys and splits within a day."""
    actions: tuple[str, ...] = tuple(kind.value for kind in ActionKind)
    """Chain actions that are carried out."""


class RelayerSource(Struct, frozen=True):
    """Where the parts of an account's relayer key are."""

    parts: dict[str, dict[str, str]]
    """``key``, and of a builder key ``secret`` and ``passphrase``: each as ``Launch.key`` says where the key is."""
    address: str = ""
    """Address that it was made for; empty: the private key's own."""


class Launch(Struct, frozen=True):
    """What the process is for, said once on its standard input; no later message changes it."""

    protocol: int
    account: str
    folder: str
    """The account's folder: socket, sums."""
    socket: int
    """File descriptor of the listening socket, inherited."""
    host_pid: int
    """The only process that is served."""
    key: dict[str, str]
    """Where the key is: ``env``, ``file`` or ``keyring`` as in the configuration; ``throwaway``: a simulator's own key.
    """
    wallet: int
    client: str
    policy: Policy
    place: str
    """Where the venue must be: ``live``, ``loopback``, or an address of the configuration."""
    selftest: bool = True
    share: float = 1.0
    """Of the venue's budget of requests, where several accounts ask from one address."""
    relayer: RelayerSource | None = None
    """What a contract wallet's transactions are sent with; None: it sends none."""

    @classmethod
    def of(
        cls, folder: Path, *, account: str, key: Mapping[str, str], policy: Policy, place: str,
        wallet: WalletKind = WalletKind.EOA, client: str = FIRST, selftest: bool = True, share: float = 1.0,
        relayer: RelayerSource | None = None,
    ) -> Launch:
        """Of a process that serves this one; its socket is made when it is ``started``."""
        return cls(
            PROTOCOL, account, str(folder), -1, os.getpid(), dict(key), int(wallet), client, policy, place, selftest,
            share, relayer,
        )

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables of the environment that hold what this process is to read."""
        parts = () if self.relayer is None else self.relayer.parts.values()
        return tuple(reference["env"] for reference in (self.key, *parts) if "env" in reference)


def started(launch: Launch, *, hide: Sequence[str] = (), log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start the process; its socket listens by then, and it loads its client while the host goes on.

    ``hide``: variables of the environment that are no matter of this account. ``log``: file for what it says before and
    after there is a host. Raises OSError.
    """
    listener = listening(Path(launch.folder))
    try:
        told = msgspec.structs.replace(launch, socket=listener.fileno())
        with _sink(log) as sink:
            # A group of its own: an operator's Ctrl-C reaches the host, which still has cancels to send.
            # -P: modules that happen to lie in the operator's working folder are not imported.
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "polyhost.venue.gatekeeper"], stdin=subprocess.PIPE, stdout=sink,
                stderr=sink, pass_fds=(listener.fileno(),), start_new_session=True,
                env={name: value for name, value in os.environ.items() if name not in hide},
            )
    finally:
        listener.close()
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.write(framed(msgspec.msgpack.encode(told), FRAME_BYTES_MAX))
        process.stdin.flush()
    return process


def _sink(log: Path | None) -> IO[bytes]:
    if log is None:
        return Path(os.devnull).open("ab")
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")


def listening(folder: Path) -> socket.socket:
    """The account's socket, readable and writable by this user alone from its first moment. Raises OSError."""
    path = folder / SOCKET
    path.unlink(missing_ok=True)
    found = socket.socket(socket.AF_UNIX)
    try:
        with suppress(OSError):
            os.fchmod(found.fileno(), 0o600)
        with short_path(folder, SOCKET) as short:
            found.bind(short)
        path.chmod(0o600)
        found.listen(2)
    except OSError:
        found.close()
        raise
    return found
