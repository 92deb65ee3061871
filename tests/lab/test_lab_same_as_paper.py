"""Paper is the backtest's central account driven by live feeds: the same frames, the same decisions and fills.

The same kernel and strategy meet a tape twice, once in the backtest, once with the paper exchange in its exchange's
place. Without latency and standing time the journals are the same to the byte; the rest says where paper is another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polyhost.exchange.api import Output
from polyhost.lab import backtest as of_backtest
from polyhost.lab.backtest import Answerer, Backtest
from polyhost.lab.tape import Line, Tape
from polyhost.model.commands import Analyse, Ask, Command, Deliver, Follow, QueryResult, Remember, Tell, Unfollow
from polyhost.model.events import Event, MarketResolved, StreamChanged
from polyhost.model.market import Market
from polyhost.model.messages import Message
from polyhost.model.money import Ticks, price_text, ticks
from polyhost.model.proposals import Answer, ExitTarget
from polyhost.model.records import FillBooked
from polyhost.model.times import MarketMs
from polyhost.model.view import View
from polyhost.model.words import Action, Side
from polyhost.service import paper_venue
from polyhost.service.paper_venue import PaperVenue
from polyhost.settings import Configuration

from .lab_tapes import START, UP, Row, book, gamma, quiet_window, resolved, trade, write
from .test_lab_backtest import Scripted, buy_once_and_hold
from .test_lab_same_as_run import SETTINGS, Trader, story

END = START + 900_000
AT = START + 120_000
_NOT_THE_VENUES = (Follow, Ask, Tell, Remember, Unfollow, Analyse, Deliver, QueryResult)


class PaperPass(Backtest):
    """A backtest whose orders go to the paper exchange, by the frames that the service would hand it."""

    def __init__(self, settings: Configuration, plugins: Answerer) -> None:
        super().__init__(settings, plugins)
        self.venue = PaperVenue(settings, MarketMs(0))
        self.asked: set[int] = set()

    def _messages(self, lines: list[Line]) -> None:
        for line in lines:
            if line.ts >= self._due:
                self._catch_up(line.ts)
            self._now = line.ts
            if not line.msg.event_type and line.msg.bids is None:
                self._price(line.msg, line.source, line.ts)
                continue
            wanted = self.kernel.feed(line.msg, line.ts)
            self.venue.frame([line.msg], MarketMs(line.ts))
            self._listen()
            if wanted:
                self._reached(line.ts)
            if line.msg.bids is not None:
                self._judge(line.msg, line.ts)

    def _reached(self, now: int) -> int:
        self._step(self.kernel.turn(now, now))
        self._settle_queue()
        return self._plan()

    def _retick(self, market: Market, tick: Ticks, now: int) -> None:
        told = Message(event_type="tick_size_change", asset_id=market.up, new_tick_size=price_text(tick))
        self.venue.frame([told], MarketMs(now))
        super()._retick(market, tick, now)

    def _plan(self) -> int:
        self._due = min(super()._plan(), self.venue.next_due)
        return self._due

    def _catch_up(self, now: int) -> None:
        while (due := self._due) <= now:
            if self.venue.next_due <= due:
                self._now = max(due, self._now)
                self.venue.advance(MarketMs(self._now))
                self._listen()
                self._plan()
            else:
                super()._catch_up(min(now, due))
                self._plan()
        self._now = now

    def _handle(self, event: Event) -> None:
        if isinstance(event, MarketResolved | StreamChanged):
            self.venue.heard(event, MarketMs(self._now))
            self._listen()
        super()._handle(event)

    def _take(self, outputs: list[Output]) -> None:
        """Of the backtest's own exchange nothing is heard."""

    def _listen(self) -> None:
        for _, events in self.venue.take():
            self._queue.extend(events)
        self._settle_queue()

    def _do(self, command: Command) -> None:
        if isinstance(command, Follow):
            self.venue.follow(command.market)
        if isinstance(command, _NOT_THE_VENUES):
            super()._do(command)
            return
        self.venue.submit(command, MarketMs(self._now))
        for _, events in self.venue.take():
            self._queue.extend(events)
        self._plan()

    def _rewatch(self) -> None:
        """The paper exchange watches its own mirror."""

    def _final_checks(self) -> None:
        super()._final_checks()
        self.extras.broken += self.venue.audit()


def both(tmp_path: Path, rows: list[Row], trader: Any, paper: dict[str, Any]) -> tuple[Backtest, PaperPass]:
    settings = Configuration.model_validate({**SETTINGS.model_dump(include={"evaluation"}), "paper": paper})
    tape = write(tmp_path / "t.jsonl", rows)
    passes = Backtest(settings, trader()), PaperPass(settings, trader())
    for each in passes:
        report = each.run([Tape(tape)])
        assert report["invariants"]["broken_names"] == []
    return passes


