"""The in-process gateway: the kernel's commands as requests to the exchange core, its outputs as kernel events.

For backtests and simulations. It builds orders itself (the official client can't be seeded): salt from a seeded
counter, timestamp the virtual now, id the order's hash. It keeps no order state, only which request asked what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from eth_keys.datatypes import PrivateKey
from msgspec import UNSET, structs

from polyhost.exchange import api, refusals
from polyhost.exchange.core import Exchange
from polyhost.exchange.portfolio import holdings_of, moves_of, parts_of
from polyhost.exchange.rewards import DAY_MS
from polyhost.model import commands, events
from polyhost.model.builder import NOBODY
from polyhost.model.commands import Command
from polyhost.model.events import Event
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, OrderRow, PositionRow, SignedFields
from polyhost.model.money import ONE, notional
from polyhost.model.order_hash import ZERO_BYTES32, order_id
from polyhost.model.rounding import limit_amounts
from polyhost.model.times import MarketMs
from polyhost.model.words import ActionKind

SIGN_ONE_IN: Final = 256
SALT_BITS: Final = 53
"""The venue's salts are safe as JSON numbers."""

POST_OUTCOMES: Final[tuple[tuple[str, str, str], ...]] = (
    ("Duplicated.", "duplicated", "accepted"),
    ("sum of matched orders", "funds_matched", "refused"),
    ("sum of active orders", "funds_active", "refused"),
    ("the allowance is not enough", "allowance", "refused"),
    ("the balance is not enough", "balance", "refused"),
    ("breaks minimum tick size rule", "tick", "refused"),
    ("lower than the minimum", "min_size", "refused"),
    ("invalid amount for a marketable", "min_value", "refused"),
    ("invalid amounts", "precision", "refused"),
    ("invalid post-only order", "post_only_cross", "refused"),
    ("couldn't be fully filled", "fok_killed", "refused"),
    ("no orders found to match with FAK order", "fak_killed", "refused"),
    ("invalid expiration", "expiration", "refused"),
    ("the market is not yet ready", "not_ready", "refused"),
    ("Invalid order payload", "payload", "refused"),
    ("Invalid token id", "token", "refused"),
    ("market not found", "no_market", "refused"),
)
"""(part of the venue's text, code, outcome): what the core can answer. A text that is not here is unknown."""
HTTP_OUTCOMES: Final[tuple[tuple[int, str, str, str], ...]] = (
    (429, "", "rate_limit", "refused"),
    (425, "", "restarting", "unknown"),
    (503, "post-only mode", "post_only_mode", "unknown"),
    (503, "cancel-only", "cancel_only", "unknown"),
    (500, "the trade contains rounding issues", "rounding_500", "unknown"),
    (500, "", "server_error", "unknown"),
    (0, "transport", "transport", "unknown"),
)
"""(HTTP status, part of the text, code, outcome): how a venue that misbehaves answers, whatever the order."""
BLOCKING: Final = {
    "allowance": "approval", **{code: code for code in ("rate_limit", "restarting", "post_only_mode", "cancel_only")}
}
"""Code of an answer → the cause that stops new exposure besides the order."""
CANCEL_OUTCOMES: Final = {
    refusals.NOT_FOUND: "not_found",
    refusals.GONE: "gone",
    refusals.DELAYED: "delayed",
}


