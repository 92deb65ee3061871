"""The story the crash matrix tells: four windows in which everything happens that an order can go through.

The market's side is a script of quotes and takers of the simulated exchange; ours is a small set of plugins without
memory: what they answer follows from the view alone, so that a restarted host goes on with the story.

BTC  UP: bought at market, a target that moves, an urgent sale. DOWN: a resting buy, filled in parts, held to the end.
ETH  UP: bought at market, sold by its resting exit in parts; a second buy rests and is cancelled. DOWN: bought, and
     left to its obligation.
SOL  A pair, bought one leg after the other and merged; a second pair whose second leg is gone, and is rolled back.
XRP  A quote that buys, moves and is filled; a split, a quote that sells of it, and what is left paired goes to the
     result and is redeemed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from polyhost.exchange.api import Output
from polyhost.exchange.core import Exchange
from polyhost.exchange.rules import ExchangeRules
from polyhost.model.commands import Remember, Tell
from polyhost.model.events import Candidate, Evaluated, PluginStruck, PluginTold, Proposed
from polyhost.model.market import Market
from polyhost.model.money import ONE, Micros, Ticks, micros
from polyhost.model.proposals import (
    CancelOrders,
    Enter,
    Estimate,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    Merge,
    Pair,
    Proposal,
    QuoteTarget,
    Signal,
    Split,
)
from polyhost.model.times import NEVER, MarketMs
from polyhost.model.view import View
from polyhost.model.words import Action, Bias, OrderType, Purpose, Side

START: Final = MarketMs(1_800_000_000_000)
"""When all windows open."""
BEGIN: Final = MarketMs(START - 6_000)
LENGTH_S: Final = 300
"""Of each window."""
RESOLVE_MS: Final = 8_000
"""From their end to the result."""
REDEEM_MS: Final = 4_000
"""From the result to the operator's word."""
HOUSE: Final = "house"
DEEP: Final[Micros] = micros("500")
STAKE: Final[Micros] = micros("12")
QUOTED: Final[Micros] = micros("8")
SPLIT: Final[Micros] = micros("10")
PLUGIN: Final = "story"

Quote = tuple[int, str, Ticks, Ticks]
"""(second of the window, symbol, UP bid, UP ask)."""
QUOTES: Final[tuple[Quote, ...]] = (
    (-5, "BTC", 4_800, 5_200), (-5, "ETH", 4_900, 5_100),
    (60, "BTC", 5_400, 5_600), (100, "ETH", 5_700, 6_100),
    (110, "BTC", 4_400, 4_700), (150, "ETH", 5_800, 6_300), (200, "BTC", 3_000, 3_300),
    (230, "BTC", 1_000, 1_300), (258, "ETH", 6_400, 6_700),
    (-5, "SOL", 4_900, 5_100), (150, "SOL", 4_000, 4_300), (165, "SOL", 4_900, 5_100),
    (-5, "XRP", 4_700, 5_300), (120, "XRP", 5_600, 5_900),
)  # fmt: skip
Take = tuple[int, str, Side, Action, Ticks, Micros]
"""(second, symbol, side, action of somebody else at market, limit, size)."""
TAKES: Final[tuple[Take, ...]] = (
    (45, "BTC", Side.DOWN, Action.SELL, 4_900, micros("8")), (75, "BTC", Side.DOWN, Action.SELL, 4_500, micros("40")),
    (104, "ETH", Side.UP, Action.BUY, 6_000, micros("7")), (130, "ETH", Side.UP, Action.BUY, 6_000, micros("100")),
    (40, "XRP", Side.UP, Action.SELL, 4_900, micros("20")), (100, "XRP", Side.UP, Action.BUY, 5_200, micros("3")),
)  # fmt: skip
SYMBOLS: Final = ("BTC", "ETH", "SOL", "XRP")
TOLD: Final = (("pause", 170), ("resume", 175))
"""The operator's words and when, in seconds of the window."""