def fills(run: Backtest, action: Action) -> list[tuple[int, int, int]]:
    """(ms after the window's start, price, size) of every fill."""
    found = [record for _, record in run.journal.read() if isinstance(record, FillBooked)]
    return [(fill.at - START, fill.price, fill.size) for fill in found if fill.action is action]


@pytest.fixture
def one_wallet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same address and key for both, so that order ids, being hashes, are the same."""
    monkeypatch.setattr(paper_venue, "address_of", lambda account: of_backtest.ADDRESS)
    monkeypatch.setattr(paper_venue, "API_KEY", of_backtest.API_KEY)


@pytest.mark.usefixtures("one_wallet")
def test_ops_06_paper_without_delays_is_the_backtest_to_the_byte(tmp_path: Path) -> None:
    """Entries, resting exits, a stop, a gap, two results: one journal."""
    central, paper = both(tmp_path, story(), Trader, {"latency_ms": 0, "min_standing_ms": 0})
    assert len(fills(central, Action.SELL)) >= 2
    assert paper.journal.bodies == central.journal.bodies


def resting_exit(view: View) -> list[Answer]:
    return [ExitTarget(Side.UP, ticks("0.50"), "test")] if view.positions else buy_once_and_hold()(view)


def sold(tmp_path: Path, *after: Row, **paper: Any) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """What a resting exit at 0.50 got in the backtest, and in paper."""
    rows = [*quiet_window(until_ms=119_000), *after]
    runs = both(tmp_path, rows, lambda: Scripted(resting_exit), paper)
    return fills(runs[0], Action.SELL), fills(runs[1], Action.SELL)


def test_paper_is_more_careful_with_a_quote_that_crosses_and_goes(tmp_path: Path) -> None:
    flash = book(AT, "0.50", "0.51"), book(AT + 50, "0.40", "0.51"), book(AT + 500, "0.40", "0.41")
    central, paper = sold(tmp_path, *flash)
    assert (len(central), len(paper)) == (1, 0)


def test_a_quote_that_crosses_and_stays_fills_both_paper_later(tmp_path: Path) -> None:
    central, paper = sold(tmp_path, book(AT, "0.50", "0.51"), book(AT + 500, "0.50", "0.51"))
    assert [(at + 100, price, size) for at, price, size in central] == paper


def test_a_print_through_the_price_fills_both_and_one_at_it_only_paper_behind_the_queue(tmp_path: Path) -> None:
    """The one place where paper gets what the backtest does not: what traded at the price beyond all that was ahead.

    Prints at the price fill the central account never, whatever their size.
    """
    buys = {"side": "BUY"}
    through = trade(AT, "0.51", "100")
    at_it = trade(AT, "0.50", "100")
    for row in (through, at_it):
        row["msg"] |= buys
    central, paper = sold(tmp_path, through)
    assert central == paper
    assert len(paper) == 1
    central, paper = sold(tmp_path, at_it)
    assert (len(central), len(paper)) == (0, 1), "nobody was displayed at 0.50"


def test_in_paper_prints_at_the_price_use_up_the_queue_first(tmp_path: Path) -> None:
    rows = quiet_window(until_ms=62_000)
    rows += [book(START + ms, "0.40", "0.50", size="150") for ms in range(62_000, 119_000, 1_000)]
    for ms in (0, 1_000):
        row = trade(AT + ms, "0.50", "100")
        row["msg"]["side"] = "BUY"
        rows.append(row)
    runs = both(tmp_path, rows, lambda: Scripted(resting_exit), {})
    assert [at for at, _, _ in fills(runs[1], Action.SELL)] == [121_000], "150 were ahead"


def test_paper_meets_the_book_later_by_its_latency(tmp_path: Path) -> None:
    """The ask of 0.41 is gone 200 ms after the decision: the backtest has it by then, paper does not."""
    rows = [gamma(START - 1_000), *(book(START + ms, "0.40", "0.41") for ms in range(0, 60_000, 1_000))]
    rows += [book(START + 60_200, "0.38", "0.40"), book(START + 60_700, "0.38", "0.40")]
    rows += [book(START + 61_000, "0.38", "0.40"), resolved(END)]
    central, paper = both(tmp_path, rows, lambda: Scripted(buy_once_and_hold()), {})
    assert {price for _, price, _ in fills(central, Action.BUY)} == {ticks("0.41")}
    assert {price for _, price, _ in fills(paper, Action.BUY)} <= {ticks("0.40")}


def test_of_a_level_without_a_size_paper_gets_nothing(tmp_path: Path) -> None:
    rows = [gamma(START - 1_000)]
    for ms in range(0, 120_000, 1_000):
        quote = {"event_type": "best_bid_ask", "asset_id": UP, "best_bid": "0.40", "best_ask": "0.41"}
        rows.append({"ts": START + ms, "source": "polymarket", "msg": quote})
    central, paper = both(tmp_path, rows, lambda: Scripted(buy_once_and_hold()), {})
    assert fills(central, Action.BUY)
    assert not fills(paper, Action.BUY)
