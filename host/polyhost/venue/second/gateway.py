"""The gateway with the independent second client, ``py-clob-client-v2`` (CON-19): the same contract as the first's.

The client is synchronous: its calls run in threads, in lanes of their own, so that a cancel never waits behind reads.
It makes no chain transactions: those go through the first client, where that one works.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

import httpx
from loguru import logger
from msgspec import UNSET
from py_clob_client_v2.clob_types import (
    BuilderTradeParams,
    OrderMarketCancelParams,
    OrderPayload,
    OrdersScoringParams,
    PostOrdersV2Args,
)

from polyhost.errors import ConfigError, PolyhostError, VenueError
from polyhost.model import events
from polyhost.model.builder import NOBODY, PPM_OF_A_BASIS_POINT, Builder, Credited
from polyhost.model.clients import SECOND
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, SignedFields
from polyhost.model.money import MICRO
from polyhost.model.order_hash import ZERO_BYTES32
from polyhost.model.rounding import limit_amounts, market_size
from polyhost.model.times import day_text
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import deposit_wallet, first_deposit_wallet, wallet_of
from polyhost.model.words import OrderType
from polyhost.venue.budget import OverBudget
from polyhost.venue.contract import ClientGateway
from polyhost.venue.polymarket.account import AccountReader, Credentials, ReadError
from polyhost.venue.polymarket.http import PATIENCE_S, TIMEOUT, http_client
from polyhost.venue.polymarket.outcomes import NO_ANSWER, Answer
from polyhost.venue.polymarket.pacing import Paced, pace_of
from polyhost.venue.polymarket.rows import audit_row, earned_rows, position_row
from polyhost.venue.polymarket.wire_gateway import NotSignedError, Revoked, Signed, WireGateway
from polyhost.venue.second.answers import AnswerError, body_of, to_cancel, to_post, to_posts
from polyhost.venue.second.client import (
    NotCalledError,
    SecondClient,
    fields_of,
    require_surface,
    require_version,
    signed_order,
)
from polyhost.venue.second.portfolio import number, position, positions, public, rebate, reward
from polyhost.venue.second.reader import Ask, SecondReader
from polyhost.venue.second.selftest import signing_selftest

LANES: Final[Mapping[str, int]] = {"cancel": 2, "post": 4, "query": 4}
"""Threads for each kind of call: a venue that hangs on one kind holds up no other."""
GTD_LEAST_S: Final = 180
"""A GTD order must live this long, wall seconds: the first client's own rule, so that both take the same orders."""
PAGES_MAX: Final = 50
"""Pages of a builder code's trades that are read for a report; what lies beyond is not counted, and it is said."""
PROTOCOL_3: Final = ((1 << 64) - 1) << 40
"""Bits that are all 0 in the token ids of protocol version 3 (polymarket.md 2.4), whose exchange we do not sign for."""


