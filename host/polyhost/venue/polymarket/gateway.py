"""The gateway to the venue: prepares, posts, cancels and asks through the official client; keeps no order state.

Every answer is an event. Orders are created and signed first and sent only as the bytes that were made durable: the
client's ``place_…`` methods, which approve and re-post by themselves, are never used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

import httpx
from loguru import logger
from msgspec import UNSET
from polymarket import AcceptedOrder, AsyncSecureClient, RejectedOrder, SignedOrder
from polymarket.errors import (
    PolymarketError,
    RateLimitError,
    RequestRejectedError,
    SigningError,
    TransactionFailedError,
    TransportError,
    UnexpectedResponseError,
    UserInputError,
)

from polyhost.errors import ConfigError, VenueError
from polyhost.model import commands, events
from polyhost.model.batching import BATCH_MAX, CANCELS_MAX, chunks
from polyhost.model.builder import NOBODY, Builder, Credited
from polyhost.model.events import Event
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, OrderRow, SignedFields, TradeRow
from polyhost.model.market import Market
from polyhost.model.money import price_text, size_text
from polyhost.model.order_hash import order_id
from polyhost.model.rounding import floor_lot, legal_price, limit_amounts
from polyhost.model.times import day_text
from polyhost.model.wallets import WalletKind, wallet_of
from polyhost.model.words import Action, ActionKind, OrderType
from polyhost.venue.budget import Budget, OverBudget, Urgency
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.account import AccountReader, Credentials, Pages, ReadError
from polyhost.venue.polymarket.builders import credited, rates_of
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.client import environment_at, require_surface, require_version
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.heartbeats import Beaten
from polyhost.venue.polymarket.outcomes import NO_ANSWER, Answer, Row, classify
from polyhost.venue.polymarket.pacing import Paced
from polyhost.venue.polymarket.rows import audit_row, earned_rows, order_row, position_row, trade_row
from polyhost.venue.polymarket.selftest import fields_of, proves, signing_selftest

POSITIONS_PAGE: Final = 500
"""Positions read in one request (the venue takes up to 1,000)."""
TIMEOUT: Final = httpx.Timeout(connect=5.0, read=10.0, write=10.0, pool=2.0)
_RowT = TypeVar("_RowT", OrderRow, TradeRow)


PATIENCE_S: Final[Mapping[Urgency, float]] = {
    Urgency.CANCEL: 5.0, Urgency.EXIT: 1.0, Urgency.ENTRY: 0.5, Urgency.QUERY: 2.0, Urgency.BACKGROUND: 5.0,
}
"""How long a request waits for its turn, wall seconds. An order that does not get it is refused, and was not sent,
before U1 would make it unknown."""


def http_client(
    base: str, clock: VenueClock | None, *, live: bool, budget: Budget | None = None
) -> httpx.AsyncClient:
    """A client for one service that feeds the clock and keeps to the budget; on loopback never through a proxy.

    A request whose turn does not come raises OverBudget (a VenueError) and is not sent.
    """
    hooks: dict[str, list[Any]] = {"request": [], "response": []}
    if clock is not None:
        hooks["response"].append(clock.hook)
    if budget is not None:
        pace = Paced(budget, PATIENCE_S)
        hooks["request"].append(pace.before)
        hooks["response"].append(pace.after)
    # Certificates take 20 ms to load, and plain HTTP has none.
    secure = base.startswith("https")
    return httpx.AsyncClient(base_url=base, timeout=TIMEOUT, trust_env=live, verify=secure, event_hooks=hooks)


class PolymarketGateway:
    """One account's way to the venue. Call ``connect`` once before anything else, ``close`` at the end."""

    def __init__(
        self,
        endpoints: Endpoints,
        private_key: str,
        *,
        wallet: WalletKind = WalletKind.EOA,
        clock: VenueClock | None = None,
        selftest: bool = True,
        budget: Budget | None = None,
    ) -> None:
        """``wallet``: which of the key's wallets holds the funds. ``budget``: None: one of its own.

        Live it is the account's, shared by everything that asks the venue.
        """
        self._endpoints = endpoints
        self._private_key = private_key
        self._wallet = wallet
        self._owner = ""
        """The key's own address, from ``connect`` on."""
        self._clock = clock
        self._selftest = selftest
        self._client: AsyncSecureClient | None = None
        self._reader: AccountReader | None = None
        self._credentials: Credentials | None = None
        self._catalogue: Catalogue | None = None
        self._https: list[httpx.AsyncClient] = []
        self._result_trouble = False
        self.budget = budget or Budget(scale=lambda: budget_scale(clock))
        self._reading: set[str] = set()
        """Balances that are being asked for."""

    # --- life ---------------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Check the client, then authenticate. VenueError: drift, or not reached; ConfigError: a key that is none."""
        if self._selftest:
            await signing_selftest()
        else:
            require_version()
            require_surface()
        owner = _address_of(self._private_key)
        # Which generation of deposit wallet this key has, the client asks the relayer.
        wallet = None if self._wallet is WalletKind.DEPOSIT else wallet_of(owner, self._wallet)
        try:
            self._client = await AsyncSecureClient.create(
                private_key=self._private_key, wallet=wallet, environment=environment_at(self._endpoints)
            )
        except UserInputError as error:
            raise ConfigError(f"the venue client does not take this key or wallet: {error}", key="wallet") from error
        except PolymarketError as error:
            raise VenueError(f"no credentials: {error}", endpoint=self._endpoints.clob) from error
        given = self._client.credentials
        self._credentials = Credentials(given.key, given.secret, given.passphrase)
        live = self._endpoints.live
        clob = http_client(self._endpoints.clob, self._clock, live=live, budget=self.budget)
        gamma = http_client(self._endpoints.gamma, self._clock, live=live, budget=self.budget)
        self._https = [clob, gamma]
        self._owner = owner
        self._reader = AccountReader(clob, owner, self._credentials, self._wallet)
        self._catalogue = Catalogue(gamma, clob)

    async def reconnect(self) -> None:
        """Make every connection anew, as ``connect`` does; VenueError or ConfigError: the old ones stay in use."""
        client, https = self._client, self._https
        await self.connect()
        if client is not None:
            await client.close()
        for http in https:
            await http.aclose()

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        client, self._client = self._client, None
        https, self._https = self._https, []
        if client is not None:
            await client.close()
        for http in https:
            await http.aclose()

    @property
    def credentials(self) -> Credentials:
        """For the streams that authenticate. Only after ``connect``."""
        assert self._credentials is not None, "connect() first"
        return self._credentials

    @property
    def wallet(self) -> str:
        """Address that holds the funds."""
        return str(self._connected.wallet)

    @property
    def _connected(self) -> AsyncSecureClient:
        assert self._client is not None, "connect() first"
        return self._client

    @property
    def _read(self) -> AccountReader:
        assert self._reader is not None, "connect() first"
        return self._reader

    # --- builder code -------------------------------------------------------------------------------------------------

    async def builder(self, code: str) -> Builder:
        """What a builder code costs. ConfigError: the venue does not know it; VenueError: no usable answer."""
        await self._unhurried("builder")
        return await rates_of(self._connected, code)

    async def credited(self, code: str, since_s: int) -> Credited:
        """What the venue credits a builder code with since a unix second. Raises VenueError."""
        await self._unhurried("builder")
        return await credited(self._connected, code, since_s, self.wallet)

    # --- prepare ------------------------------------------------------------------------------------------------------

    async def warm(self, market: Market) -> bool:
        """Have the client read the market's facts now, so that the first order does not wait for them.

        It reads them only to sign, so a test order is signed and thrown away. False when that was not possible.
        """
        draft = OrderDraft(
            "warm", market.up, Action.BUY, OrderType.GTC, market.tick, max(market.min_size, 1_000_000), market.tick,
            market.neg_risk,
        )
        return isinstance(await self.prepare(draft), events.Prepared)

    async def prepare(self, draft: OrderDraft) -> Event:
        """Sign a draft: ``Prepared`` with its id and everything needed to send it, or ``PrepareFailed``."""
        problem = _illegal(draft)
        if problem:
            return events.PrepareFailed(draft.ref, problem)
        try:
            signed = await self._sign(draft)
        except (SigningError, UserInputError) as error:
            return events.PrepareFailed(draft.ref, f"the client refuses: {error}", isinstance(error, SigningError))
        except PolymarketError as error:
            return events.PrepareFailed(draft.ref, f"market facts not read: {error}")
        amounts = limit_amounts(draft.action, draft.price, draft.size)
        if (signed.maker_amount, signed.taker_amount) != tuple(amounts):
            given = f"{signed.maker_amount}/{signed.taker_amount}"
            return events.PrepareFailed(
                draft.ref, f"the client signed amounts {given}, wanted {amounts.maker}/{amounts.taker}"
            )
        fields = fields_of(signed)
        if fields.builder.lower() != (NOBODY if draft.builder is UNSET else draft.builder.code):
            return events.PrepareFailed(draft.ref, f"the client signed the builder code {fields.builder}")
        made = order_id(fields, neg_risk=draft.neg_risk)
        if not proves(signed, self._owner, neg_risk=draft.neg_risk):
            return events.PrepareFailed(draft.ref, f"not a signature of our order hash (neg risk {draft.neg_risk}?)")
        request = OrderRequest(
            made, fields, signed.signature, draft.order_type, draft.post_only, signed.expiration,
            self.credentials.key, draft.neg_risk,
        )
        return events.Prepared(draft.ref, request)

    async def _sign(self, draft: OrderDraft) -> SignedOrder:
        client, price = self._connected, price_text(draft.price)
        code = None if draft.builder is UNSET else draft.builder.code
        if draft.order_type.rests:
            return await client.create_limit_order(
                token_id=draft.token_id,
                price=price,
                size=size_text(draft.size),
                side=_side(draft.action),
                post_only=draft.post_only,
                expiration=draft.expiration_s if draft.order_type is OrderType.GTD else None,
                builder_code=code,
            )
        kind: Literal["FAK", "FOK"] = "FAK" if draft.order_type is OrderType.FAK else "FOK"
        if draft.action is Action.BUY:
            money = limit_amounts(draft.action, draft.price, draft.size).maker
            return await client.create_market_order(
                token_id=draft.token_id, side="BUY", amount=size_text(money), max_price=price, order_type=kind,
                builder_code=code,
            )
        return await client.create_market_order(
            token_id=draft.token_id, side="SELL", shares=size_text(draft.size), min_price=price, order_type=kind,
            builder_code=code,
        )

    # --- post and cancel ----------------------------------------------------------------------------------------------

    async def post(self, request: OrderRequest) -> events.PostAnswered:
        """Send these bytes once. The answer is classified by the outcome table; nothing is ever sent again here."""
        over = await self._turn("post", [request])
        if over is not None:
            return _post_answered(request.order_id, over)
        try:
            answer = await self._connected.post_order(_signed_order(request))
        except Exception as error:  # whatever it is, the order may be at the venue: it is an answer, not a crash
            return _post_answered(request.order_id, self._heard("post", error))
        return _post_answered(request.order_id, _answer_to_post(request.order_id, answer))

    async def post_many(self, requests: Sequence[OrderRequest]) -> list[events.PostAnswered]:
        """Send several orders, at most 15 a request; each answer is read by itself."""
        answered: list[events.PostAnswered] = []
        for group in chunks(requests, BATCH_MAX):
            answered += await self._post_group(group)
        return answered

    async def _post_group(self, group: Sequence[OrderRequest]) -> list[events.PostAnswered]:
        over = await self._turn("post", group)
        if over is not None:
            return [_post_answered(request.order_id, over) for request in group]
        try:
            answers = await self._connected.post_orders([_signed_order(request) for request in group])
        except Exception as error:  # as in post: none of these is known
            said = self._heard("post", error)
            return [_post_answered(request.order_id, said) for request in group]
        if len(answers) != len(group):
            shape = Answer(NO_ANSWER, f"malformed: {len(answers)} answers to {len(group)} orders")
            return [_post_answered(request.order_id, shape) for request in group]
        return [
            _post_answered(request.order_id, _answer_to_post(request.order_id, answer))
            for request, answer in zip(group, answers, strict=True)
        ]

    async def cancel(self, order_id: str) -> events.CancelAnswered:
        """Cancel one order; "not found" is a success of the command and no proof of the order's end."""
        return (await self.cancel_many([order_id]))[0]

    async def cancel_many(self, order_ids: Sequence[str]) -> list[events.CancelAnswered]:
        """Cancel several; one answer for each id."""
        answered: list[events.CancelAnswered] = []
        for group in chunks(order_ids, CANCELS_MAX):
            answered += await self._cancel_group(group)
        return answered

    async def _cancel_group(self, group: Sequence[str]) -> list[events.CancelAnswered]:
        client = self._connected
        try:
            await self.budget.admit(
                "cancel", Urgency.CANCEL, "cancel", cost=len(group), patience_s=PATIENCE_S[Urgency.CANCEL]
            )
            if len(group) == 1:
                answer = await client.cancel_order(order_id=group[0])
            else:
                answer = await client.cancel_orders(order_ids=group)
        except Exception as error:  # whatever it is, the cancel may have worked: each order is asked for
            said = self._heard("cancel", error)
            return [_cancel_answered(order_id, said) for order_id in group]
        return [_cancel_answered(order_id, _answer_to_cancel(order_id, answer)) for order_id in group]

    async def cancel_market(self, condition_id: str) -> list[events.CancelAnswered]:
        """Cancel every order of the key in one market, a person's too; one answer for each order the venue names."""
        self.budget.take("cancel", "cancel market")
        return await self._cancel_named(self._connected.cancel_market_orders(market=condition_id))

    async def cancel_all(self) -> list[events.CancelAnswered]:
        """Cancel every order of the key, a person's too; one answer for each order the venue names."""
        self.budget.take("cancel", "cancel all")  # a person wants it now
        return await self._cancel_named(self._connected.cancel_all())

    async def _cancel_named(self, asking: Awaitable[Any]) -> list[events.CancelAnswered]:
        try:
            answer = await asking
        except Exception as error:  # the operator must hear that nothing is proved, whatever went wrong
            return [_cancel_answered("", self._heard("cancel", error))]
        named = [*answer.canceled, *answer.not_canceled]
        return [_cancel_answered(order_id, _answer_to_cancel(order_id, answer)) for order_id in named]

    async def _turn(self, bucket: str, requests: Sequence[OrderRequest]) -> Answer | None:
        """Wait for the turn of these orders; the answer to all of them when it does not come: none was sent."""
        sells = any(request.fields.action is Action.SELL for request in requests)
        urgency = Urgency.EXIT if sells else Urgency.ENTRY
        purpose = "sell" if sells else "buy"
        try:
            await self.budget.admit(bucket, urgency, purpose, cost=len(requests), patience_s=PATIENCE_S[urgency])
        except OverBudget as error:
            return Answer(NO_ANSWER, f"rate budget: {error}")
        return None

    def _heard(self, bucket: str, error: Exception) -> Answer:
        """What an exception says of the request, and of the pace that the venue wants."""
        match error:
            case RateLimitError():
                left = None if error.rate_limit is None else error.rate_limit.remaining
                self.budget.heard(bucket, 429, error.retry_after, None if left is None else float(left))
            case RequestRejectedError():
                self.budget.heard(bucket, error.status, error.retry_after)
        return _answer_of(error)

    # --- the chain ----------------------------------------------------------------------------------------------------

    async def act(self, request: ActionRequest) -> events.ActionAnswered:
        """Merge, redeem or split once, and wait for the end: ``refused`` only where nothing can have happened."""
        ref = request.ref
        try:
            handle = await self._begin(request)
        except (UserInputError, RateLimitError) as error:  # not sent, or not taken
            return events.ActionAnswered(ref, "refused", f"the client refuses: {error}")
        except RequestRejectedError as error:
            return events.ActionAnswered(ref, "refused" if error.status < 500 else "unknown", str(error))
        except Exception as error:  # whatever it is, the transaction may be on its way: balances are asked
            return events.ActionAnswered(ref, "unknown", f"{type(error).__name__}: {error}")
        transaction = handle.transaction_hash or ""
        try:
            outcome = await handle.wait()
        except TransactionFailedError as error:
            return events.ActionAnswered(ref, "refused", f"the transaction failed: {error}", transaction)
        except Exception as error:  # it was handed over: nothing but its own end says what became of it
            return events.ActionAnswered(ref, "unknown", f"{type(error).__name__}: {error}", transaction)
        return events.ActionAnswered(ref, "done", transaction=str(outcome.transaction_hash or transaction))

    async def _begin(self, request: ActionRequest) -> Any:
        """The client's handle of a transaction that was handed over. Amounts are base units, as ours are."""
        client, condition_id = self._connected, request.condition_id
        match request.kind:
            case ActionKind.MERGE:
                return await client.merge_positions(condition_id=condition_id, amount=request.size)
            case ActionKind.SPLIT:
                return await client.split_position(condition_id=condition_id, amount=request.size)
            case ActionKind.REDEEM:
                return await client.redeem_positions(condition_id=condition_id)

    # --- ask ----------------------------------------------------------------------------------------------------------

    async def query_order(self, order_id: str) -> Event:
        """``OrderSeen``, ``OrderNotFound`` (proves nothing) or ``QueryFailed``."""
        try:
            data = await self._read.order(order_id)
            return events.OrderNotFound(order_id) if data is None else events.OrderSeen(order_row(data), "query")
        except (ReadError, ValueError) as error:
            return events.QueryFailed("order", order_id, str(error))

    async def sweep(
        self, condition_id: str, since_s: int, begun: int = 0
    ) -> events.SweepDone | events.QueryFailed:
        """All open orders and trades of a market (or, with an empty id, of the key) since a time in unix seconds.

        ``begun`` comes back with the answer: what a sweep does not show says nothing of what came after its beginning.
        """
        orders, trades = await asyncio.gather(
            self._read.open_orders(condition_id), self._read.trades(condition_id, since_s)
        )
        if orders.problem and trades.problem and not orders.rows and not trades.rows:
            return events.QueryFailed("sweep", condition_id, orders.problem)
        order_rows, order_problem = _rows(orders, order_row)
        trade_rows, trade_problem = _rows(trades, trade_row)
        problem = "; ".join(part for part in (order_problem, trade_problem) if part)
        return events.SweepDone(condition_id, order_rows, trade_rows, not problem, problem, begun)

    async def heartbeat(self, shown: str) -> Beaten:
        """Feed the key's dead-man's switch, showing this id. Raises ReadError when the answer is none."""
        return await self._read.heartbeat(shown)

    async def notifications(self) -> list[Mapping[str, Any]]:
        """What the venue tells the account. Raises ReadError when the answer is none."""
        return await self._read.notifications()

    async def drop_notifications(self, ids: Sequence[int]) -> None:
        """Have the venue forget some. Raises ReadError when it did not say that it has."""
        await self._read.drop_notifications(ids)

    async def balance(self) -> Event:
        try:
            collateral, approved = await self._read.collateral()
        except ReadError as error:
            return events.QueryFailed("balance", "", str(error))
        return events.BalanceSeen(collateral, approved)

    async def token_balance(self, token_id: str) -> Event:
        try:
            return events.TokenBalanceSeen(token_id, await self._read.token(token_id))
        except ReadError as error:
            return events.QueryFailed("token_balance", token_id, str(error))

    async def positions(self, begun: int = 0) -> events.PositionsSeen | events.QueryFailed:
        """Everything the wallet holds, by the data API, which lags the chain by seconds to minutes."""
        rows, problems = [], []
        try:
            async for page in self._connected.list_positions(page_size=POSITIONS_PAGE):
                for position in page.items:
                    try:
                        rows.append(position_row(position))
                    except ValueError as error:
                        problems.append(f"a position that cannot be read: {error}")
        except (PolymarketError, ValueError) as error:
            return events.QueryFailed("positions", "", str(error))
        return events.PositionsSeen(tuple(rows), not problems, "; ".join(problems[:3]), begun)

    async def audit(self, condition_id: str) -> events.AuditSeen | events.QueryFailed:
        """The data API's account of our positions in a market; closed ones are a list of their own."""
        rows: list[events.AuditRow] = []
        try:
            for status in (None, "CLOSED"):
                await self._unhurried("audit")
                pages = self._connected.list_positions(condition_id=condition_id, status=status)
                rows += [audit_row(position) async for page in pages for position in page.items]
        except (PolymarketError, VenueError, ValueError) as error:
            return events.QueryFailed("audit", condition_id, str(error))
        return events.AuditSeen(condition_id, tuple(rows))

    async def scoring(self, order_ids: Sequence[str]) -> events.ScoringSeen | events.QueryFailed:
        """Which of these orders score for rewards, in one request."""
        try:
            await self._unhurried("scoring")
            said = await self._connected.get_orders_scoring(order_ids=order_ids)
        except (PolymarketError, VenueError, ValueError) as error:
            return events.QueryFailed("scoring", "", str(error))
        return events.ScoringSeen(tuple(said.items()))

    async def earnings(self, day: int) -> events.EarningsSeen | events.QueryFailed:
        """Rewards and rebates of a day by market. The venue tells them apart, and nothing of a market without any."""
        named = day_text(day)
        client = self._connected
        try:
            await self._unhurried("earnings")
            pages = client.list_user_earnings_for_day(date=named)
            rewards = [item async for page in pages for item in page.items]
            await self._unhurried("rebates")
            rebates = await client.get_current_rebates(date=named, maker_address=self.wallet)
            return events.EarningsSeen(day, earned_rows(rewards, rebates))
        except (PolymarketError, VenueError, ValueError) as error:
            return events.QueryFailed("earnings", str(day), str(error))

    async def _unhurried(self, purpose: str) -> None:
        """A request that everything else goes before. Raises OverBudget."""
        await self.budget.admit(
            "query", Urgency.BACKGROUND, purpose, patience_s=PATIENCE_S[Urgency.BACKGROUND]
        )

    async def find_market(self, condition_id: str, slug: str) -> Event:
        """A market by its slug; it counts only if it is the one with this condition id."""
        assert self._catalogue is not None, "connect() first"
        try:
            found = await self._catalogue.market(slug) if slug else None
        except (VenueError, ValueError) as error:
            return events.QueryFailed("market", condition_id, str(error))
        if found is None or found.condition_id.lower() != condition_id.lower():
            return events.QueryFailed("market", condition_id, f"no market {slug or 'without a slug'} with this id")
        return events.MarketFound(found)

    async def result(self, condition_id: str, slug: str) -> events.MarketResolved | None:
        """The market's result; None while there is none, or while nobody answers (told in the log)."""
        assert self._catalogue is not None, "connect() first"
        try:
            found = await self._catalogue.result(condition_id, slug)
        except (VenueError, ValueError) as error:
            # It is asked for again and again: told once until the venue answers.
            level = "DEBUG" if self._result_trouble else "WARNING"
            self._result_trouble = True
            logger.log(level, "result of {} not read: {}", slug or condition_id, error)
            return None
        self._result_trouble = False
        return found

    async def execute(self, command: commands.Command) -> list[Event]:
        """Do one command of the kernel; commands that are none of a gateway's give nothing."""
        match command:
            case commands.Post(request):
                return [await self.post(request)]
            case commands.Act(request):
                return [await self.act(request)]
            case commands.Prepare(draft):
                return [await self.prepare(draft)]
            case commands.PostMany(requests):
                return [*await self.post_many(requests)]
            case commands.Cancel(order_id):
                return [await self.cancel(order_id)]
            case commands.CancelMany(order_ids):
                return [*await self.cancel_many(order_ids)]
            case commands.CancelMarket(condition_id):
                return [*await self.cancel_market(condition_id)]
            case commands.CancelEverything():
                return [*await self.cancel_all()]
            case commands.QueryOrder(order_id):
                return [await self.query_order(order_id)]
            case commands.Sweep(condition_id, since_s, begun):
                return [await self.sweep(condition_id, since_s, begun)]
            case commands.QueryBalance():
                return await self._once("", self.balance)
            case commands.QueryTokenBalance(token_id):
                return await self._once(token_id, lambda: self.token_balance(token_id))
            case commands.QueryPositions(begun):
                return [await self.positions(begun)]
            case commands.QueryAudit(condition_id):
                return [await self.audit(condition_id)]
            case commands.QueryScoring(order_ids):
                return [await self.scoring(order_ids)]
            case commands.QueryEarnings(day):
                return [await self.earnings(day)]
            case commands.FindMarket(condition_id, slug):
                return [await self.find_market(condition_id, slug)]
            case commands.QueryResult(condition_id, slug):
                found = await self.result(condition_id, slug)
                return [] if found is None else [found]
            case _:
                return []


    async def _once(self, key: str, ask: Callable[[], Awaitable[Event]]) -> list[Event]:
        """One question a balance at a time: its answer serves whoever asks meanwhile (ORD-03)."""
        if key in self._reading:
            return []
        self._reading.add(key)
        try:
            return [await ask()]
        finally:
            self._reading.discard(key)


