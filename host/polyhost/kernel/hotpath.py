"""The hot path: message → token table → integer book → four integer compares. Nothing else happens here.

For a message that trips nothing there is no event, record, log call or walk over markets.
"""

from __future__ import annotations

from typing import Final

from polyhost.kernel.prints import Prints
from polyhost.model.book import TICKS_OF, Book
from polyhost.model.market import normal_token
from polyhost.model.messages import FETCHED, WITNESSED, Change, Message
from polyhost.model.money import ONE, Micros, Ticks, fast_micros
from polyhost.model.words import Side

MIRROR_CHECK: Final = 256
"""Of the messages that carry both tokens, every 256th is checked against its mirror: 0.4 % of the work, and a
difference that lasts is found within seconds."""
ALIASES_MAX: Final = 8
"""Other spellings of one token (hex, capitals, leading zeros) that are remembered; further ones are read each time."""


class Lane:
    """Where a token's messages go."""

    __slots__ = ("aliases", "book", "condition_id", "down", "prints", "side", "token_id")

    def __init__(self, condition_id: str, token_id: str, side: Side, book: Book, prints: Prints) -> None:
        self.condition_id = condition_id
        self.token_id = token_id
        self.side = side
        self.down = side is Side.DOWN
        self.book = book
        self.prints = prints
        self.aliases: list[str] = []
        """Other spellings of the token that messages used; they stand in the token table too."""