class SecondGateway(WireGateway):
    """One account's way to the venue through ``py-clob-client-v2``."""

    client_name: ClassVar[str] = SECOND
    _client: SecondClient | None = None
    _wallet_address = ""
    _data: httpx.AsyncClient | None = None
    _chain: ClientGateway | None = None

    # --- life ---------------------------------------------------------------------------------------------------------

    async def _check(self) -> None:
        if self._selftest:
            await asyncio.to_thread(signing_selftest)
        else:
            require_version()
            require_surface()

    async def _open(self, owner: str) -> Credentials:
        live, base = self._endpoints.live, self._endpoints.clob
        wallet = await self._wallet_of(owner)
        http = httpx.Client(timeout=TIMEOUT, trust_env=live, verify=base.startswith("https"))
        client = SecondClient(base, http, self._private_key, wallet, self._wallet)
        lanes = {name: ThreadPoolExecutor(threads, f"{SECOND} {name}") for name, threads in LANES.items()}
        try:
            call = await asyncio.get_running_loop().run_in_executor(
                lanes["query"], client.asked, lambda each: each.set_api_creds(each.create_or_derive_api_key())
            )
            creds = client.creds
        except (httpx.HTTPError, NotCalledError) as error:
            _closed(http, lanes)
            raise VenueError(f"no credentials: {error or type(error).__name__}", endpoint=base) from error
        if creds is None:
            _closed(http, lanes)
            raise VenueError(f"no credentials: HTTP {call.responses[-1].status_code}", endpoint=base)
        self._client, self._lanes, self._wallet_address = client, lanes, wallet
        return Credentials(creds.api_key, creds.api_secret, creds.api_passphrase)

    async def _wallet_of(self, owner: str) -> str:
        """Of deposit wallets the relayer says which generation this key has. Raises VenueError."""
        if self._wallet is not WalletKind.DEPOSIT:
            return wallet_of(owner, self._wallet)
        first = first_deposit_wallet(owner)
        try:
            async with http_client(self._endpoints.relayer, self._clock, live=self._endpoints.live) as relayer:
                body = await public(relayer, "/deployed", {"address": first, "type": "WALLET"})
        except ReadError as error:
            raise VenueError(f"the relayer did not say which deposit wallet this key has: {error}",
                             endpoint=self._endpoints.relayer) from error
        return first if isinstance(body, dict) and body.get("deployed") is True else deposit_wallet(owner)

    def _reader_of(self, clob: httpx.AsyncClient) -> AccountReader:
        self._data = http_client(self._endpoints.data, self._clock, live=self._endpoints.live, budget=self.budget)
        self._https.append(self._data)
        return SecondReader(
            clob, self._owner, self.credentials, self._wallet, partial(self._first_answer, "query"),
            Paced(self.budget, PATIENCE_S),
        )

    def _closer(self) -> Callable[[], Awaitable[None]]:
        client, chain = self._client, self._chain
        lanes = self._lanes if client is not None else {}

        async def close() -> None:
            if client is not None:
                _closed(client.http, lanes)
            if chain is not None:
                await chain.close()
            if self._client is client:
                self._client = None
            if self._chain is chain:
                self._chain = None

        return close

    @property
    def wallet(self) -> str:
        return self._wallet_address

    # --- calls --------------------------------------------------------------------------------------------------------

    async def _asked(self, lane: str, ask: Ask) -> list[httpx.Response]:
        """One call in a thread of its lane. Raises NotCalledError or httpx.HTTPError."""
        assert self._client is not None, "connect() first"
        call = await asyncio.get_running_loop().run_in_executor(self._lanes[lane], self._client.asked, ask)
        if self._clock is not None:
            await self._clock.hook(call.responses[-1])
        return call.responses

    async def _first_answer(self, lane: str, ask: Ask) -> httpx.Response:
        return (await self._asked(lane, ask))[0]

    async def _body(self, bucket: str, ask: Ask, lane: str = "") -> Any:
        """The JSON that a call brought; its pace is told to the budget. Raises AnswerError and what ``_asked`` does."""
        response = await self._first_answer(lane or bucket, ask)
        retry_after, remaining = pace_of(response, time.time())
        if response.status_code != 200:
            self.budget.heard(bucket, response.status_code, retry_after, remaining)
        return body_of(response, retry_after)

    def _heard(self, bucket: str, error: Exception) -> Answer:
        match error:
            case AnswerError():
                return error.answer
            case OverBudget():
                return Answer(NO_ANSWER, f"rate budget: {error}")
            case NotCalledError():
                return Answer(NO_ANSWER, f"not sent: {error}")
            case httpx.HTTPError():
                return Answer(NO_ANSWER, f"transport: {error or type(error).__name__}")
            case _:
                logger.opt(exception=error).error("an answer of the second venue client that is in no table")
                return Answer(NO_ANSWER, f"transport: {type(error).__name__}: {error}")

    # --- prepare, post, cancel ----------------------------------------------------------------------------------------

    async def _sign(self, draft: OrderDraft) -> Signed:
        assert self._client is not None, "connect() first"
        if draft.order_type is OrderType.GTD and draft.expiration_s < time.time() + GTD_LEAST_S:
            raise NotSignedError(f"a GTD order must live at least {GTD_LEAST_S} seconds")
        if draft.token_id.isdigit() and int(draft.token_id) & PROTOCOL_3 == 0:
            raise NotSignedError("a token of protocol version 3, whose exchange is not signed for")
        wanted = self._wanted(draft)
        if not draft.order_type.rests and market_size(draft.action, draft.price, draft.size) != draft.size:
            raise NotSignedError("amounts finer than the venue takes in an order at market")
        sign = partial(self._client.signed, wanted, neg_risk=draft.neg_risk)
        try:
            signed = await asyncio.get_running_loop().run_in_executor(self._lanes["post"], sign)
        except Exception as error:  # the client raises anything; nothing was sent, and nothing is
            raise NotSignedError(f"the client refuses: {type(error).__name__}: {error}", every=True) from error
        return Signed(fields_of(signed), signed.signature, draft.expiration_s)

    def _wanted(self, draft: OrderDraft) -> SignedFields:
        """The order to sign; salt and time are the client's."""
        amounts = limit_amounts(draft.action, draft.price, draft.size)
        signer = self.wallet if self._wallet is WalletKind.DEPOSIT else self._owner
        code = NOBODY if draft.builder is UNSET else draft.builder.code
        return SignedFields(
            0, self.wallet, signer, draft.token_id, amounts.maker, amounts.taker, draft.action, self._wallet, 0,
            ZERO_BYTES32, code,
        )

    async def _send(self, request: OrderRequest) -> Answer:
        order, kind = signed_order(request), str(request.order_type)
        body = await self._body("post", lambda client: client.post_order(order, kind, request.post_only))
        return to_post(request.order_id, body)

    async def _send_many(self, requests: Sequence[OrderRequest]) -> Sequence[Answer]:
        """The client has one ``postOnly`` for a whole batch: those with it and those without go apart."""
        said: dict[str, Answer] = {}
        for post_only in (False, True):
            group = [request for request in requests if request.post_only is post_only]
            if group:
                try:
                    answers = await self._send_alike(group, post_only=post_only)
                except Exception as error:  # of this part only: the other one has answers of its own
                    answers = [self._heard("post", error)] * len(group)
                said |= zip((request.order_id for request in group), answers, strict=True)
        return [said[request.order_id] for request in requests]

    async def _send_alike(self, requests: Sequence[OrderRequest], *, post_only: bool) -> list[Answer]:
        args = [PostOrdersV2Args(signed_order(request), str(request.order_type)) for request in requests]
        body = await self._body("post", lambda client: client.post_orders(args, post_only))
        return to_posts([request.order_id for request in requests], body)

    async def _revoke(self, order_ids: Sequence[str]) -> Revoked:
        if len(order_ids) == 1:
            payload = OrderPayload(orderID=order_ids[0])
            return to_cancel(await self._body("cancel", lambda client: client.cancel_order(payload)))
        return to_cancel(await self._body("cancel", lambda client: client.cancel_orders(list(order_ids))))

    async def _revoke_market(self, condition_id: str) -> Revoked:
        payload = OrderMarketCancelParams(market=condition_id)
        return to_cancel(await self._body("cancel", lambda client: client.cancel_market_orders(payload)))

    async def _revoke_all(self) -> Revoked:
        return to_cancel(await self._body("cancel", lambda client: client.cancel_all()))

    # --- the chain ----------------------------------------------------------------------------------------------------

    async def act(self, request: ActionRequest) -> events.ActionAnswered:
        """Through the first client, connected when it is first needed; refused where that one does not work."""
        try:
            chain = await self._first_client()
        except (PolyhostError, ImportError) as error:
            reason = f"{SECOND} makes no chain transactions, and the first client cannot: {error}"
            return events.ActionAnswered(request.ref, "refused", reason)
        (answered,) = [
            event for event in await chain.execute(_act(request)) if isinstance(event, events.ActionAnswered)
        ]
        return answered

    async def _first_client(self) -> ClientGateway:
        if self._chain is None:
            from polyhost.venue.polymarket.gateway import PolymarketGateway

            chain = PolymarketGateway(
                self._endpoints, self._private_key, wallet=self._wallet, clock=self._clock, selftest=False,
                budget=self.budget, relayer=self._relayer,
            )
            await chain.connect()
            self._chain = chain
        return self._chain

    # --- builder code -------------------------------------------------------------------------------------------------

    async def builder(self, code: str) -> Builder:
        await self._unhurried("builder")
        try:
            body = await public(self._plain, f"/fees/builder-fees/{code}", {})
            if body is None:
                raise ConfigError(
                    "is no builder code that the venue knows, so no order with it would be taken; mend it or leave it "
                    "empty (the simulated exchange knows those of [exchange.builders])",
                    table="venue", key="builder_code", value=code,
                )
            return Builder(code, _ppm(body, "builder_maker_fee_rate_bps"), _ppm(body, "builder_taker_fee_rate_bps"))
        except (ReadError, ValueError, AttributeError) as error:
            problem = f"the builder code's fees were not read: {error}"
            raise VenueError(problem, endpoint="/fees/builder-fees") from error

    async def credited(self, code: str, since_s: int) -> Credited:
        await self._unhurried("builder")
        params = BuilderTradeParams(builder_code=code, after=str(since_s))
        found, cursor = Credited(0, 0, 0, 0, whole=True), None
        volume = fees = Decimal(0)
        trades = ours = 0
        for _ in range(PAGES_MAX):
            page = await self._builder_page(params, cursor)
            for row in page.get("data") or ():
                if str(row.get("status")).removeprefix("TRADE_STATUS_") != "FAILED":
                    trades, ours = trades + 1, ours + (str(row.get("maker")).lower() == self.wallet.lower())
                    volume, fees = volume + number(row, "sizeUsdc"), fees + number(row, "feeUsdc")
            cursor = page.get("next_cursor")
            whole = not cursor or cursor == "LTE="
            found = Credited(trades, int(volume * MICRO), int(fees * MICRO), ours, whole)
            if whole:
                break
        return found

    async def _builder_page(self, params: BuilderTradeParams, cursor: str | None) -> Mapping[str, Any]:
        try:
            body = await self._body("query", lambda client: client.get_builder_trades(params, cursor))
            if not isinstance(body, dict):
                raise ValueError(f"a page that is {type(body).__name__}")
            return body
        except (AnswerError, NotCalledError, httpx.HTTPError, ValueError) as error:
            problem = f"the builder code's trades were not read: {error}"
            raise VenueError(problem, endpoint="/builder/trades") from error

    # --- ask ----------------------------------------------------------------------------------------------------------

    @property
    def _plain(self) -> httpx.AsyncClient:
        """The CLOB without credentials."""
        return self._https[0]

    async def positions(self, begun: int = 0) -> events.PositionsSeen | events.QueryFailed:
        assert self._data is not None, "connect() first"
        rows, problems = [], []
        try:
            for data in await positions(self._data, self.wallet):
                try:
                    rows.append(position_row(position(data)))
                except ValueError as error:
                    problems.append(f"a position that cannot be read: {error}")
        except ReadError as error:
            return events.QueryFailed("positions", "", str(error))
        return events.PositionsSeen(tuple(rows), not problems, "; ".join(problems[:3]), begun)

    async def audit(self, condition_id: str) -> events.AuditSeen | events.QueryFailed:
        assert self._data is not None, "connect() first"
        rows: list[events.AuditRow] = []
        try:
            for status in ({}, {"status": "CLOSED"}):
                await self._unhurried("audit")
                found = await positions(self._data, self.wallet, condition_id=condition_id, **status)
                rows += [audit_row(position(data)) for data in found]
        except (ReadError, VenueError, ValueError) as error:
            return events.QueryFailed("audit", condition_id, str(error))
        return events.AuditSeen(condition_id, tuple(rows))

    async def scoring(self, order_ids: Sequence[str]) -> events.ScoringSeen | events.QueryFailed:
        params = OrdersScoringParams(orderIds=list(order_ids))
        try:
            await self._unhurried("scoring")
            said = await self._body("query", lambda client: client.are_orders_scoring(params))
            if not isinstance(said, dict) or not all(isinstance(yes, bool) for yes in said.values()):
                raise ValueError("malformed: scores that are no object of yes and no")
        except (AnswerError, NotCalledError, httpx.HTTPError, VenueError, ValueError) as error:
            return events.QueryFailed("scoring", "", str(error))
        return events.ScoringSeen(tuple(said.items()))

    async def earnings(self, day: int) -> events.EarningsSeen | events.QueryFailed:
        named = day_text(day)
        try:
            await self._unhurried("earnings")
            pages = await self._asked("query", lambda client: client.get_earnings_for_user_for_day(named))
            rewards = [reward(row) for page in pages for row in body_of(page, None)["data"]]
            await self._unhurried("rebates")
            asked = {"date": named, "maker_address": self.wallet}
            rebates = [rebate(row) for row in await public(self._plain, "/rebates/current", asked) or ()]
            return events.EarningsSeen(day, earned_rows(rewards, rebates))
        except (
            AnswerError, ReadError, NotCalledError, httpx.HTTPError, VenueError, ValueError, KeyError, TypeError,
        ) as error:
            return events.QueryFailed("earnings", str(day), str(error))


def _act(request: ActionRequest) -> Any:
    from polyhost.model.commands import Act

    return Act(request)


def _closed(http: httpx.Client, lanes: Mapping[str, ThreadPoolExecutor]) -> None:
    """What is under way is not waited for: it ends by its own time limits."""
    for lane in lanes.values():
        lane.shutdown(wait=False, cancel_futures=True)
    http.close()


def _ppm(body: Any, field: str) -> int:
    """Basis points as ppm. Raises ValueError for a rate that is none, or finer than we count."""
    ppm = number(body, field) * PPM_OF_A_BASIS_POINT
    if ppm != ppm.to_integral_value() or not 0 <= ppm <= MICRO:
        raise ValueError(f"a builder's fee of {body.get(field)} basis points is none we know")
    return int(ppm)