def budget_scale(clock: VenueClock | None) -> float:
    """A simulated exchange that runs faster takes as many more requests in the wall's time; the live one never."""
    return max(clock.speed, 1.0) if clock is not None and clock.simulated else 1.0


def _address_of(private_key: str) -> str:
    from eth_account import Account

    try:
        address: str = Account.from_key(private_key).address
    except (ValueError, TypeError):
        # The error's own text may hold the key: it is not chained.
        raise ConfigError("the private key is not 32 bytes in hex", key="private key") from None
    return address


def _illegal(draft: OrderDraft) -> str:
    if not legal_price(draft.price, draft.tick):
        return f"price {price_text(draft.price)} is not on the tick {price_text(draft.tick)}"
    if draft.size <= 0 or draft.size != floor_lot(draft.size):
        return f"size {size_text(draft.size)} is not a positive multiple of 0.01"
    if (draft.order_type is OrderType.GTD) != (draft.expiration_s > 0):
        return f"{draft.order_type} with expiration {draft.expiration_s}"
    return ""


def _side(action: Action) -> Literal["BUY", "SELL"]:
    return "BUY" if action is Action.BUY else "SELL"


def _signed_order(request: OrderRequest) -> SignedOrder:
    """The client's order from what the journal holds: the same bytes as when it was signed."""
    fields: SignedFields = request.fields
    content: dict[str, Any] = {
        "builder": fields.builder,
        "expiration": request.expiration_s,
        "maker": fields.maker,
        "maker_amount": fields.maker_amount,
        "metadata": fields.metadata,
        "order_type": str(request.order_type),
        "salt": fields.salt,
        "side": str(fields.action),
        "signature": request.signature,
        "signature_type": fields.signature_type,
        "signer": fields.signer,
        "taker_amount": fields.taker_amount,
        "timestamp": fields.timestamp_ms,
        "token_id": fields.token_id,
        "post_only": request.post_only,
    }
    return SignedOrder(**content)


