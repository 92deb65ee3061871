"""A paper exchange in virtual time, in a trader's words: what the live market shows, what we order, what came of it."""

from __future__ import annotations

from typing import Any

from polyhost.exchange.rules import Queue
from polyhost.model import commands, events
from polyhost.model.commands import Command
from polyhost.model.events import Event
from polyhost.model.gateway import OrderDraft
from polyhost.model.market import Market
from polyhost.model.messages import Change, Level, Message
from polyhost.model.money import micros, money_text, ticks
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, OrderType, Side
from polyhost.service.paper_venue import PaperVenue, restored
from polyhost.settings import Configuration

UP, DOWN, CONDITION = "101", "202", "0xc0"
START = 1_786_406_400_000
assert Queue.BEHIND


def market(number: int = 0, **more: Any) -> Market:
    """A window of 15 minutes; tokens 101 and 202, of number 1 1101 and 1202 …"""
    fields: dict[str, Any] = {
        "slug": f"btc-updown-15m-{number}", "condition_id": f"0xc{number}", "up": str(1_000 * number + 101),
        "down": str(1_000 * number + 202), "start": MarketMs(START), "end": MarketMs(START + 900_000),
    }  # fmt: skip
    return Market(**{**fields, **more})


def settings(**paper: Any) -> Configuration:
    """100 ms under way, quotes stand 100 ms, behind all of the queue, unless said otherwise."""
    table = {"latency_ms": 100, "min_standing_ms": 100, **paper}
    return Configuration.model_validate({"paper": table})


def book_message(bids: dict[str, str], asks: dict[str, str], token: str = UP, tick: str = "") -> Message:
    return Message(
        event_type="book", asset_id=token, tick_size=tick, bids=[Level(p, s) for p, s in bids.items()],
        asks=[Level(p, s) for p, s in asks.items()],
    )


class Bench:
    """One paper account of 1,000.00 and one window whose book shows 0.48 x 30 bid and 0.52 x 20 asked."""

    def __init__(self, given: Configuration | None = None, **fields: Any) -> None:
        self.settings = given or settings()
        self.market = market(**fields)
        self.now = START
        self.venue = PaperVenue(self.settings, MarketMs(START))
        self.snapshot = self.venue.save()
        self.parts: list[tuple[Any, Any]] = []
        self.events: list[Event] = []
        """Everything that was said, in order."""
        self.answers: dict[int, list[Event]] = {}
        self.count = 0
        self.venue.follow(self.market)
        self.book({"0.48": "30"}, {"0.52": "20"})
        self.wait(1_000)

    # --- the live market ----

    def say(self, *messages: Message) -> None:
        self.venue.frame(messages, MarketMs(self.now))
        self._take()

    def book(self, bids: dict[str, str], asks: dict[str, str], token: str = UP, tick: str = "") -> None:
        """A full book of one token."""
        self.say(book_message(bids, asks, token, tick))

    def level(self, side: str, price: str, size: str, token: str = UP) -> None:
        """One level's new total, as the venue tells it: of both tokens. ``side`` BUY (a bid) or SELL (an ask)."""
        other = DOWN if token == UP else UP
        mirror = f"{(10_000 - ticks(price)) / 10_000:.4f}"
        against = "SELL" if side == "BUY" else "BUY"
        changes = [Change(token, price, size, side), Change(other, mirror, size, against)]
        self.say(Message(event_type="price_change", market=CONDITION, price_changes=changes))

    def trade(self, price: str, size: str, side: str = "SELL", token: str = UP, age_ms: int = 0) -> None:
        """A print: somebody else took."""
        stamp = str(self.now - age_ms)
        self.say(Message(
            event_type="last_trade_price", asset_id=token, price=price, size=size, side=side, timestamp=stamp,
        ))  # fmt: skip

    def hear(self, event: Event) -> None:
        self.venue.heard(event, MarketMs(self.now))
        self._take()

    def cut(self) -> None:
        """The market stream is lost and comes back, without a book yet."""
        self.hear(events.StreamChanged("market", False, 1, "cut"))
        self.hear(events.StreamChanged("market", True, 2))

    def resolve(self, winner: Side | None = Side.UP) -> None:
        self.hear(events.MarketResolved(self.market.condition_id, winner, "test"))

    # --- time ----

    def wait(self, ms: int) -> None:
        self.now += ms
        self.venue.advance(MarketMs(self.now))
        self._take()

    # --- we ----

    def send(self, command: Command) -> int:
        ticket = self.venue.submit(command, MarketMs(self.now))
        self._take()
        return ticket

    def order(
        self, action: str, price: str, size: str, kind: str = "GTC", token: str = UP, post_only: bool = False,
        expiration_s: int = 0,
    ) -> str:
        """Sign and post an order; its id. It is under way now."""
        self.count += 1
        draft = OrderDraft(
            f"r{self.count}", token, Action(action), OrderType(kind), ticks(price), micros(size), self.market.tick,
            False, post_only, expiration_s,
        )  # fmt: skip
        prepared = self.answers[self.send(commands.Prepare(draft))][0]
        assert isinstance(prepared, events.Prepared)
        self.send(commands.Post(prepared.request))
        return prepared.request.order_id

    def rests(self, action: str, price: str, size: str, **more: Any) -> str:
        """An order that has come to rest."""
        order_id = self.order(action, price, size, **more)
        self.wait(300)
        assert self.status(order_id) == "LIVE", self.status(order_id)
        return order_id

    def cancel(self, order_id: str) -> int:
        return self.send(commands.Cancel(order_id))

    def holding(self, size: str, price: str = "0.52") -> None:
        """Settled shares of UP, bought at market."""
        self.order("BUY", price, size, "FAK")
        self.wait(10_000)
        assert self.shares() == micros(size)

    # --- seen ----

    def posted(self, order_id: str) -> events.PostAnswered:
        return next(e for e in self.events if isinstance(e, events.PostAnswered) and e.order_id == order_id)

    def filled(self, order_id: str) -> str:
        """Shares matched so far, as a decimal."""
        return money_text(self.matched(order_id))

    def matched(self, order_id: str) -> int:
        row = self.venue.exchange.order(order_id)
        return 0 if row is None else row.size_matched or 0

    def status(self, order_id: str) -> str:
        row = self.venue.exchange.order(order_id)
        return "" if row is None else row.status

    def shares(self, token: str = UP) -> int:
        return self.venue.exchange.holdings(self.venue.address).get(token, 0)

    @property
    def cash(self) -> str:
        return money_text(self.venue.collateral)

    def heard(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def sound(self) -> None:
        assert self.venue.audit() == []

    # --- a restart ----

    def restart(self, away_ms: int = 0) -> None:
        """The host is killed and starts again: what was kept is all there is, and there is no book yet."""
        self.now += away_ms
        self.answers.clear()
        state = restored(self.snapshot, self.parts)
        self.venue = PaperVenue(self.settings, MarketMs(self.now), state)
        self.venue.advance(MarketMs(self.now))
        self.venue.follow(self.market)
        self._take()

    def _take(self) -> None:
        changed = self.venue.changes()
        if changed is not None:
            self.parts.append((sorted(changed[0]), changed[1]))
        for ticket, said in self.venue.take():
            if ticket is not None:
                assert ticket not in self.answers, "one answer a request"
                self.answers[ticket] = said
            self.events += said
