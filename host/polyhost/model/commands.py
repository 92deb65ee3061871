"""What the kernel tells the shell to do. Gated commands wait until every record before them is durable; free ones go.

``Post`` and ``Act`` (merge, redeem, split) are gated: what they do cannot be taken back.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest
from polyhost.model.market import Market
from polyhost.model.records import NoticeRaised
from polyhost.model.times import MarketMs
from polyhost.model.view import View
from polyhost.model.words import Action


class Post(Struct, frozen=True):
    """Send these bytes. Gated."""

    request: OrderRequest


class Act(Struct, frozen=True):
    """Merge, redeem or split on chain; the answer is ``ActionAnswered``. Gated, sent once and never again."""

    request: ActionRequest


class Prepare(Struct, frozen=True):
    """Sign this draft; the answer is ``Prepared`` or ``PrepareFailed``."""

    draft: OrderDraft


class Cancel(Struct, frozen=True):
    order_id: str


class PostMany(Struct, frozen=True):
    """Send these orders as one request, each with an answer of its own; made by the shell of posts. Gated."""

    requests: tuple[OrderRequest, ...]


class CancelMany(Struct, frozen=True):
    """Cancel these orders as one request; made by the shell of cancels."""

    order_ids: tuple[str, ...]


class CancelMarket(Struct, frozen=True):
    """Cancel every order of the key in one market, a person's too."""

    condition_id: str


class CancelEverything(Struct, frozen=True):
    """Cancel all orders of the key (kill switch)."""


class QueryOrder(Struct, frozen=True):
    order_id: str


class Sweep(Struct, frozen=True):
    """All pages of open orders and of trades since ``since_s`` (unix seconds) of one market, or of the whole key."""

    condition_id: str
    since_s: int
    begun: int = 0
    """When the command left, wall ms; the answer repeats it: what it shows was true then or later."""


class QueryBalance(Struct, frozen=True):
    """Collateral balance and allowance."""


class QueryTokenBalance(Struct, frozen=True):
    token_id: str


class QueryPositions(Struct, frozen=True):
    """Everything the wallet holds, all pages; the answer is ``PositionsSeen`` or ``QueryFailed``."""

    begun: int = 0
    """When the command left, wall ms; the answer repeats it."""


class QueryScoring(Struct, frozen=True):
    """Ask which of these orders score for liquidity rewards; the answer is ``ScoringSeen`` or ``QueryFailed``."""

    order_ids: tuple[str, ...]


class QueryEarnings(Struct, frozen=True):
    """Ask what a day (UTC, counted from 1970) brought in rewards and rebates; the answer is ``EarningsSeen`` or
    ``QueryFailed``."""

    day: int


class QueryAudit(Struct, frozen=True):
    """The venue's own account of our positions in a market, closed ones too; the answer is ``AuditSeen`` or
    ``QueryFailed`` (``audit``)."""

    condition_id: str


class FindMarket(Struct, frozen=True):
    """Look a market up that is not followed yet; the answer is ``MarketFound`` or ``QueryFailed`` (``market``)."""

    condition_id: str
    slug: str


class Follow(Struct, frozen=True):
    """Subscribe to this market's streams."""

    market: Market


class Unfollow(Struct, frozen=True):
    market: Market


class QueryResult(Struct, frozen=True):
    """Ask the venue whether this market is resolved; the answer is ``MarketResolved`` or nothing."""

    condition_id: str
    slug: str


class Ask(Struct, frozen=True):
    """Run the plugin chain on this view; the answer is ``Evaluated``."""

    view: View


class Tell(Struct, frozen=True):
    """Run an ``on_…`` hook of every plugin that has it; the answers are ``PluginTold``."""

    hook: str
    at: MarketMs
    market: Market | None
    what: object
    """The record or event the hook is about."""


class Remember(Struct, frozen=True):
    """A plugin's durable state changed with an order of its wish: its copy follows. JSON texts; None deletes."""

    plugin: str
    changes: dict[str, str | None]


class Deliver(Struct, frozen=True):
    """Hand a durable notice to one channel (gated by its own record, not by orders); the answer is ``NoticeTold``."""

    notice: NoticeRaised
    channel: str


class Analyse(Struct, frozen=True):
    """A row for analysis.db: may be lost in a crash."""

    table: str
    row: dict[str, object]


Command: TypeAlias = (
    Post | PostMany | Act | Prepare | Cancel | CancelMany | CancelMarket | CancelEverything | QueryOrder | Sweep
    | QueryBalance | QueryTokenBalance | QueryPositions | FindMarket | Follow | Unfollow | QueryResult | Ask | Tell
    | Remember | Deliver | Analyse | QueryScoring | QueryEarnings | QueryAudit
)
GATED: tuple[type, ...] = (Post, PostMany, Act)


def takes_risk_away(command: Command) -> bool:
    """A gated command that only sells: its record in the emergency file is enough for it to leave."""
    return isinstance(command, Post) and command.request.fields.action is Action.SELL