def market(symbol: str) -> Market:
    """One of the windows."""
    number = SYMBOLS.index(symbol) + 1
    return Market(
        slug=f"{symbol.lower()}-updown-5m-{START // 1_000}", condition_id=f"0xc{number}", up=f"{number}01",
        down=f"{number}02", end=MarketMs(START + LENGTH_S * 1_000), start=START, symbol=symbol, duration_s=LENGTH_S,
    )


class Script:
    """The venue with the market's side of the story."""

    def __init__(self) -> None:
        self.exchange = Exchange(ExchangeRules(snapshots=False), BEGIN)
        self.exchange.open_house(HOUSE)
        self.markets = [market(symbol) for symbol in SYMBOLS]
        self.began = BEGIN
        self.ends = START + LENGTH_S * 1_000 + RESOLVE_MS
        self.words = (
            *((word, START + second * 1_000) for word, second in TOLD), ("redeem", self.ends + REDEEM_MS),
        )
        self._by_symbol = {each.symbol: each for each in self.markets}
        self._quoted: dict[str, list[str]] = {}
        entries: list[Quote | Take] = [*QUOTES, *TAKES]
        self._agenda: list[tuple[int, int, Quote | Take | None]] = [
            (START + entry[0] * 1_000, number, entry) for number, entry in enumerate(entries)
        ]
        self._agenda.append((self.ends, len(self._agenda), None))
        self._agenda.sort(reverse=True)
        for each in self.markets:
            self.exchange.add_market(each, BEGIN)

    @property
    def next_due(self) -> int:
        return min(self._agenda[-1][0] if self._agenda else NEVER, self.exchange.next_due)

    def advance(self, now: MarketMs) -> list[Output]:
        """What the market does up to ``now``."""
        out = self.exchange.advance(now)
        while self._agenda and self._agenda[-1][0] <= now:
            entry = self._agenda.pop()[2]
            if entry is None:
                out += self._decide(now)
            elif len(entry) == 4:
                out += self._quote(entry, now)
            else:
                out += self._take(entry, now)
        return out

    def _quote(self, quote: Quote, now: MarketMs) -> list[Output]:
        """Everybody else's orders move to new prices; a resting order of ours that they cross is filled."""
        _, symbol, bid, ask = quote
        out: list[Output] = []
        for order_id in self._quoted.pop(symbol, ()):
            out += self.exchange.cancel_house(order_id, now)
        token = self._by_symbol[symbol].up
        placed = []
        for action, price in ((Action.BUY, bid), (Action.SELL, ask), (Action.BUY, bid - 100), (Action.SELL, ask + 100)):
            order_id, said = self.exchange.place_house(HOUSE, token, action, price, DEEP, OrderType.GTC, now)
            placed.append(order_id)
            out += said
        self._quoted[symbol] = [order_id for order_id in placed if order_id]
        return out

    def _take(self, take: Take, now: MarketMs) -> list[Output]:
        _, symbol, side, action, price, size = take
        token = self._by_symbol[symbol].token(side)
        return self.exchange.place_house(HOUSE, token, action, price, size, OrderType.FAK, now)[1]

    def _decide(self, now: MarketMs) -> list[Output]:
        out: list[Output] = []
        for symbol, each in self._by_symbol.items():
            winner = Side.DOWN if symbol == "BTC" else Side.UP
            out += self.exchange.decide(each.condition_id, winner, None, None, now)
        return out


class Story:
    """Our side: the answers of one plugin, from the view alone."""

    told_hooks = frozenset({"on_fill"})

    def evaluate(self, view: View) -> Evaluated:
        answers = ANSWERS[view.market.symbol](view)
        entries = [answer for answer in answers if isinstance(answer, Enter | Pair)]
        return Evaluated(
            view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id,
            signals=((PLUGIN, Signal(0.6, 0.5)),), estimates=((PLUGIN, Estimate(0.6, 0.2, Bias.UP)),), trading=PLUGIN,
            candidates=tuple(Candidate(Proposed(PLUGIN, entry), STAKE, PLUGIN) for entry in entries),
            proposals=tuple(Proposed(PLUGIN, answer) for answer in answers if not isinstance(answer, Enter | Pair)),
        )  # fmt: skip

    def tell(self, command: Tell) -> list[PluginTold]:
        return [PluginTold(PLUGIN, command.hook, {"last_fill": str(command.at)})]

    def remember(self, command: Remember) -> None:
        raise AssertionError("the story's wishes promise nothing")

    def struck(self) -> list[PluginStruck]:
        return []


