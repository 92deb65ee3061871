"""The messages between the host and the gateway process: msgpack in frames, each request with a number of its own.

Requests run side by side; answers come in any order, what the streams tell comes in the order in which it was heard.
There is no message that signs what it is given, none that approves a contract, and none that gives the key or the API
secret away. What the process is told before there is a connection stands in ``launch``.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from polyhost.errors import ConfigError, VenueError
from polyhost.model import commands, events
from polyhost.model.builder import Builder, Credited
from polyhost.model.commands import Command
from polyhost.model.examination import Examination
from polyhost.model.market import Market
from polyhost.venue.polymarket.account import ReadError
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.heartbeats import Beaten

# --- host to process --------------------------------------------------------------------------------------------------


class _Request(Struct, frozen=True, tag_field="ask"):
    seq: int


class Open(_Request, tag="open", frozen=True):
    """The first message: connect at these addresses. The answer is ``Opened`` or ``Failed``."""

    protocol: int
    endpoints: Endpoints
    markets: tuple[Market, ...] = ()
    """What the host follows already."""


class Listen(_Request, tag="listen", frozen=True):
    """Run the streams from now on; without symbols only the account's own. The answer is ``Did``."""

    symbols: tuple[str, ...]
    rotate_s: float
    seed: str
    own: bool = True
    """The account's own stream is wanted."""


class Do(_Request, tag="do", frozen=True):
    """A command of the kernel, by its name; the answer is ``Did``."""

    name: str
    command: msgspec.Raw


class Warm(_Request, tag="warm", frozen=True):
    """The host follows this market from now on; the answer is ``Did`` without events, ``Failed`` when it was not read.
    """

    market: Market


class AskBuilder(_Request, tag="builder", frozen=True):
    code: str


class AskCredited(_Request, tag="credited", frozen=True):
    code: str
    since_s: int


class AskBalance(_Request, tag="balance", frozen=True):
    pass


class SendHeartbeat(_Request, tag="heartbeat", frozen=True):
    shown: str


class AskNotifications(_Request, tag="notifications", frozen=True):
    pass


class DropNotifications(_Request, tag="drop_notifications", frozen=True):
    ids: tuple[int, ...]


class AskExamination(_Request, tag="examine", frozen=True):
    symbols: tuple[str, ...]


class Reconnect(_Request, tag="reconnect", frozen=True):
    pass


class Refresh(_Request, tag="refresh", frozen=True):
    """Ask the price stream for its backlog again. No answer."""


class AskFigures(_Request, tag="figures", frozen=True):
    """A sign of life at once; the answer is ``Did``, after it."""


Request: TypeAlias = (
    Open | Listen | Do | Warm | AskBuilder | AskCredited | AskBalance | SendHeartbeat | AskNotifications
    | DropNotifications | AskExamination | Reconnect | Refresh | AskFigures
)


# --- process to host --------------------------------------------------------------------------------------------------


class _Answer(Struct, frozen=True, tag_field="say"):
    seq: int


class Opened(_Answer, tag="opened", frozen=True):
    protocol: int
    pid: int
    wallet: str
    fast: bool
    """Orders are signed without the client."""
    owner: str = ""
    """The key's own address."""


VenueEvent: TypeAlias = (
    events.Prepared | events.PrepareFailed | events.PostAnswered | events.ActionAnswered | events.CancelAnswered
    | events.OrderSeen | events.OrderNotFound | events.TradeSeen | events.SweepDone | events.BalanceSeen
    | events.TokenBalanceSeen | events.PositionsSeen | events.QueryFailed | events.MarketFound | events.MarketResolved
    | events.ScoringSeen | events.EarningsSeen | events.AuditSeen | events.StreamChanged | events.RewardPaid
    | events.VenueNoticed
)
"""What a venue can tell; nothing of the host's own."""


class Did(_Answer, tag="did", frozen=True):
    events: tuple[VenueEvent, ...] = ()


