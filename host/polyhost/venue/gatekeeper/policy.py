"""What the gateway process signs and sends, whatever the host asks for (SEC-01): markets, contracts, methods, sums.

It stands between the host and the key and believes the host nothing that it can know better: markets are those that the
host follows or that were looked up at the venue, an order's contract is its market's, sums are counted here. Sells are
never refused for their size: they take risk away, and are bounded by what the buys were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from polyhost.model import events
from polyhost.model.commands import Act, Command, Post, PostMany, Prepare
from polyhost.model.events import Event
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, OrderRow
from polyhost.model.market import Market
from polyhost.model.money import Micros, money_text, notional
from polyhost.model.order_hash import order_id
from polyhost.model.words import Action, ActionKind
from polyhost.venue.gatekeeper.launch import Policy
from polyhost.venue.gatekeeper.spent import Spent

MARKETS_MAX: Final = 4_096
"""Markets that are remembered; the ones that were followed longest ago go first."""
HOUR_MS: Final = 3_600_000
"""The hour of ``hour_max``, market ms."""
DAY_MS: Final = 24 * HOUR_MS
"""The day of ``day_max``, market ms."""
SIGNED_MAX: Final = 1_000
"""Orders signed here that are remembered until they are sent; the oldest go first."""
ENDED: Final = ("CANCELED", "INVALID")
"""Beginnings of an order's status when it is over and its unfilled part was never spent."""