def _answer_to_post(sent: str, answer: AcceptedOrder | RejectedOrder) -> Answer:
    if isinstance(answer, AcceptedOrder):
        if answer.order_id.lower() != sent.lower():
            return Answer(NO_ANSWER, f"other id: {answer.order_id}")
        return Answer(200, "", answer.status)
    if answer.code == "unmatched":
        return Answer(200, "", "unmatched")
    return Answer(200, answer.message)


def _answer_to_cancel(order_id: str, answer: Any) -> Answer:
    if order_id in answer.canceled:
        return Answer(200, "", "canceled")
    reason = answer.not_canceled.get(order_id)
    return Answer(200, "not named" if reason is None else str(reason))


def _answer_of(error: Exception) -> Answer:
    """What an exception of the client says about the request."""
    match error:
        case RateLimitError():
            return Answer(429, _with_pause(error, error.retry_after), retry_after_s=error.retry_after or 0.0)
        case RequestRejectedError():
            text = _with_pause(error, error.retry_after)
            return Answer(error.status, text, retry_after_s=error.retry_after or 0.0)
        case OverBudget():
            return Answer(NO_ANSWER, f"rate budget: {error}")
        case UserInputError() | SigningError():
            return Answer(NO_ANSWER, f"not sent: {error}")
        case UnexpectedResponseError():
            return Answer(NO_ANSWER, f"malformed: {error}")
        case TransportError():
            return Answer(NO_ANSWER, f"transport: {error}")
        case _:
            logger.opt(exception=error).error("an answer of the venue client that is in no table")
            return Answer(NO_ANSWER, f"transport: {type(error).__name__}: {error}")


def _with_pause(error: Exception, retry_after_s: float | None) -> str:
    return str(error) if retry_after_s is None else f"{error} (again after {retry_after_s:g} s)"


def _post_answered(order_id: str, answer: Answer) -> events.PostAnswered:
    row: Row = classify("post", answer)
    return events.PostAnswered(
        order_id, row.meaning, answer.status, row.code, answer.text, row.blocks, http=answer.http,
        retry_after_ms=round(answer.retry_after_s * 1_000),
    )


def _cancel_answered(order_id: str, answer: Answer) -> events.CancelAnswered:
    return events.CancelAnswered(order_id, classify("cancel", answer).meaning, answer.text, answer.http)


def _rows(pages: Pages, parse: Callable[[Mapping[str, Any]], _RowT]) -> tuple[tuple[_RowT, ...], str]:
    """The rows that can be read, and what is missing."""
    rows: list[_RowT] = []
    problems = [pages.problem] if pages.problem else []
    for data in pages.rows:
        try:
            rows.append(parse(data))
        except (ValueError, AttributeError) as error:
            problems.append(f"a row that cannot be read: {error}")
    return tuple(rows), "; ".join(problems[:3])
