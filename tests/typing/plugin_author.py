"""Never run: what a plugin author writes must satisfy the type checkers with nothing but ``from polyhost import …``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_type

from pydantic import Field

from polyhost import (
    Enter,
    Estimate,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    Money,
    Notice,
    NoticeRaised,
    Plugin,
    PositionView,
    Price,
    Settings,
    Side,
    Signal,
    Skip,
    Stake,
    Veto,
    View,
    hookimpl,
)


class AuthorSettings(Settings):
    """Settings of the example."""

    time_left_s_min: float = Field(default=60.0, gt=0)
    """Seconds of market time."""
    ask_max: Price = Price("0.45")
    """Collateral a share."""
    stake: Money = Money("10")
    """Collateral."""


class Author(Plugin):
    """Every kind of hook once."""

    name = "author"
    api = 1
    Settings = AuthorSettings

    def __init__(self, settings: AuthorSettings) -> None:
        super().__init__(settings)
        self.limits = settings

    @hookimpl
    def signal(self, view: View) -> Signal | None:
        if view.spot is None or view.spot_open is None:
            return None
        assert_type(view.spot, float)
        return Signal.of_direction(1 if view.spot > view.spot_open else -1, 0.2, "spot")

    @hookimpl
    def entry(self, view: View, estimate: Estimate) -> Enter | Skip:
        if view.time_left_s < self.limits.time_left_s_min:
            return Skip("too late in the window")
        quote = view.side(estimate.favoured)
        assert_type(quote.ask, int)
        if quote.ask >= self.limits.ask_max:
            return Skip("too expensive", {"ask": quote.ask / 10_000})
        return Enter(estimate.favoured, price_max=quote.ask, reason=estimate.reason)

    @hookimpl
    def exit(self, view: View, position: PositionView) -> ExitTarget | ExitNow | HoldToSettlement | None:
        quote = view.side(position.side)
        if quote.mid <= Price("0.30"):
            return ExitNow(position.side, "stop")
        if position.held:
            return None
        return ExitTarget(position.side, Price("0.99"))

    @hookimpl
    def size(self, view: View, entry: Enter) -> Stake:
        return Stake(self.limits.stake)

    @hookimpl
    def review(self, view: View, entry: Enter) -> Veto | None:
        return Veto("never down") if entry.side is Side.DOWN else None

    @hookimpl
    def on_timer(self, at: int) -> Iterable[Notice]:
        self.log.info("at {}", at)
        yield Notice("still here")

    @hookimpl
    def notify(self, notice: NoticeRaised) -> None:
        self.log.info(notice.text)