class BuilderSaid(_Answer, tag="builder_said", frozen=True):
    builder: Builder


class CreditedSaid(_Answer, tag="credited_said", frozen=True):
    credited: Credited


class HeartbeatSaid(_Answer, tag="heartbeat_said", frozen=True):
    beaten: Beaten


class NotificationsSaid(_Answer, tag="notifications_said", frozen=True):
    rows: list[dict[str, Any]]


class Examined(_Answer, tag="examined", frozen=True):
    examination: Examination


class Failed(_Answer, tag="failed", frozen=True):
    """What was raised: ``config``, ``venue``, ``read`` or ``fault``, with the parts that the host raises it from."""

    kind: str
    problem: str
    where: str = ""
    """The endpoint of a VenueError, the key of a ConfigError."""
    table: str = ""
    value: str | None = None
    remedy: str = ""


class Heard(Struct, frozen=True, tag_field="say", tag="heard"):
    """An event of a stream."""

    event: VenueEvent


class Ticked(Struct, frozen=True, tag_field="say", tag="ticked"):
    """A reference price in 1e-8, stamped in market ms."""

    feed: str
    symbol: str
    price: int
    stamp: int


class Logged(Struct, frozen=True, tag_field="say", tag="logged"):
    level: str
    text: str


class Alive(Struct, frozen=True, tag_field="say", tag="alive"):
    """A sign of life, and how the process fares."""

    silent_s: dict[str, float]
    """Stream → wall seconds since its loop last went round."""
    calls: tuple[tuple[str, str, int], ...]
    """(class, purpose, requests that left)."""
    refused: int
    """Requests that were not sent because their turn did not come."""
    policy_refused: int


Answer: TypeAlias = (
    Opened | Did | BuilderSaid | CreditedSaid | HeartbeatSaid | NotificationsSaid | Examined | Failed
)
Told: TypeAlias = Heard | Ticked | Logged | Alive

ENCODE: Final = msgspec.msgpack.Encoder().encode
REQUEST: Final = msgspec.msgpack.Decoder(Request).decode
ANSWER: Final = msgspec.msgpack.Decoder(Answer | Told).decode

COMMANDS: Final[dict[str, type]] = {
    kind.__name__: kind
    for kind in (
        commands.Post, commands.PostMany, commands.Act, commands.Prepare, commands.Cancel, commands.CancelMany,
        commands.CancelMarket, commands.CancelEverything, commands.QueryOrder, commands.Sweep, commands.QueryBalance,
        commands.QueryTokenBalance, commands.QueryPositions, commands.QueryAudit, commands.QueryScoring,
        commands.QueryEarnings, commands.FindMarket, commands.QueryResult,
    )
}
"""Everything that a gateway is asked to do."""


def command_of(request: Do) -> Command:
    """The command that was sent. Raises msgspec.DecodeError, KeyError for one that no gateway does."""
    command: Command = msgspec.msgpack.decode(request.command, type=COMMANDS[request.name])
    return command


def failure(seq: int, error: Exception) -> Failed:
    """An exception as the host may raise it again."""
    match error:
        case ConfigError():
            value = None if error.value is None else str(error.value)
            return Failed(seq, "config", error.problem, error.key, error.table, value, error.remedy)
        case VenueError():
            return Failed(seq, "venue", str(error).removeprefix(f"{error.endpoint}: "), error.endpoint)
        case ReadError():
            return Failed(seq, "read", str(error))
        case _:
            return Failed(seq, "fault", f"{type(error).__name__}: {error}")


def raised(failed: Failed) -> Exception:
    """What the other end raised."""
    match failed.kind:
        case "config":
            return ConfigError(
                failed.problem, key=failed.where, table=failed.table, value=failed.value, remedy=failed.remedy
            )
        case "read":
            return ReadError(failed.problem)
        case "venue":
            return VenueError(failed.problem, endpoint=failed.where)
        case _:
            return VenueError(f"a fault in the gateway process: {failed.problem}", endpoint="gateway")


