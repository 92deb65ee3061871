"""What a gateway finds out about its own account when asked: plain data, for ``doctor`` and ``setup approvals``."""

from __future__ import annotations

from msgspec import Struct

from polyhost.model.money import Micros
from polyhost.model.wallet_kinds import WalletKind


class Holding(Struct, frozen=True):
    """Collateral at one of the key's own wallets."""

    kind: WalletKind
    address: str
    collateral: Micros


class Missing(Struct, frozen=True):
    """An approval that the wallet has not given."""

    token: str
    """Contract whose tokens may not be moved yet."""
    spender: str
    """Contract that may not move them."""
    shares: bool
    """True: outcome shares (ERC-1155); False: collateral (ERC-20)."""


class SocketHeard(Struct, frozen=True):
    """What came of a websocket, ms after it was asked for; None: nothing came in time."""

    opened_ms: int | None
    first_ms: int | None
    """The first message of the kind that was waited for."""
    pong_ms: int | None
    problem: str = ""
    """Why it did not open, or ended; empty: it did not."""


class Examination(Struct, frozen=True):
    """One account at the venue. What could not be asked is None, and ``problems`` says why under the field's name."""

    owner: str
    """The key's own address."""
    kind: WalletKind
    wallet: str
    """Address that trades."""
    collateral: Micros | None
    exchanges_may_spend: bool | None
    """Both exchanges may spend the collateral: else every order is refused."""
    missing: tuple[Missing, ...] | None
    """Approvals that trading, merging and redeeming need and that are not there, by the venue's index."""
    holdings: tuple[Holding, ...] | None
    """All four kinds of wallet of the key, by the CLOB."""
    closed_only: bool | None
    user_stream: SocketHeard | None
    price_stream: SocketHeard | None
    problems: dict[str, str] = {}
    relayer: bool | None = None
    """The venue's relayer takes the account's relayer key; None: it has none, or a builder key, which cannot be asked.
    """


class Approving(Struct, frozen=True):
    """What came of sending approvals."""

    done: bool
    problem: str = ""
    """Why not; empty when done."""
    manual: str = ""
    """How a person can do it instead."""
