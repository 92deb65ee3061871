"""A kernel with a scripted venue: tests say what the venue does, and read what the kernel wants."""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import UNSET, UnsetType

from polyhost.kernel.kernel import Kernel
from polyhost.kernel.state import OrderEntry
from polyhost.model.builder import Builder
from polyhost.model.commands import Ask, Cancel, Command, Post, Prepare, QueryPositions
from polyhost.model.events import (
    BalanceSeen,
    CancelAnswered,
    Candidate,
    Evaluated,
    Event,
    MarketFound,
    MarketResolved,
    OrderSeen,
    PositionsSeen,
    PostAnswered,
    Prepared,
    Proposed,
    RunBegan,
    StreamChanged,
    SweepDone,
    TokenBalanceSeen,
    TradeSeen,
)
from polyhost.model.gateway import MakerSlice, OrderDraft, OrderRequest, OrderRow, PositionRow, SignedFields, TradeRow
from polyhost.model.market import Fees, Market
from polyhost.model.messages import Level, Message
from polyhost.model.money import MICRO, micros, ticks
from polyhost.model.order_hash import ZERO_BYTES32
from polyhost.model.proposals import Answer, Enter, Estimate, Pair, Signal
from polyhost.model.records import Record
from polyhost.model.rounding import limit_amounts
from polyhost.model.times import MarketMs
from polyhost.model.words import Action, Bias, Side
from polyhost.settings import Configuration

START = MarketMs(1_800_000_000_000)
CONDITION = "0xc0"
UP, DOWN = "101", "102"
C = TypeVar("C")


def window(duration_s: int = 900, *, start: int = START, condition: str = CONDITION, fee_ppm: int = 70_000) -> Market:
    """A BTC window with the usual rules."""
    name = {300: "5m", 900: "15m"}[duration_s]
    return Market(
        slug=f"btc-updown-{name}-{start // 1000}", condition_id=condition, up=UP if condition == CONDITION else "201",
        down=DOWN if condition == CONDITION else "202", start=MarketMs(start),
        end=MarketMs(start + duration_s * 1_000), symbol="BTC", duration_s=duration_s, fees=Fees(fee_ppm),
    )