class Feed:
    """Token table and books. ``apply`` returns the condition id whose watched price was reached, else None.

    Markets name their tokens in the normal spelling; messages may use another (ORD-05).
    """

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self.unknown_tokens = 0
        """Messages about tokens nobody follows."""
        self.unknown_kinds = 0
        self.bad_values = 0
        """Messages whose price or size was no number; each spoils its book's epoch, but for prints."""
        self.mirror_faults = 0
        self.pairs = 0
        self._ticks: dict[str, Ticks] = {}
        """Condition id → the tick last told by the stream."""
        self.tick_changes: list[tuple[str, Ticks]] = []
        """(condition id, new tick) announced by the stream, taken by the kernel at its next turn."""

    def add(self, condition_id: str, up: str, down: str) -> Book:
        """Follow a market; returns its (empty, unready) book."""
        book, prints = Book(), Prints()
        self.lanes[up] = Lane(condition_id, up, Side.UP, book, prints)
        self.lanes[down] = Lane(condition_id, down, Side.DOWN, book, prints)
        return book

    def remove(self, up: str, down: str) -> None:
        for token in (up, down):
            lane = self.lanes.pop(token, None)
            if lane is not None:
                self._ticks.pop(lane.condition_id, None)
                for alias in lane.aliases:
                    del self.lanes[alias]

    def apply(self, message: Message, now: int) -> str | None:
        """Bring one message into its book."""
        kind = message.event_type
        if kind == "price_change":
            changes = message.price_changes
            if not changes:
                return None
            lane = self.lanes.get(changes[0].asset_id)
            if lane is None and (lane := self._respelt(changes[0].asset_id)) is None:
                self.unknown_tokens += 1
                return None
            book = lane.book
            if not book.ready:
                return None
            try:
                if len(changes) == 2 and changes[1].asset_id != changes[0].asset_id:
                    self._pair(lane, changes)
                else:
                    self._changes(lane, changes)
            except ValueError:
                self._bad(book)
                return None
        elif kind == "last_trade_price":
            if message.side:
                # The taker's; a print that does not tell it says nothing of the flow.
                try:
                    self.printed(message.asset_id, message.side == "BUY", fast_micros(message.size), now)
                except ValueError:
                    self.bad_values += 1  # no book depends on it
            return None
        else:
            lane = self.lanes.get(message.asset_id)
            if lane is None and (lane := self._respelt(message.asset_id)) is None:
                self.unknown_tokens += 1
                return None
            book = lane.book
            try:
                if kind == "book" or (not kind and message.bids is not None):
                    book.replace(lane.side, message.bids or (), message.asks or ())
                    if message.tick_size:
                        self._tick(lane, message.tick_size)
                elif kind == "best_bid_ask":
                    if not (book.ready and book.sized):
                        # A venue that also sends sizes keeps the sized book; the quote alone would lose them.
                        book.quote(lane.side, message.best_bid, message.best_ask)
                elif kind == "tick_size_change":
                    self._tick(lane, message.new_tick_size)
                    return None
                elif kind == WITNESSED:
                    if book.ready:
                        book.changed_at = max(book.changed_at, int(message.timestamp))
                    return None
                elif kind.startswith(FETCHED):
                    return self._fetched(lane, message, now)
                else:
                    self.unknown_kinds += 1
                    return None
            except ValueError:
                self._bad(book)
                return None
        book.changed_at = now
        if (
            book.best_bid >= book.bid_high
            or book.best_ask <= book.ask_low
            or book.best_bid <= book.bid_low
            or book.best_ask >= book.ask_high
        ):
            return lane.condition_id
        return None

    def printed(self, token_id: str, bought: bool, size: Micros, now: int) -> None:
        """A taker bought (or sold) a token; micro-shares, market ms."""
        lane = self.lanes.get(token_id) or self._respelt(token_id)
        if lane is None:
            self.unknown_tokens += 1
        else:
            lane.prints.add(bought is not lane.down, size, now)

    def _fetched(self, lane: Lane, message: Message, now: int) -> str | None:
        """Prices that were asked for: taken only while the stream's book is lost (CON-03)."""
        book = lane.book
        if book.ready:
            return None  # the stream was faster than the answer
        source = message.event_type.removeprefix(FETCHED)
        if message.bids is not None:
            book.fetch(lane.side, message.bids, message.asks or (), source)
        else:
            book.fetch_midpoint(lane.side, message.price, source)
        book.changed_at = min(int(message.timestamp), now)
        return lane.condition_id if book.tripped() else None

    def _respelt(self, text: str) -> Lane | None:
        """A token that the table does not know by this spelling; remembered, so that it is normalised once."""
        lane = self.lanes.get(normal_token(text))
        if lane is not None and len(lane.aliases) < ALIASES_MAX and text not in self.lanes:
            lane.aliases.append(text)
            self.lanes[text] = lane
        return lane

    def _pair(self, lane: Lane, changes: list[Change]) -> None:
        """One level and its mirror, by far the most frequent message: what ``_changes`` does, without its loop."""
        change = changes[0]
        book = lane.book
        price = TICKS_OF[change.price]
        size = fast_micros(change.size)
        if lane.down:
            price = ONE - price
        if (change.side == "BUY") is lane.down:
            book.set_ask(price, size)
        else:
            book.set_bid(price, size)
        self.pairs += 1
        if self.pairs % MIRROR_CHECK == 0:
            self._check(book, changes, change.asset_id)

    def _changes(self, lane: Lane, changes: list[Change]) -> None:
        """Apply the changes of the first token named; the other token's are its mirror."""
        first = changes[0].asset_id
        book = lane.book
        down = lane.down
        texts = TICKS_OF
        mirrored = 0
        for change in changes:
            if change.asset_id != first:
                mirrored += 1
                continue
            price = texts[change.price]
            size = fast_micros(change.size)
            if (change.side == "BUY") is down:
                book.set_ask(ONE - price if down else price, size)
            else:
                book.set_bid(ONE - price if down else price, size)
        if mirrored:
            self.pairs += 1
            if mirrored * 2 != len(changes):
                self._other(changes, first)
            elif self.pairs % MIRROR_CHECK == 0:
                self._check(book, changes, first)

    def _other(self, changes: list[Change], first: str) -> None:
        """The two tokens' parts differ in number: no mirror, so the rest is applied as it stands."""
        for change in changes:
            lane = self.lanes.get(change.asset_id) or self._respelt(change.asset_id)
            if change.asset_id != first and lane is not None:
                self._changes(lane, [change])

    def _check(self, book: Book, changes: list[Change], first: str) -> None:
        """The mirror of every applied change must be what the book now says; else continuity is lost."""
        for change in changes:
            lane = self.lanes.get(change.asset_id) or self._respelt(change.asset_id)
            if change.asset_id == first or lane is None:
                continue
            price = TICKS_OF[change.price]
            at = ONE - price if lane.down else price
            levels = book.asks if (change.side == "BUY") is lane.down else book.bids
            if levels.get(at, 0) != fast_micros(change.size):
                self.mirror_faults += 1
                book.spoil()
                return

    def _tick(self, lane: Lane, text: str) -> None:
        """Full books repeat the tick: only a tick that differs from the last one told wakes the kernel."""
        tick = TICKS_OF[text]
        if self._ticks.get(lane.condition_id) != tick:
            self._ticks[lane.condition_id] = tick
            self.tick_changes.append((lane.condition_id, tick))

    def _bad(self, book: Book) -> None:
        """A value that is no number: the message is lost, so the book can't be trusted any more."""
        self.bad_values += 1
        book.spoil()