class InProcessGateway:
    """One account's way to an in-process exchange, in virtual time."""

    def __init__(
        self, exchange: Exchange, address: str, api_key: str, seed: int, private_key: bytes | None = None
    ) -> None:
        """``address``: 0x and 40 hex digits. ``private_key`` (of that address): one order in 256 is really signed and
        its signature recovered; None: none is (signature "")."""
        self.exchange = exchange
        self.address = address
        self.api_key = api_key
        self.outputs: list[api.Output] = []
        """What the last ``execute`` made the exchange say: the gateways of other accounts find theirs in it."""
        self._seed = seed
        self._prepared = 0
        self._key = None if private_key is None else PrivateKey(private_key)
        self._asked: dict[int, tuple[str, str]] = {}
        """Request to what it asked (order, balance …) and about which order, token or market, until it is answered."""
        self._swept: dict[int, tuple[OrderRow, ...]] = {}
        """Open orders of a sweep, by the request for its trades."""
        self._begun: dict[int, int] = {}
        """When a sweep's command left, by the request for its trades."""

    def execute(self, command: Command, now: MarketMs) -> list[Event]:
        """Do one command; the events of its outputs. Commands that are no gateway's give nothing."""
        self.outputs = []
        match command:
            case commands.Prepare():
                return [self._prepare(command.draft, now)]
            case commands.Post():
                number = self._ask("post", command.request.order_id)
                return self._send(api.PostOrder(number, self._order(command.request)), now)
            case commands.PostMany():
                return self.post_many(command.requests, now)
            case commands.Act():
                return self._send(self._action(command.request), now)
            case commands.Cancel():
                return self.cancel_many((command.order_id,), now)
            case commands.CancelMany():
                return self.cancel_many(command.order_ids, now)
            case commands.CancelMarket():
                number = self._ask("cancel", "")
                return self._send(api.CancelOrders(number, self.api_key, None, command.condition_id), now)
            case commands.CancelEverything():
                return self._send(api.CancelOrders(self._ask("cancel", ""), self.api_key), now)
            case commands.QueryOrder():
                number = self._ask("order", command.order_id)
                return self._send(api.GetOrder(number, self.api_key, command.order_id), now)
            case commands.QueryBalance():
                return self._send(api.GetBalance(self._ask("balance", ""), self.address), now)
            case commands.QueryTokenBalance():
                number = self._ask("token_balance", command.token_id)
                return self._send(api.GetBalance(number, self.address, command.token_id), now)
            case commands.Sweep():
                return self._sweep(command, now)
            case commands.QueryPositions():
                number = self._ask("positions", str(command.begun))
                return self._send(api.GetTrades(number, self.api_key), now)
            case commands.QueryAudit():
                number = self._ask("audit", command.condition_id)
                return self._send(api.GetTrades(number, self.api_key), now)
            case commands.QueryScoring():
                rows = tuple((one, self.exchange.scoring(one, self.api_key, now)) for one in command.order_ids)
                return [events.ScoringSeen(rows)]
            case commands.QueryEarnings():
                earned = self.exchange.rewards_earned(self.address, command.day, now)
                parts = tuple(events.EarnedRow(key, amount, 0) for key, amount in earned.items())
                return [events.EarningsSeen(command.day, parts)]
            case commands.FindMarket():
                market = self.exchange.market(command.condition_id)
                if market is None:
                    return [events.QueryFailed("market", command.condition_id, "the exchange does not list it")]
                return [events.MarketFound(market)]
            case _:
                return []

    def events_of(self, outputs: list[api.Output]) -> list[Event]:
        """What outputs (of ``advance``, ``touched``, another account's order …) mean for this account."""
        found: list[Event] = []
        for output in outputs:
            found += self._events_of(output)
        return found

    def _events_of(self, output: api.Output) -> list[Event]:
        match output:
            case api.UserOrder(owner=self.api_key):
                return [events.OrderSeen(output.order.row, "stream")]
            case api.UserTrade(owner=self.api_key):
                return [events.TradeSeen(output.trade.row, "stream")]
            case api.RewardPaid(account=self.address):
                return [reward_event(output)]
            case (
                api.Posted() | api.Canceled() | api.OrderReply() | api.OrdersReply() | api.TradesReply()
                | api.BalanceReply() | api.Done() | api.Refused()
            ) if output.request_id in self._asked:  # fmt: skip
                return self._answer(output, *self._asked.pop(output.request_id))
            case _:
                return []

    def _answer(
        self,
        output: (
            api.Posted | api.Canceled | api.OrderReply | api.OrdersReply | api.TradesReply | api.BalanceReply
            | api.Done | api.Refused
        ),
        what: str,
        about: str,
    ) -> list[Event]:
        match output:
            case api.Posted():
                return [posted_event(output)]
            case api.Canceled(http=404):
                return [events.CancelAnswered(order_id, "not_found", text) for order_id, text in output.not_canceled]
            case api.Canceled(http=http) if http != 200:
                return [events.CancelAnswered(one, "unknown", output.error, http) for one in about.split()]
            case api.Canceled():
                done = [events.CancelAnswered(order_id, "canceled") for order_id in output.canceled]
                return [*done, *(_not_canceled(order_id, text) for order_id, text in output.not_canceled)]
            case api.OrderReply():
                if output.order is None:
                    return [events.OrderNotFound(about)]
                return [events.OrderSeen(output.order.row, "query")]
            case api.OrdersReply():
                self._swept[output.request_id + 1] = tuple(order.row for order in output.orders)
                return []
            case api.TradesReply() if what == "positions":
                return [events.PositionsSeen(self._positions(output.trades), True, begun=int(about))]
            case api.TradesReply() if what == "audit":
                return [events.AuditSeen(about, self._audit(about, output.trades))]
            case api.TradesReply():
                trades = tuple(trade.row for trade in output.trades)
                # Half of a sweep that was refused is told as far as it got.
                orders = self._swept.pop(output.request_id, None)
                problem = "" if orders is not None else "the open orders were refused"
                begun = self._begun.pop(output.request_id, 0)
                return [events.SweepDone(about, orders or (), trades, orders is not None, problem, begun)]
            case api.BalanceReply():
                if about:
                    return [events.TokenBalanceSeen(about, output.balance)]
                return [events.BalanceSeen(output.balance, output.allowance > 0)]
            case api.Done():
                return [events.ActionAnswered(about, "done" if output.ok else "refused", output.error)]
            case api.Refused(http=http) if what == "action":
                # Nobody looked at it; a transport error says nothing.
                outcome = "refused" if 400 <= http < 500 else "unknown"
                return [events.ActionAnswered(about, outcome, f"HTTP {http}: {output.error}")]
            case api.Refused():
                return self._refused(output, what, about)

    def _refused(self, output: api.Refused, what: str, about: str) -> list[Event]:
        """A query without an answer; of a sweep's two, the second tells how far it got."""
        problem = f"HTTP {output.http}: {output.error}"
        if what == "orders":
            return []
        if what == "trades":
            orders = self._swept.pop(output.request_id, None)
            begun = self._begun.pop(output.request_id, 0)
            if orders is not None:
                return [events.SweepDone(about, orders, (), complete=False, problem=problem, begun=begun)]
            what = "sweep"
        return [events.QueryFailed(what, "" if what == "positions" else about, problem)]

    def _positions(self, trades: tuple[api.StoredTrade, ...]) -> tuple[PositionRow, ...]:
        """What the wallet holds now, with the average cost that its trades and splits tell (0 where they do not)."""
        held = self.exchange.holdings(self.address)
        markets = [each for token in held if (each := self.exchange.market_of_token(token)) is not None]
        moves = moves_of(self.exchange.transactions(self.address), {each.condition_id: each for each in markets})
        costs = holdings_of(parts_of(self.address, reversed(trades)), moves)
        rows = []
        for token_id, size in held.items():
            market, paid = self.exchange.market_of_token(token_id), costs.get(token_id)
            if market is None:
                continue
            average = 0 if paid is None or not paid.bought else -(-paid.entry_cost * ONE // paid.bought)
            fees = 0 if paid is None or not paid.bought else -(-paid.fees * size // paid.bought)
            resolved = self.exchange.decision(market.condition_id) is not None
            rows.append(PositionRow(token_id, market.condition_id, size, average, fees, market.slug, resolved))
        return tuple(rows)

    def _audit(self, condition_id: str, trades: tuple[api.StoredTrade, ...]) -> tuple[events.AuditRow, ...]:
        """What the wallet's trades, splits and merges in a market came to; empty while it is not decided."""
        decided, market = self.exchange.decision(condition_id), self.exchange.market(condition_id)
        if decided is None or market is None:
            return ()
        own = [trade for trade in reversed(trades) if trade.row.condition_id == condition_id]
        rows = []
        moves = moves_of(self.exchange.transactions(self.address), {condition_id: market})
        for token_id, held in holdings_of(parts_of(self.address, own), moves).items():
            share = ONE // 2 if decided.winner is None else ONE * (market.token(decided.winner) == token_id)
            worth = notional(held.size, share)
            rows.append(events.AuditRow(token_id, held.realized + worth - held.cost - held.fees))
        return tuple(rows)

    # --- requests -----------------------------------------------------------------------------------------------------

    def post_many(self, requests: Sequence[OrderRequest], now: MarketMs) -> list[Event]:
        """Several orders at one instant, each with an answer of its own (of a marketable one when it is matched)."""
        found: list[Event] = []
        for request in requests:
            found += self._send(api.PostOrder(self._ask("post", request.order_id), self._order(request)), now)
        return found

    def cancel_many(self, order_ids: Sequence[str], now: MarketMs) -> list[Event]:
        """One request, an answer for each id."""
        number = self._ask("cancel", " ".join(order_ids))
        return self._send(api.CancelOrders(number, self.api_key, tuple(dict.fromkeys(order_ids))), now)

    def _ask(self, what: str, about: str) -> int:
        number = self.exchange.request_id()
        self._asked[number] = (what, about)
        return number

    def _send(self, request: api.Request, now: MarketMs) -> list[Event]:
        outputs = self.exchange.handle(request, now)
        self.outputs += outputs
        return self.events_of(outputs)

    def _action(self, request: ActionRequest) -> api.Merge | api.Redeem | api.Split:
        number = self._ask("action", request.ref)
        match request.kind:
            case ActionKind.MERGE:
                return api.Merge(number, self.address, request.condition_id, request.size)
            case ActionKind.SPLIT:
                return api.Split(number, self.address, request.condition_id, request.size)
            case ActionKind.REDEEM:
                return api.Redeem(number, self.address, request.condition_id)

    def _sweep(self, command: commands.Sweep, now: MarketMs) -> list[Event]:
        """Open orders and then trades, under two consecutive request numbers."""
        first, second = self._ask("orders", command.condition_id), self._ask("trades", command.condition_id)
        self._begun[second] = command.begun
        return [
            *self._send(api.GetOpenOrders(first, self.api_key, command.condition_id), now),
            *self._send(api.GetTrades(second, self.api_key, command.condition_id, after_s=command.since_s), now),
        ]

    def _order(self, request: OrderRequest) -> api.NewOrder:
        fields = request.fields
        return api.NewOrder(
            order_id=request.order_id,
            account=fields.maker,
            owner=request.owner,
            token_id=fields.token_id,
            action=fields.action,
            maker_amount=fields.maker_amount,
            taker_amount=fields.taker_amount,
            order_type=request.order_type,
            post_only=request.post_only,
            expiration_s=request.expiration_s,
            builder="" if fields.builder == NOBODY else fields.builder,
        )

    # --- signing ------------------------------------------------------------------------------------------------------

    def _prepare(self, draft: OrderDraft, now: MarketMs) -> Event:
        self._prepared += 1
        amounts = limit_amounts(draft.action, draft.price, draft.size)
        fields = SignedFields(
            salt=self._salt(),
            maker=self.address,
            signer=self.address,
            token_id=draft.token_id,
            maker_amount=amounts.maker,
            taker_amount=amounts.taker,
            action=draft.action,
            signature_type=0,
            timestamp_ms=now,
            metadata=ZERO_BYTES32,
            builder=NOBODY if draft.builder is UNSET else draft.builder.code,
        )
        hashed = order_id(structs.replace(fields, token_id=_token_number(draft.token_id)), neg_risk=draft.neg_risk)
        signature = self._signature(hashed)
        if signature is None:
            problem = f"the private key is not that of {self.address}"
            return events.PrepareFailed(draft.ref, problem, configuration=True)
        request = OrderRequest(
            order_id=hashed,
            fields=fields,
            signature=signature,
            order_type=draft.order_type,
            post_only=draft.post_only,
            expiration_s=draft.expiration_s,
            owner=self.api_key,
            neg_risk=draft.neg_risk,
        )
        return events.Prepared(draft.ref, request)

    def _salt(self) -> int:
        digest = hashlib.sha256(f"{self._seed}:{self._prepared}".encode()).digest()
        return int.from_bytes(digest, "big") >> (256 - SALT_BITS)

    def _signature(self, hashed: str) -> str | None:
        """A signature whose signer was recovered, for one order in 256; else empty. None: it is somebody else's."""
        if self._key is None or self._prepared % SIGN_ONE_IN != 1:
            return ""
        digest = bytes.fromhex(hashed[2:])
        signature = self._key.sign_msg_hash(digest)
        signer = signature.recover_public_key_from_msg_hash(digest).to_address()
        return signature.to_hex() if signer == self.address.lower() else None


def reward_event(paid: api.RewardPaid) -> events.RewardPaid:
    """Rewards of a day are paid at the midnight that ends it."""
    return events.RewardPaid(paid.hash, paid.amount, (paid.day + 1) * DAY_MS)


def posted_event(answer: api.Posted) -> events.PostAnswered:
    """The answer to a post by the outcome table; what the table does not know, and 5xx, is unknown."""
    if answer.http == 200:
        outcome = "accepted" if answer.status in ("live", "matched", "delayed") else "unknown"
        return events.PostAnswered(answer.order_id, outcome, answer.status, code=answer.status, http=answer.http)
    code, outcome = _meaning(answer)
    blocks = BLOCKING.get(code, "")
    return events.PostAnswered(
        answer.order_id, outcome, code=code, text=answer.error, blocks=blocks, http=answer.http,
        retry_after_ms=answer.retry_after_s * 1_000,
    )


def _meaning(answer: api.Posted) -> tuple[str, str]:
    """Code and outcome of a refusal."""
    for http, part, code, outcome in HTTP_OUTCOMES:
        if http == answer.http and part in answer.error:
            return code, outcome
    if 400 <= answer.http < 500:
        for part, code, outcome in POST_OUTCOMES:
            if part in answer.error:
                return code, outcome
    return "unlisted", "unknown"


def _not_canceled(order_id: str, text: str) -> events.CancelAnswered:
    return events.CancelAnswered(order_id, CANCEL_OUTCOMES.get(text, "unknown"), text)


def _token_number(token_id: str) -> str:
    """A token id as the number that is hashed; recordings may name tokens otherwise, these get one from their name."""
    if token_id.isascii() and token_id.isdigit():
        return token_id
    return str(int.from_bytes(hashlib.sha256(token_id.encode()).digest(), "big"))
