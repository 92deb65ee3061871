"""What goes wrong between the venue and a client: answers and stream events lost, late, doubled, out of order, altered.

One ``Faults`` stands at the venue's edge, whatever the edge is: it sees each request before the exchange does
(``before``) and everything the exchange says before any client does (``after``); what it holds back comes with
``due``. It has no clock: all times are market ms.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

from msgspec import structs

from polyhost.exchange import api, refusals
from polyhost.exchange.pathologies.chance import Pathologies
from polyhost.model.times import NEVER
from polyhost.model.words import Action, OrderType

SILENCE_MS: Final = 10_000
"""After this time without an answer a client's connection ends."""
SILENT: Final = "transport: the connection ended without an answer"
RETRY_AFTER_S: Final = 1
STREAMS: Final = ("market", "user")
_PRICES: Final = (api.PriceTick, api.CandleTick)
_USER: Final = (api.UserOrder, api.UserTrade)
_MARKET: Final = (api.BookChanged, api.BookSnapshot, api.Printed, api.TickChanged, api.MarketDecided)


class Faults:
    """The venue's edge, in the state it is in."""

    def __init__(self, pathologies: Pathologies, streams: tuple[str, ...] = STREAMS) -> None:
        """``streams``: which of ``market`` and ``user`` may freeze or break."""
        self.pathologies = pathologies
        self.streams = streams
        self._held: list[tuple[int, int, api.Output]] = []
        self._numbers = 0
        self._requests = 0
        self._balances: dict[int, tuple[str, str]] = {}
        """Balances that were asked for: request to account and token."""
        self._zero: dict[tuple[str, str], int] = {}
        """Until when an account's token reads 0."""
        self._hidden: dict[str, int] = {}
        """Until when nobody is told of a trade."""
        skewed = pathologies.strikes("clock_skew")
        size = pathologies.between("clock_skew", 2, 20, "size")
        self.skew_s = (size if pathologies.between("clock_skew", 0, 1, "sign") else -size) if skewed else 0
        """Seconds by which the venue's clock is ahead."""

    # --- requests -----------------------------------------------------------------------------------------------------

    def limited(self) -> bool:
        """Count one more request: is it one too many?"""
        self._requests += 1
        return self.pathologies.strikes("rate_limit", str(self._requests))

    def before(self, request: api.Request, *, counted: bool = False) -> tuple[api.Request, api.Output | None]:
        """The request as the exchange gets it, and the refusal if it never gets there.

        ``counted``: it is part of a batch that was counted as a whole.
        """
        if not counted and self.limited():
            return request, refused(request, refusals.TOO_MANY, RETRY_AFTER_S)
        match request:
            case api.GetBalance():
                self._balances[request.request_id] = (request.account, request.token_id)
            case api.RefreshBalance():
                self._zero = {asked: until for asked, until in self._zero.items() if asked[0] != request.account}
            case api.GetTrades() if self.skew_s:
                # The caller names seconds of the venue's clock; 0 is no limit.
                after_s, before_s = (
                    named and max(named - self.skew_s, 1) for named in (request.after_s, request.before_s)
                )
                return structs.replace(request, after_s=after_s, before_s=before_s), None
            case _:
                pass
        return request, None

    # --- what the venue says ------------------------------------------------------------------------------------------

    @property
    def next_due(self) -> int:
        """Market ms of the first thing that is held back; NEVER when nothing is."""
        return self._held[0][0] if self._held else NEVER

    def after(self, outputs: list[api.Output], now: int) -> list[api.Output]:
        """What of this is told at once, in order; the rest is lost or held back."""
        told: list[api.Output] = []
        for output in outputs:
            for delay_ms, said in self._bend(output, now):
                if delay_ms:
                    self._hold(now + delay_ms, said)
                else:
                    told.append(said)
        return told

    def after_batch(self, outputs: list[api.Output], now: int) -> list[api.Output]:
        """``after`` for the outputs of a batch: the first answer that is lost or broken is that of every leg."""
        told: list[api.Output] = []
        broken: tuple[int, api.Posted] | None = None
        legs = []
        for output in outputs:
            if not isinstance(output, api.Posted):
                told += self.after([output], now)
                continue
            late_ms, said = self._posted(output)
            legs.append((late_ms, said))
            if broken is None and isinstance(said, api.Posted) and said.http != output.http:
                broken = late_ms, said
        for late_ms, said in legs:
            if broken is not None and isinstance(said, api.Posted):
                late_ms = broken[0]
                said = structs.replace(broken[1], request_id=said.request_id, order_id=said.order_id)
            if late_ms:
                self._hold(now + late_ms, said)
            else:
                told.append(said)
        return told

    def due(self, now: int) -> list[api.Output]:
        """What was held back until now, in order of time; stream events into a dead stream are lost."""
        told = []
        while self._held and self._held[0][0] <= now:
            at, _, output = heappop(self._held)
            if not self._lost(output, at):
                told.append(output)
        return told

    def down(self, stream: str, now: int) -> bool:
        """Is the connection of ``market`` or ``user`` broken?"""
        return stream in self.streams and self.pathologies.holds("ws_gap", now)

    def silent(self, stream: str, now: int) -> bool:
        """Does nothing come through this stream, be it frozen or broken?"""
        return self.down(stream, now) or (stream in self.streams and self.pathologies.holds("ws_freeze", now))

    def silence(self, stream: str, now: int) -> tuple[bool, int]:
        """``silent``, and the market ms up to which (not included) it is so: for who asks at every message."""
        if stream not in self.streams:
            return False, NEVER
        broken, broken_until = self.pathologies.stretch("ws_gap", now)
        if broken:
            return True, broken_until
        frozen, frozen_until = self.pathologies.stretch("ws_freeze", now)
        return frozen, min(broken_until, frozen_until)

    def unpriced(self, tick: api.PriceTick | api.CandleTick, now: int) -> bool:
        """Is the stream of this price or candle frozen? Reference prices and Binance's freeze by themselves."""
        spot = isinstance(tick, api.CandleTick) or tick.feed == "binance"
        return self.pathologies.holds("spot_freeze" if spot else "price_freeze", now)

    def listed_at(self, condition_id: str, start: int | None, end: int) -> int:
        """Market ms from which a market is listed; 0: from its creation on."""
        if start is None or not self.pathologies.would("gamma_late", condition_id):
            return 0
        most_ms = max(10_000, min(90_000, (end - start) // 3))
        return start + self.pathologies.between("gamma_late", 10_000, most_ms, condition_id)

    def _hold(self, until: int, output: api.Output) -> None:
        self._numbers += 1
        heappush(self._held, (until, self._numbers, output))

    def _lost(self, output: api.Output, now: int) -> bool:
        if isinstance(output, _PRICES):
            return self.unpriced(output, now)
        if isinstance(output, _USER):
            return self.silent("user", now)
        return isinstance(output, _MARKET) and self.silent("market", now)

    def _bend(self, output: api.Output, now: int) -> list[tuple[int, api.Output]]:
        """What is said instead, each with the ms by which it is late."""
        match output:
            case api.Posted():
                return [self._posted(output)]
            case api.Canceled():
                return [(0, self._canceled(output))]
            case api.BalanceReply():
                return [(0, self._balance(output, now))]
            case api.TradesReply():
                trades = tuple(self._skewed(trade) for trade in output.trades if self._shown(trade, now))
                return [(0, structs.replace(output, trades=trades))]
            case api.UserOrder():
                return [] if self._lost(output, now) else self._order(output)
            case api.UserTrade():
                return self._trade(output, now)
            case api.MarketOpened():
                market = output.market
                late = max(self.listed_at(market.condition_id, market.start, market.end) - now, 0)
                if late:
                    self.pathologies.note("gamma_late")
                return [(late, output)]
            case api.MarketDecided() if self.pathologies.strikes("market_resolved_missing", output.condition_id):
                return []
            case _:
                return [] if self._lost(output, now) else [(0, output)]

    # --- answers ------------------------------------------------------------------------------------------------------

    def _posted(self, answer: api.Posted) -> tuple[int, api.Output]:
        chance, order_id = self.pathologies, answer.order_id
        if answer.http == 200:
            if chance.strikes("timeout_but_filled", order_id):
                return SILENCE_MS, api.Posted(answer.request_id, order_id, 0, error=SILENT)
            if chance.strikes("error_but_filled", order_id):
                http, text = refusals.SERVER_ERROR
                return 0, api.Posted(answer.request_id, order_id, http, error=text)
        if chance.strikes("update_before_response", order_id):
            return chance.between("update_before_response", 100, 1_500, order_id), answer
        return 0, answer

    def _canceled(self, answer: api.Canceled) -> api.Canceled:
        """Only the cancel of one order has a path that answers 404."""
        ids = (*answer.canceled, *(order_id for order_id, _ in answer.not_canceled))
        if answer.http != 200 or len(ids) != 1 or not self.pathologies.strikes("cancel_404", ids[0]):
            return answer
        return api.Canceled(answer.request_id, (), ((ids[0], refusals.NOT_FOUND),), 404, refusals.NOT_FOUND)

    def _balance(self, answer: api.BalanceReply, now: int) -> api.BalanceReply:
        asked = self._balances.pop(answer.request_id, None)
        if asked is not None and self._zero.get(asked, 0) > now:
            return structs.replace(answer, balance=0)
        return answer

    # --- the user stream ----------------------------------------------------------------------------------------------

    def _order(self, told: api.UserOrder) -> list[tuple[int, api.Output]]:
        chance, order = self.pathologies, told.order
        order_id, kind = order.row.order_id, order.row.kind
        if kind == "CANCELLATION":
            if chance.strikes("missing_cancel_event", order_id):
                return []
            if not order.order_type.rests and chance.strikes("empty_size_matched", order_id):
                told = api.UserOrder(told.owner, _killed(order))
        elif order.trade_ids and chance.strikes("trade_before_order", order_id):
            return [(chance.between("trade_before_order", 100, 1_000, order_id), told)]
        return [(self._overtaken(kind, order_id, str(order.row.size_matched)), told)]

    def _trade(self, told: api.UserTrade, now: int) -> list[tuple[int, api.Output]]:
        chance, trade = self.pathologies, told.trade
        trade_id, status = trade.row.trade_id, trade.row.status
        self._note_zero(trade, now)
        if trade_id not in self._hidden and chance.strikes("late_fill", trade_id):
            self._hidden[trade_id] = now + chance.between("late_fill", 5_000, 40_000, trade_id)
        told = api.UserTrade(told.owner, self._skewed(trade))
        late = max(self._hidden.get(trade_id, 0) - now, 0)
        if not late and self._lost(told, now):
            return []
        said: list[tuple[int, api.Output]] = [(late or self._overtaken(trade_id, status), told)]
        if chance.strikes("dup_trade", trade_id, status):
            said.append((late + chance.between("dup_trade", 0, 3_000, trade_id, status), told))
        return said

    def _overtaken(self, *subject: str) -> int:
        """How late an event of the user stream is."""
        if not self.pathologies.strikes("ws_reorder", *subject):
            return 0
        return self.pathologies.between("ws_reorder", 50, 2_000, *subject)

    def _note_zero(self, trade: api.StoredTrade, now: int) -> None:
        """The buyers' balances of what they bought may read 0 for a while."""
        row = trade.row
        if row.status != "MATCHED" or not self.pathologies.strikes("balance_zero_after_fill", row.trade_id):
            return
        until = now + self.pathologies.between("balance_zero_after_fill", 2_000, 10_000, row.trade_id)
        if row.action is Action.BUY:
            self._zero[trade.taker_account, row.token_id] = until
        for account, maker in zip(trade.maker_accounts, row.makers, strict=True):
            if maker.action is Action.BUY:
                self._zero[account, maker.token_id] = until

    def _shown(self, trade: api.StoredTrade, now: int) -> bool:
        return self._hidden.get(trade.row.trade_id, 0) <= now

    def _skewed(self, trade: api.StoredTrade) -> api.StoredTrade:
        """The trade as the venue's clock dates it."""
        if not self.skew_s:
            return trade
        row = structs.replace(trade.row, matched_s=trade.row.matched_s + self.skew_s)
        return structs.replace(trade, row=row, updated_ms=trade.updated_ms + 1_000 * self.skew_s)


def refused(request: api.Request, refusal: refusals.Refusal, retry_after_s: int) -> api.Output:
    """The answer to a request that the exchange never saw."""
    match request:
        case api.PostOrder():
            return api.Posted(
                request.request_id, request.order.order_id, refusal.http, error=refusal.text,
                retry_after_s=retry_after_s,
            )  # fmt: skip
        case api.CancelOrders():
            return api.Canceled(request.request_id, (), (), refusal.http, refusal.text, retry_after_s)
        case _:
            return api.Refused(request.request_id, refusal.http, refusal.text, retry_after_s)


def _killed(order: api.StoredOrder) -> api.StoredOrder:
    killed = refusals.FOK_KILLED if order.order_type is OrderType.FOK else refusals.FAK_KILLED
    row = structs.replace(order.row, size_matched=None, status=f"{refusals.CANCELED}_{killed.text}")
    return structs.replace(order, row=row)


