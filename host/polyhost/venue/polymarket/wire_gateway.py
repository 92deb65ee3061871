"""What every gateway over the wire does alike, whichever client it posts and cancels with. No venue SDK in it.

A gateway prepares, posts, cancels and asks, and keeps no order state; every answer is an event. Orders are signed first
and sent only as the bytes that were made durable. What is left to a client: to sign exactly what it is given, to send
these bytes once, to cancel, and to say what came back.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import httpx
from loguru import logger
from msgspec import UNSET, Struct

from polyhost.errors import ConfigError, VenueError
from polyhost.model import commands, events
from polyhost.model.batching import BATCH_MAX, CANCELS_MAX, chunks
from polyhost.model.builder import NOBODY, Builder, Credited
from polyhost.model.events import Event
from polyhost.model.examination import Approving, Examination, Missing
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, SignedFields
from polyhost.model.market import Market
from polyhost.model.order_hash import order_id
from polyhost.model.relayer import RelayerKey
from polyhost.model.rounding import limit_amounts
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.words import Action, OrderType
from polyhost.venue.budget import Budget, OverBudget, Urgency
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.account import AccountReader, Credentials, ReadError
from polyhost.venue.polymarket.answers import cancel_answered, illegal, post_answered, rows_of
from polyhost.venue.polymarket.catalogue import Catalogue
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.examination import MANUAL, Asking, examine
from polyhost.venue.polymarket.heartbeats import Beaten
from polyhost.venue.polymarket.http import PATIENCE_S, budget_scale, http_client
from polyhost.venue.polymarket.outcomes import NO_ANSWER, Answer
from polyhost.venue.polymarket.proof import proves
from polyhost.venue.polymarket.rows import order_row, trade_row


class Signed(Struct, frozen=True):
    """What a client signed: the order, the signature over it, and until when it lives (unix seconds; 0: for good)."""

    fields: SignedFields
    signature: str
    expiration_s: int
    order_id: str = ""
    """Its id, when the signer made it from this very draft and is known to do so as we would; else it is looked at."""


class NotSignedError(Exception):
    """The client did not sign. ``every``: it would be so with every order (wrong key, client drift)."""

    def __init__(self, reason: str, *, every: bool = False) -> None:
        super().__init__(reason)
        self.every = every


class Revoked(Struct, frozen=True):
    """A client's answer to a cancel: ids that are cancelled, and the others with the venue's reason."""

    canceled: Sequence[str]
    not_canceled: Mapping[str, str]


class WireGateway(ABC):
    """One account's way to the venue. Call ``connect`` once before anything else, ``close`` at the end."""

    client_name: ClassVar[str]
    """Distribution of the client that posts and cancels."""

    def __init__(
        self,
        endpoints: Endpoints,
        private_key: str,
        *,
        wallet: WalletKind = WalletKind.EOA,
        clock: VenueClock | None = None,
        selftest: bool = True,
        budget: Budget | None = None,
        relayer: RelayerKey | None = None,
    ) -> None:
        """``wallet``: which of the key's wallets holds the funds. ``budget``: None: one of its own.

        Live it is the account's, shared by everything that asks the venue. ``relayer``: what a contract wallet's
        transactions are sent with; None: it sends none.
        """
        self._endpoints = endpoints
        self._private_key = private_key
        self._wallet = wallet
        self._owner = ""
        """The key's own address, from ``connect`` on."""
        self._clock = clock
        self._selftest = selftest
        self._relayer = relayer
        self._reader: AccountReader | None = None
        self._credentials: Credentials | None = None
        self._catalogue: Catalogue | None = None
        self._https: list[httpx.AsyncClient] = []
        self._result_trouble = False
        self.budget = budget or Budget(scale=lambda: budget_scale(clock))
        self._reading: set[str] = set()
        """Balances that are being asked for."""

    # --- what a client does -------------------------------------------------------------------------------------------

    @abstractmethod
    async def _check(self) -> None:
        """Is the installed client the one we know? Raises VenueError with the remedy."""

    @abstractmethod
    async def _open(self, owner: str) -> Credentials:
        """Connect the client and authenticate. Raises VenueError, or ConfigError for a key or wallet it does not take.
        """

    @abstractmethod
    def _closer(self) -> Callable[[], Awaitable[None]]:
        """What closes the present client, also when there is another one by then; nothing without one."""

    @property
    @abstractmethod
    def wallet(self) -> str:
        """Address that holds the funds. Only after ``connect``."""

    @abstractmethod
    async def _sign(self, draft: OrderDraft) -> Signed:
        """Sign a legal draft with exactly its amounts. Raises NotSignedError."""

    @abstractmethod
    async def _send(self, request: OrderRequest) -> Answer:
        """Send these bytes once. Raises what ``_heard`` understands."""

    @abstractmethod
    async def _send_many(self, requests: Sequence[OrderRequest]) -> Sequence[Answer]:
        """Send several as one request; as many answers, in their order. Raises as ``_send``."""

    @abstractmethod
    async def _revoke(self, order_ids: Sequence[str]) -> Revoked:
        """Cancel one or several in one request. Raises as ``_send``."""

    @abstractmethod
    async def _revoke_market(self, condition_id: str) -> Revoked: ...

    @abstractmethod
    async def _revoke_all(self) -> Revoked: ...

    @abstractmethod
    def _heard(self, bucket: str, error: Exception) -> Answer:
        """What an exception of the client says of the request, and (told to the budget) of the pace wanted."""

    @abstractmethod
    async def builder(self, code: str) -> Builder:
        """What a builder code costs. ConfigError: the venue does not know it; VenueError: no usable answer."""

    @abstractmethod
    async def credited(self, code: str, since_s: int) -> Credited:
        """What the venue credits a builder code with since a unix second. Raises VenueError."""

    @abstractmethod
    async def act(self, request: ActionRequest) -> events.ActionAnswered:
        """Merge, redeem or split once, and wait for the end: ``refused`` only where nothing can have happened."""

    @abstractmethod
    async def positions(self, begun: int = 0) -> events.PositionsSeen | events.QueryFailed:
        """Everything the wallet holds, by the data API, which lags the chain by seconds to minutes."""

    @abstractmethod
    async def audit(self, condition_id: str) -> events.AuditSeen | events.QueryFailed:
        """The data API's account of our positions in a market; closed ones are a list of their own."""

    @abstractmethod
    async def scoring(self, order_ids: Sequence[str]) -> events.ScoringSeen | events.QueryFailed:
        """Which of these orders score for rewards, in one request."""

    @abstractmethod
    async def earnings(self, day: int) -> events.EarningsSeen | events.QueryFailed:
        """Rewards and rebates of a day by market. The venue tells them apart, and nothing of a market without any."""

    async def _missing_approvals(self) -> tuple[Missing, ...]:
        """Which approvals the wallet has not given. Raises VenueError."""
        raise VenueError("this client does not tell which approvals are missing", endpoint=self.client_name)

    async def approve(self) -> Approving:
        """Give every approval that trading needs and that is missing. Only when a person has asked for it (ORD-22)."""
        return Approving(False, f"{self.client_name} sends no approvals", f"{MANUAL}; or use the official client")

    # --- life ---------------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Check the client, then authenticate. VenueError: drift, or not reached; ConfigError: a key that is none."""
        await self._check()
        owner = address_of(self._private_key)
        given = await self._open(owner)
        live = self._endpoints.live
        clob = http_client(self._endpoints.clob, self._clock, live=live, budget=self.budget)
        gamma = http_client(self._endpoints.gamma, self._clock, live=live, budget=self.budget)
        self._https = [clob, gamma]
        self._owner, self._credentials = owner, given
        self._reader = self._reader_of(clob)
        self._catalogue = Catalogue(gamma, clob)

    def _reader_of(self, clob: httpx.AsyncClient) -> AccountReader:
        return AccountReader(clob, self._owner, self.credentials, self._wallet)

    async def examine(self, symbols: Sequence[str]) -> Examination:
        """The account as the venue sees it; nothing is changed. Only after ``connect``."""
        return await examine(
            Asking(
                self._https[0], self._owner, self.wallet, self._wallet, self.credentials, self._endpoints, symbols,
                self._missing_approvals, self._relayer,
            )
        )

    async def reconnect(self) -> None:
        """Make every connection anew, as ``connect`` does; VenueError or ConfigError: the old ones stay in use."""
        close_client, https = self._closer(), self._https
        await self.connect()
        await close_client()
        for http in https:
            await http.aclose()

    async def close(self) -> None:
        """Close every connection; safe to call twice."""
        https, self._https = self._https, []
        await self._closer()()
        for http in https:
            await http.aclose()

    @property
    def credentials(self) -> Credentials:
        """For the streams that authenticate. Only after ``connect``."""
        assert self._credentials is not None, "connect() first"
        return self._credentials

    @property
    def _read(self) -> AccountReader:
        assert self._reader is not None, "connect() first"
        return self._reader

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
        problem = illegal(draft)
        if problem:
            return events.PrepareFailed(draft.ref, problem)
        try:
            signed = await self._sign(draft)
        except NotSignedError as error:
            return events.PrepareFailed(draft.ref, str(error), error.every)
        problem = "" if signed.order_id else self._not_what_was_wanted(draft, signed)
        if problem:
            return events.PrepareFailed(draft.ref, problem)
        request = OrderRequest(
            signed.order_id or order_id(signed.fields, neg_risk=draft.neg_risk), signed.fields, signed.signature,
            draft.order_type, draft.post_only, signed.expiration_s, self.credentials.key, draft.neg_risk,
        )
        return events.Prepared(draft.ref, request)

    def _not_what_was_wanted(self, draft: OrderDraft, signed: Signed) -> str:
        """Why what was signed is not the draft; empty: it is, and our id of it is what was signed."""
        fields, amounts = signed.fields, limit_amounts(draft.action, draft.price, draft.size)
        if (fields.maker_amount, fields.taker_amount) != tuple(amounts):
            given = f"{fields.maker_amount}/{fields.taker_amount}"
            return f"the client signed amounts {given}, wanted {amounts.maker}/{amounts.taker}"
        if fields.builder.lower() != (NOBODY if draft.builder is UNSET else draft.builder.code):
            return f"the client signed the builder code {fields.builder}"
        if not proves(fields, signed.signature, self._owner, neg_risk=draft.neg_risk):
            return f"not a signature of our order hash (neg risk {draft.neg_risk}?)"
        return ""

    # --- post and cancel ----------------------------------------------------------------------------------------------

    async def post(self, request: OrderRequest) -> events.PostAnswered:
        """Send these bytes once. The answer is classified by the outcome table; nothing is ever sent again here."""
        over = await self._turn("post", [request])
        if over is not None:
            return post_answered(request.order_id, over)
        try:
            answer = await self._send(request)
        except Exception as error:  # whatever it is, the order may be at the venue: it is an answer, not a crash
            return post_answered(request.order_id, self._heard("post", error))
        return post_answered(request.order_id, answer)

    async def post_many(self, requests: Sequence[OrderRequest]) -> list[events.PostAnswered]:
        """Send several orders, at most 15 a request; each answer is read by itself."""
        answered: list[events.PostAnswered] = []
        for group in chunks(requests, BATCH_MAX):
            answered += await self._post_group(group)
        return answered

    async def _post_group(self, group: Sequence[OrderRequest]) -> list[events.PostAnswered]:
        over = await self._turn("post", group)
        if over is not None:
            return [post_answered(request.order_id, over) for request in group]
        try:
            answers = await self._send_many(group)
        except Exception as error:  # as in post: none of these is known
            said = self._heard("post", error)
            return [post_answered(request.order_id, said) for request in group]
        return [post_answered(request.order_id, answer) for request, answer in zip(group, answers, strict=True)]

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
        try:
            await self.budget.admit(
                "cancel", Urgency.CANCEL, "cancel", cost=len(group), patience_s=PATIENCE_S[Urgency.CANCEL]
            )
            answer = await self._revoke(group)
        except Exception as error:  # whatever it is, the cancel may have worked: each order is asked for
            said = self._heard("cancel", error)
            return [cancel_answered(order_id, said) for order_id in group]
        return [cancel_answered(order_id, _answer_to_cancel(order_id, answer)) for order_id in group]

    async def cancel_market(self, condition_id: str) -> list[events.CancelAnswered]:
        """Cancel every order of the key in one market, a person's too; one answer for each order the venue names."""
        self.budget.take("cancel", "cancel market")
        return await self._cancel_named(self._revoke_market(condition_id))

    async def cancel_all(self) -> list[events.CancelAnswered]:
        """Cancel every order of the key, a person's too; one answer for each order the venue names."""
        self.budget.take("cancel", "cancel all")  # a person wants it now
        return await self._cancel_named(self._revoke_all())

    async def _cancel_named(self, asking: Awaitable[Revoked]) -> list[events.CancelAnswered]:
        try:
            answer = await asking
        except Exception as error:  # the operator must hear that nothing is proved, whatever went wrong
            return [cancel_answered("", self._heard("cancel", error))]
        named = [*answer.canceled, *answer.not_canceled]
        return [cancel_answered(order_id, _answer_to_cancel(order_id, answer)) for order_id in named]

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
        order_rows, order_problem = rows_of(orders, order_row)
        trade_rows, trade_problem = rows_of(trades, trade_row)
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
            logger.bind(market=slug).log(level, "result of {} not read: {}", slug or condition_id, error)
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


def address_of(private_key: str) -> str:
    from eth_account import Account

    try:
        address: str = Account.from_key(private_key).address
    except (ValueError, TypeError):
        # The error's own text may hold the key: it is not chained.
        raise ConfigError("the private key is not 32 bytes in hex", key="private key") from None
    return address


def _answer_to_cancel(order_id: str, answer: Revoked) -> Answer:
    if order_id in answer.canceled:
        return Answer(200, "", "canceled")
    reason = answer.not_canceled.get(order_id)
    return Answer(200, "not named" if reason is None else str(reason))