class Rig:
    """Kernel, clock and a venue that does only what the test says."""

    def __init__(
        self, *, cash: str = "1000", market: Market | None = None, settings: dict[str, Any] | None = None,
        start_at: int = START - 5_000, follow: bool = True, told_hooks: tuple[str, ...] = (),
        channels: tuple[str, ...] = (), builder: Builder | UnsetType = UNSET, cannot_act: str | UnsetType = UNSET,
    ) -> None:
        self.kernel = Kernel(Configuration.model_validate(settings or {}), "main", told_hooks, channels)
        self.kernel.analyse = self.kernel.explain = False
        self.builder = builder
        self.cannot_act = cannot_act
        self.now = start_at
        self.records: list[Record] = []
        self.commands: list[Command] = []
        self.market = market or window()
        self.balance = micros(cash)
        self.trades = 0
        self.held: tuple[PositionRow, ...] | None = ()
        """What the venue says the wallet holds, when it is asked at a start; None: it does not answer."""
        self.shares_read = True
        """While time passes the balances of tokens are read again, and are as they were."""
        if follow:
            self.begin()

    def begin(self) -> None:
        self.do(RunBegan("run-1", "0.1.0", "sim", "hash", "main", self.builder, cannot_act=self.cannot_act))
        self.do(BalanceSeen(self.balance, True))
        self.do(StreamChanged("user", True, 1))
        self.do(SweepDone("", (), (), True, begun=self.now))
        self.do(MarketFound(self.market))

    # --- time and facts -----------------------------------------------------------------------------------------------

    def do(self, event: Event) -> list[Command]:
        """Hand in one fact; returns the commands it caused."""
        caused = self._keep(self.kernel.handle(event, self.now, self.now))
        asked = [c.begun for c in caused if isinstance(c, QueryPositions)]
        if asked and self.held is not None and self.kernel._core.adopting:
            caused += self.do(PositionsSeen(self.held, True, begun=asked[0]))
        return caused

    def _keep(self, step: Any) -> list[Command]:
        self.records += step.records
        self.commands += step.commands
        return list(step.commands)

    def to(self, now: int, *, balances: bool = True) -> list[Command]:
        """Let time pass (market and wall alike), every deadline at its own instant."""
        caused: list[Command] = []
        while (due := min(self.kernel.next_market_due, self.kernel.next_wall_due)) <= now:
            self.now = max(self.now, due)
            caused += self._keep(self.kernel.turn(self.now, self.now))
            if balances:
                self._keep(self.kernel.handle(BalanceSeen(self.balance, True), self.now, self.now))
            if self.shares_read:
                self._same_shares()
        self.now = now
        caused += self._keep(self.kernel.turn(now, now))
        return caused

    def _same_shares(self) -> None:
        for token, (balance, _) in list(self.kernel._core.fresh.tokens.items()):
            self._keep(self.kernel.handle(TokenBalanceSeen(token, balance), self.now, self.now))

    def wait(self, ms: int, **options: Any) -> list[Command]:
        return self.to(self.now + ms, **options)

    def book(self, up: str = "0.40/0.42", size: str = "1000", condition: str = CONDITION) -> None:
        """A full book with one level a side; "0.40/" is one-sided."""
        bid, _, ask = up.partition("/")
        token = UP if condition == CONDITION else "201"
        message = Message(
            event_type="book", asset_id=token, bids=[Level(bid, size)] if bid else [],
            asks=[Level(ask, size)] if ask else [],
        )
        if self.kernel.feed(message, self.now):
            self._keep(self.kernel.turn(self.now, self.now))

    # --- plugins ------------------------------------------------------------------------------------------------------

    def ask(self) -> Ask:
        """The next view the kernel asks about: lets the cadence come and keeps the book fresh."""
        data = self.kernel.data(self.market.condition_id)
        assert data is not None
        for _ in range(4):
            data.book.changed_at = self.now
            asks = [c for c in self.wait(1_000) if isinstance(c, Ask)]
            if asks:
                return asks[-1]
        raise AssertionError("the kernel asked no plugin within four seconds")

    def answer(
        self, *answers: Answer, stake: str | None = "25", vetoes: tuple[tuple[str, str], ...] = ()
    ) -> list[Command]:
        """Answer the next view with these entries and proposals, as plugin ``test``."""
        ask = self.ask()
        return self.reply(ask, *answers, stake=stake, vetoes=vetoes)

    def reply(
        self, ask: Ask, *answers: Answer, stake: str | None = "25", vetoes: tuple[tuple[str, str], ...] = ()
    ) -> list[Command]:
        view = ask.view
        entries = [a for a in answers if isinstance(a, Enter | Pair)]
        others = [a for a in answers if not isinstance(a, Enter | Pair)]
        return self.do(
            Evaluated(
                view.view_seq, view.book_epoch, view.state_rev, view.market.condition_id,
                signals=(("s", Signal(0.6, 0.5)),), estimates=(("c", Estimate(0.6, 0.2, Bias.UP)),), trading="c",
                candidates=tuple(
                    Candidate(Proposed("test", e), None if stake is None else micros(stake), "sizer", vetoes)
                    for e in entries
                ),
                proposals=tuple(Proposed("test", a) for a in others),
            )
        )

    # --- the venue ----------------------------------------------------------------------------------------------------

    def sign(self, draft: OrderDraft) -> list[Command]:
        """The gateway signs; returns what follows (the post)."""
        amounts = limit_amounts(draft.action, draft.price, draft.size)
        fields = SignedFields(
            1, "0x01", "0x01", draft.token_id, amounts.maker, amounts.taker, draft.action, 0, self.now, ZERO_BYTES32,
            ZERO_BYTES32,
        )
        request = OrderRequest(
            f"0x{draft.ref}", fields, "0x", draft.order_type, draft.post_only, draft.expiration_s, "key", draft.neg_risk
        )
        return self.do(Prepared(draft.ref, request))

    def posted(self, commands: list[Command]) -> Post:
        """Sign the one draft among the commands; the post that results."""
        draft = only(commands, Prepare).draft
        return only(self.sign(draft), Post)

    def accept(self, post: Post, status: str = "live") -> list[Command]:
        return self.do(PostAnswered(post.request.order_id, "accepted", status))

    def refuse(self, post: Post, code: str, text: str = "refused") -> list[Command]:
        return self.do(PostAnswered(post.request.order_id, "refused", code=code, text=text))

    def trade(
        self, order: OrderEntry, size: str, price: str, status: str = "MATCHED", *, trade_id: str = "",
        maker: bool = False,
    ) -> list[Command]:
        """The venue reports a trade of our order."""
        if not trade_id:
            self.trades += 1
            trade_id = f"t{self.trades}"
        draft = order.draft
        own = MakerSlice(order.order_id, draft.token_id, draft.action, ticks(price), micros(size))
        row = TradeRow(
            trade_id, CONDITION, draft.token_id, "0xother" if maker else order.order_id,
            draft.action, ticks(price), micros(size), status, self.now // 1000, (own,) if maker else (),
        )
        return self.do(TradeSeen(row, "stream"))

    def row(self, order: OrderEntry, status: str, matched: str | None, kind: str = "") -> OrderRow:
        draft = order.draft
        return OrderRow(
            order.order_id, CONDITION, draft.token_id, draft.action, draft.price, draft.size,
            None if matched is None else micros(matched), status, kind,
        )

    def see(
        self, order: OrderEntry, status: str, matched: str | None, kind: str = "", source: str = "stream"
    ) -> list[Command]:
        """The venue shows an order of ours."""
        return self.do(OrderSeen(self.row(order, status, matched, kind), source))

    def canceled(self, order: OrderEntry, matched: str = "0") -> list[Command]:
        """A cancel is answered and its end is proved by the stream."""
        caused = self.do(CancelAnswered(order.order_id, "canceled"))
        return caused + self.see(order, "CANCELED", matched, "CANCELLATION")

    def asks(self) -> int:
        """The kernel asks for its market's open orders and trades now; when that left."""
        self.wait(0)
        core = self.kernel.flow.core
        core.sweep(CONDITION, 0)
        self._keep(core.take())
        return self.now

    def swept(
        self, *rows: OrderRow, trades: tuple[TradeRow, ...] = (), complete: bool = True, begun: int | None = None
    ) -> list[Command]:
        """The answer to such a question: the one that left at ``begun``, or one that leaves now."""
        left = self.asks() if begun is None else begun
        return self.do(SweepDone(CONDITION, rows, trades, complete, begun=left))

    def resolve(self, winner: Side | None) -> list[Command]:
        return self.do(MarketResolved(self.market.condition_id, winner, "test"))

    # --- common stories -----------------------------------------------------------------------------------------------

    def enter(self, side: Side = Side.UP, price: str = "0.42", stake: str = "25") -> OrderEntry:
        """Enter at market, fully filled and confirmed, with the balance visible; returns the order."""
        post = self.posted(self.answer(Enter(side, ticks(price), "test"), stake=stake))
        order = self.order(post)
        self.accept(post, "matched")
        self.fill(order)
        return order

    def fill(self, order: OrderEntry, price: str | None = None, size: str | None = None) -> None:
        text = price or f"{order.draft.price / 10_000}"
        amount = size or f"{order.draft.size / MICRO}"
        self.trades += 1
        trade_id = f"t{self.trades}"
        self.trade(order, amount, text, "MATCHED", trade_id=trade_id)
        self.trade(order, amount, text, "CONFIRMED", trade_id=trade_id)
        if order.open:
            self.see(order, "CANCELED", amount, "CANCELLATION")
        if order.draft.action is Action.BUY:
            self.balances(order.slot.side)

    def balances(self, side: Side = Side.UP, size: str | None = None) -> None:
        """The venue's balance shows the position (or what the test says)."""
        position = self.kernel.state.position(CONDITION, side)
        assert position is not None
        self.do(TokenBalanceSeen(position.token_id, position.size if size is None else micros(size)))

    def order(self, post: Post) -> OrderEntry:
        order = self.kernel.state.by_order_id(post.request.order_id)
        assert order is not None
        return order

    def cash(self, account: str = "free") -> int:
        return self.kernel.state.balance(account)


def only(commands: list[Command], kind: type[C]) -> C:
    """The one command of this kind; fails when there is none or more."""
    found = [c for c in commands if isinstance(c, kind)]
    assert len(found) == 1, f"{len(found)} of {kind.__name__} in {[type(c).__name__ for c in commands]}"
    return found[0]


def none(commands: list[Command], *kinds: type) -> None:
    """None of these kinds was commanded."""
    found = [type(c).__name__ for c in commands if isinstance(c, kinds)]
    assert not found, found


def cancels(commands: list[Command]) -> list[str]:
    return [c.order_id for c in commands if isinstance(c, Cancel)]