def _buy(view: View, side: Side, reason: str) -> Enter:
    return Enter(side, min(view.side(side).ask + 100, ONE - 100), reason)


def _btc(view: View) -> list[Proposal]:
    second = view.elapsed_s
    answers: list[Proposal] = []
    if 10 <= second < 100 and Side.UP not in view.taken:
        answers.append(_buy(view, Side.UP, "bought at market"))
    if 30 <= second < 44 and Side.DOWN not in view.taken:
        price = view.side(Side.DOWN).bid + 100
        answers.append(Enter(Side.DOWN, price, "rests", order_type="GTC"))
    if second >= 100 and any(order.action is Action.BUY for order in view.orders):
        answers.append(CancelOrders(None, "too old"))
    if view.position(Side.UP) is not None:
        if second >= 140:
            answers.append(ExitNow(Side.UP, "stop", "stop"))
        else:
            answers.append(ExitTarget(Side.UP, 7_000 if second < 90 else 6_600, "target"))
    down = view.position(Side.DOWN)
    if down is not None and not down.held and second >= 180:
        answers.append(HoldToSettlement(Side.DOWN, "it wins"))
    return answers


def _eth(view: View) -> list[Proposal]:
    second = view.elapsed_s
    answers: list[Proposal] = []
    if 15 <= second < 95 and Side.UP not in view.taken:
        answers.append(_buy(view, Side.UP, "bought at market"))
    if 20 <= second < 95 and Side.DOWN not in view.taken:
        answers.append(_buy(view, Side.DOWN, "bought at market"))
    second_buy = [order for order in view.orders if order.purpose is Purpose.SCALE_IN]
    if 50 <= second < 60 and not second_buy:
        price = view.side(Side.UP).bid - 300
        answers.append(Enter(Side.UP, price, "rests", Purpose.SCALE_IN, "GTC"))
    if second >= 70 and second_buy:
        answers.append(CancelOrders(Side.UP, "not filled"))
    if view.position(Side.UP) is not None:
        answers.append(ExitTarget(Side.UP, 6_000, "target"))
    return answers


def _sol(view: View) -> list[Proposal]:
    second = view.elapsed_s
    answers: list[Proposal] = []
    idle = not view.orders and not view.positions
    if idle and (10 <= second < 60 or 145 <= second < 150):
        answers.append(Pair(view.up.ask + 100, view.down.ask + 100, STAKE, "both", Side.UP))
    if second >= 90 and any(position.paired for position in view.positions):
        answers.append(Merge(None, "both are held"))
    return answers


def _xrp(view: View) -> list[Proposal]:
    second = view.elapsed_s
    answers: list[Proposal] = []
    up = view.position(Side.UP)
    if 10 <= second < 60:
        price = 4_800 if second < 25 else 4_900
        answers.append(QuoteTarget(Side.UP, Action.BUY, price, QUOTED, reason="bids"))
    if 70 <= second < 90 and view.position(Side.DOWN) is None:
        answers.append(Split(SPLIT, "inventory"))
    if up is not None and 80 <= second < 130:
        answers.append(QuoteTarget(Side.UP, Action.SELL, 5_200, micros("5"), reason="offers"))
    if up is not None and second >= 130:
        answers.append(ExitTarget(Side.UP, 5_500, "target"))
    return answers


ANSWERS: Final[dict[str, Callable[[View], list[Proposal]]]] = {"BTC": _btc, "ETH": _eth, "SOL": _sol, "XRP": _xrp}