class Guard:
    """The policy of one account at work. ``refusal`` before a command, ``seen`` with every event after it."""

    def __init__(self, policy: Policy, spent: Spent) -> None:
        self.policy = policy
        self.wallet = ""
        """Address that holds the funds, once the gateway is connected."""
        self.refused = 0
        self._spent = spent
        self._markets: dict[str, Market] = {}
        self._by_token: dict[str, Market] = {}
        self._signed: dict[str, OrderRequest] = {}
        """What was signed here and not sent yet, by its id: these very bytes have it."""

    # --- markets ------------------------------------------------------------------------------------------------------

    def follow(self, market: Market) -> None:
        """The host follows it: its tokens may be traded. It stays known: redeeming comes after the end."""
        known = self._markets.pop(market.condition_id, None)
        if known is not None:
            self._forget_tokens(known)
        self._markets[market.condition_id] = market
        self._by_token.update({market.up: market, market.down: market})
        while len(self._markets) > MARKETS_MAX:
            self._forget_tokens(self._markets.pop(next(iter(self._markets))))

    def _forget_tokens(self, market: Market) -> None:
        for token in (market.up, market.down):
            self._by_token.pop(token, None)

    # --- before -------------------------------------------------------------------------------------------------------

    def prepare(self, draft: OrderDraft) -> str:
        """Why this order is not signed; empty: it may be, and its money counts as spent from here on."""
        market = self._by_token.get(draft.token_id)
        if market is None:
            return self._no("market", f"token {_short(draft.token_id)} is of no market that the host follows")
        if draft.neg_risk is not market.neg_risk:
            return self._no("contract", f"its market {market.slug} trades at the other exchange contract")
        if draft.action is Action.SELL:
            return ""
        money = notional(draft.size, draft.price) + market.fees.of(draft.builder).most(draft.size, draft.price)
        return self._spend(draft.ref, money)

    def post(self, request: OrderRequest) -> str:
        """Why these signed bytes are not sent; empty: they may be."""
        fields = request.fields
        market = self._by_token.get(fields.token_id)
        if market is None:
            return self._no("market", f"token {_short(fields.token_id)} is of no market that the host follows")
        if request.neg_risk is not market.neg_risk or not self._has_its_id(request):
            return self._no("contract", f"order {_short(request.order_id)} is none for its market's exchange contract")
        if fields.maker.lower() != self.wallet.lower():
            return self._no("wallet", f"order {_short(request.order_id)} is of wallet {fields.maker}")
        if fields.action is Action.SELL or self._spent.knows(request.order_id):
            return ""
        # Signed before this process began to count, or so long ago that it counts no more: it counts now.
        price = fields.maker_amount * 10_000 // max(fields.taker_amount, 1)
        return self._spend(request.order_id, fields.maker_amount + market.fees.most(fields.taker_amount, price))

    def _has_its_id(self, request: OrderRequest) -> bool:
        """Is the id that of these bytes? Of what was signed here a moment ago it is known without hashing anew."""
        if self._signed.pop(request.order_id, None) == request:
            return True
        return order_id(request.fields, neg_risk=request.neg_risk) == request.order_id

    def act(self, request: ActionRequest) -> str:
        """Why this chain action is not begun; empty: it may be."""
        if request.kind.value not in self.policy.actions:
            return self._no("actions", f"{request.kind.value} is none of {', '.join(self.policy.actions) or 'none'}")
        if request.condition_id not in self._markets:
            return self._no("market", f"condition {_short(request.condition_id)} is no market that the host follows")
        return self._spend(request.ref, request.size) if request.kind is ActionKind.SPLIT else ""

    def _spend(self, ref: str, money: Micros) -> str:
        policy, spent = self.policy, self._spent
        if money > policy.order_max:
            most = money_text(policy.order_max)
            return self._no("order_max", f"it may cost {money_text(money)}, the limit is {most}")
        for name, span, limit in (("hour_max", HOUR_MS, policy.hour_max), ("day_max", DAY_MS, policy.day_max)):
            already = spent.within(span)
            if already + money > limit:
                return self._no(
                    name, f"{money_text(already)} spent and {money_text(money)} more, the limit is {money_text(limit)}"
                )
        if not spent.put(ref, money):
            spent.put(ref, 0)
            return self._no("disk", "what is spent cannot be written down: free space where the account's data is")
        return ""

    def _no(self, rule: str, what: str) -> str:
        self.refused += 1
        return f"the gateway's policy refuses it ({rule}): {what}"

    # --- after --------------------------------------------------------------------------------------------------------

    def seen(self, event: Event) -> None:
        """What the venue says: a market that was looked up is known from then on, and an order that ended unfilled
        gives its money back to the sums."""
        match event:
            case events.Prepared(ref=ref, request=request):
                self._spent.rename(ref, request.order_id)
                self._signed[request.order_id] = request
                if len(self._signed) > SIGNED_MAX:
                    del self._signed[next(iter(self._signed))]
            case events.PrepareFailed(ref=ref):
                self._spent.put(ref, 0)
            case events.PostAnswered(order_id=ended, outcome="refused"):
                self._spent.put(ended, 0)
            case events.ActionAnswered(ref=ref, outcome="refused"):
                self._spent.put(ref, 0)
            case events.MarketFound(market=market):
                self.follow(market)
            case events.OrderSeen(row=row):
                self._ended(row)
            case events.SweepDone(orders=rows):
                for row in rows:
                    self._ended(row)

    def _ended(self, row: OrderRow) -> None:
        if row.status.startswith(ENDED) and row.size_matched is not None and row.original_size > 0:
            money = self._spent.money_of(row.order_id)
            matched = min(row.size_matched, row.original_size)
            self._spent.put(row.order_id, -(-money * matched // row.original_size))


def refused(command: Command, guard: Guard) -> tuple[list[Event], Command | None]:
    """What the policy answers to a command by itself, and what is left of it to be done (None: nothing)."""
    match command:
        case Prepare(draft=draft):
            problem = guard.prepare(draft)
            return ([events.PrepareFailed(draft.ref, problem)], None) if problem else ([], command)
        case Post(request=request):
            told, left = _posts([request], guard)
            return told, command if left else None
        case PostMany(requests=requests):
            told, left = _posts(requests, guard)
            return told, PostMany(tuple(left)) if left else None
        case Act(request=act):
            problem = guard.act(act)
            return ([events.ActionAnswered(act.ref, "refused", problem)], None) if problem else ([], command)
        case _:
            return [], command


def _posts(requests: Sequence[OrderRequest], guard: Guard) -> tuple[list[Event], list[OrderRequest]]:
    told: list[Event] = []
    left: list[OrderRequest] = []
    for request in requests:
        problem = guard.post(request)
        if problem:
            told.append(events.PostAnswered(request.order_id, "refused", code="policy", text=problem))
        else:
            left.append(request)
    return told, left


def _short(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:10]}…{text[-6:]}"
