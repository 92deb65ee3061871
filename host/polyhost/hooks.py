"""The hook specifications: the contract between the host and its plugins.

Arguments are passed by name; an implementation may take any subset of them. Answering hooks (``signal`` to ``quote``)
are synchronous and pure: ``view.now`` is the time and ``self.state`` is read-only in them. The ``on_…`` hooks run after
the fact and may write ``self.state``; what they change becomes one durable record. Every answer is collected; nothing
depends on registration order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from polyhost.model.days import DayFigures
    from polyhost.model.market import Market
    from polyhost.model.proposals import (
        Abstain,
        Enter,
        EntryAnswer,
        Estimate,
        ExitAnswer,
        Notice,
        Proposal,
        Signal,
        Stake,
        StandingTarget,
        Veto,
    )
    from polyhost.model.reading import Feed, FeedConfig, Reading
    from polyhost.model.records import AuditTaken, CloseRecorded, FillBooked, MarketSettled, NoticeRaised, OrderMoved
    from polyhost.model.view import Funds, PositionView, View

NAMESPACE = "polyhost"
API = 1
"""Version of this contract; a plugin says ``api = 1``."""
hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)

ANSWERING = ("signal", "combine", "entry", "exit", "propose", "size", "review", "quote")
TELLING = ("on_market", "on_order", "on_fill", "on_settlement", "on_timer", "on_notice", "on_audit", "on_day")
LIFE = ("start", "stop", "feeds", "notify")
DEPRECATED: dict[str, str] = {}
"""Hooks that the next release does without → what to write instead. A plugin that has one runs, and is told so."""


class Hooks:
    """Every hook the host calls."""

    @hookspec
    def signal(self, view: View) -> Signal | Abstain | None:
        """An opinion on the market, at every evaluation; Abstain says what is missing for one, None says nothing."""

    @hookspec
    def combine(self, view: View, signals: tuple[tuple[str, Signal], ...]) -> Estimate | Abstain | None:
        """One estimate from the signals ``(plugin, signal)``; all combiners answer, configuration names the trader.

        A combiner abstains as a signal does.
        """

    @hookspec
    def entry(self, view: View, estimate: Estimate) -> EntryAnswer | Iterable[EntryAnswer] | None:
        """Enter, or Skip with the reason; asked when the trading combiner has an estimate."""

    @hookspec
    def exit(self, view: View, position: PositionView) -> ExitAnswer | Iterable[ExitAnswer] | None:
        """How to leave a position; asked once for each position, at every evaluation."""

    @hookspec
    def propose(self, view: View, estimates: tuple[tuple[str, Estimate], ...]) -> Iterable[Proposal] | None:
        """Any number of proposals, at every evaluation, with or without a position."""

    @hookspec
    def size(self, view: View, entry: Enter, estimate: Estimate | None) -> Stake | None:
        """Collateral to spend on an entry; the smallest answer wins. A failure here means no entry.

        ``estimate`` is the trading combiner's of this evaluation; None when it had none.
        """

    @hookspec
    def review(self, view: View, entry: Enter, estimate: Estimate | None) -> Veto | None:
        """Refuse an entry, before the host's own limits. Any refusal wins; a failure here is one.

        ``entry.stake`` is what it may cost; ``estimate`` the trading combiner's of this evaluation, or None.
        """

    @hookspec
    def quote(self, view: View, target: StandingTarget) -> StandingTarget | None:
        """Adjust a standing target (exit or quote) before it is placed or moved; of several the more careful wins.

        Careful is lower for a buy, higher for a sell, smaller and shorter for both. An exit's price goes below what its
        owner asked only down to the target's ``least``.
        """

    @hookspec
    def on_market(self, market: Market, at: int) -> Iterable[Notice] | None:
        """A market is followed from now on (``at``: market ms)."""

    @hookspec
    def on_order(self, market: Market, order: OrderMoved, at: int) -> Iterable[Notice] | None:
        """An order of ours changed its state."""

    @hookspec
    def on_fill(self, market: Market, fill: FillBooked, at: int) -> Iterable[Notice] | None:
        """A trade of ours was booked."""

    @hookspec
    def on_settlement(
        self, market: Market, result: MarketSettled, closes: tuple[CloseRecorded, ...], at: int
    ) -> Iterable[Notice] | None:
        """A market was resolved; ``closes`` are the positions it ended."""

    @hookspec
    def on_timer(self, at: int, funds: Funds | None) -> Iterable[Notice] | None:
        """The plugin's own schedule: every ``timer_s`` seconds of market time that its class names.

        ``funds``: the account's collateral; None until the venue has told of it for the first time.
        """

    @hookspec
    def on_notice(self, notice: NoticeRaised, at: int) -> Iterable[Notice] | None:
        """A notice was raised by the host or another plugin."""

    @hookspec
    def on_audit(self, market: Market, report: AuditTaken, at: int) -> Iterable[Notice] | None:
        """The venue's own account of a decided market arrived: its P&L beside ours, micro-units, fees included."""

    @hookspec
    def on_day(self, day: DayFigures, at: int) -> Iterable[Notice] | None:
        """A day (UTC) is over: what it brought. Told again at every start of the host until the next day is over."""

    @hookspec
    def notify(self, notice: NoticeRaised, channel: str) -> None:
        """Deliver a notice to one of the plugin's ``channels``; runs in a worker, off the trading path.

        Return when delivered (or when this channel does not want it), raise to be asked again: with growing pauses,
        twelve times at most. After a crash a notice may come once more: tell ``notice.told_text``, which has its id.
        """

    @hookspec
    def feeds(self, config: FeedConfig) -> Iterable[Feed | Iterator[Reading | None]] | None:
        """Extra feeds: iterators of readings (name, finite number, market ms), or ``Feed``s, which have names.

        Asked once at the start of a run, in a process that is there for this plugin's feeds alone: built in or not, the
        plugin is built there anew, apart from the one that answers, so what a feed keeps in ``self`` only feeds see.
        Each feed runs in a thread of that process and may wait, use the network and read the clock there. It yields a
        ``Reading``, or None as a sign of life; the host fills in the source (the plugin's name, or ``plugin.feed``).

        Of each name the newest value goes to the kernel four times a second at most (oftener where the market runs
        faster than the clock), what was overtaken is counted as dropped; at most 64 names a feed; what is no reading is
        counted as refused. Plugins see the readings of all feeds as ``view.feeds`` at the next evaluation: a reading
        wakes nobody. It is recorded under its source, and replayed and backtested from there; backtests run no feeds,
        simulations a seeded source in place of the shipped ones.

        A feed that raises, ends or is silent for longer than ``Feed.silent_s_max`` has the process started again, with
        growing, jittered pauses. That is no strike, entries go on, and what was read keeps ageing: a plugin that needs
        a reading says how old it may be, ``view.reading(name, age_ms_max)``, and abstains without it.
        """

    @hookspec
    def start(self) -> None:
        """Once, before the first evaluation."""

    @hookspec
    def stop(self) -> None:
        """Once, at a graceful end."""
