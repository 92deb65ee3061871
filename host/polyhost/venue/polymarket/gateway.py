"""The gateway with the official client, the venue's own SDK.

The client's ``place_…`` methods, which approve and re-post by themselves, are never used.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Final, Literal

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
from polyhost.model import events
from polyhost.model.builder import Builder, Credited
from polyhost.model.examination import Approving, Missing
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, SignedFields
from polyhost.model.market import Market
from polyhost.model.money import price_text, size_text
from polyhost.model.relayer import RelayerKey
from polyhost.model.rounding import limit_amounts, market_size
from polyhost.model.times import day_text
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.model.words import Action, ActionKind, OrderType
from polyhost.venue.budget import Budget, OverBudget
from polyhost.venue.clock import VenueClock
from polyhost.venue.polymarket.account import Credentials
from polyhost.venue.polymarket.answers import too_few_or_many, with_pause
from polyhost.venue.polymarket.approvals import approve, missing_approvals
from polyhost.venue.polymarket.builders import credited, rates_of
from polyhost.venue.polymarket.client import (
    DISTRIBUTION,
    api_key_of,
    environment_at,
    require_surface,
    require_version,
    told_of_the_relayer,
)
from polyhost.venue.polymarket.endpoints import Endpoints
from polyhost.venue.polymarket.fast_signing import TOKENS_MAX, FastSigner, fits
from polyhost.venue.polymarket.outcomes import NO_ANSWER, Answer
from polyhost.venue.polymarket.rows import audit_row, earned_rows, position_row
from polyhost.venue.polymarket.selftest import Rehearsal, fast_signer, fields_of, signing_selftest
from polyhost.venue.polymarket.wire_gateway import NotSignedError, Revoked, Signed, WireGateway, address_of

NOT_MADE: Final = "log in to polymarket.com once with this key, which makes the wallet; or choose another kind"
POSITIONS_PAGE: Final = 500
"""Positions read in one request (the venue takes up to 1,000)."""
SALT_BITS: Final = 53
"""As the client's: every JSON reader keeps such a number whole."""
GTD_LEAST_S: Final = 181
"""The client refuses a GTD that ends within 180 s, wall seconds; nearer than this it is asked."""


class PolymarketGateway(WireGateway):
    """One account's way to the venue through ``polymarket-client``."""

    client_name: ClassVar[str] = DISTRIBUTION
    _client: AsyncSecureClient | None = None

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
        fast: bool = False,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        """``fast``: sign without the client, once the self-test with the account's own key found no difference.
        ``rehearsal``: of this key and wallet, where it was made before.
        """
        super().__init__(
            endpoints, private_key, wallet=wallet, clock=clock, selftest=selftest, budget=budget, relayer=relayer
        )
        self._wants_fast = fast
        self._rehearsal = rehearsal
        self._fast: FastSigner | None = None
        """Signs without the client; None: the client signs."""
        self._facts: dict[str, bool] = {}
        """Tokens whose facts the client read for us, and whether they are neg-risk."""

    # --- life ---------------------------------------------------------------------------------------------------------

    async def _check(self) -> None:
        if not self._selftest:
            require_version()
            require_surface()
        elif self._wants_fast and self._wallet is not WalletKind.DEPOSIT:
            self._rehearsal = self._rehearsal or rehearsal_of(self._private_key, self._wallet)
            await self._rehearsal.run()
            self._fast = self._rehearsal.signer()
        else:
            await signing_selftest()

    async def _open(self, owner: str) -> Credentials:
        try:
            self._client = await self._created(owner)
        except UserInputError as error:
            raise ConfigError(f"the venue client does not take this key or wallet: {error}", key="wallet") from error
        except PolymarketError as error:
            raise VenueError(f"no credentials: {error}", endpoint=self._endpoints.clob) from error
        given = self._client.credentials
        return Credentials(given.key, given.secret, given.passphrase)

    async def _created(self, owner: str) -> AsyncSecureClient:
        """The client, with a relayer key where there is one. Raises its errors, ConfigError or VenueError."""
        environment = environment_at(self._endpoints)
        api_key = None if self._relayer is None else api_key_of(self._relayer, owner)
        if self._wallet is not WalletKind.DEPOSIT:
            return await AsyncSecureClient.create(
                private_key=self._private_key, wallet=wallet_of(owner, self._wallet), environment=environment,
                api_key=api_key,
            )
        # Which generation of deposit wallet this key has, the client asks the relayer. One that is not there yet it
        # would make by itself, had it a relayer key: nothing is sent that nobody asked for, so it gets that one later.
        try:
            found = await AsyncSecureClient.create(private_key=self._private_key, environment=environment)
        except UserInputError as error:
            raise ConfigError(f"its deposit wallet does not exist: {error}", key="wallet", remedy=NOT_MADE) from error
        if api_key is None:
            return found
        try:
            return await AsyncSecureClient.create(
                private_key=self._private_key, wallet=found.wallet, environment=environment,
                credentials=found.credentials, api_key=api_key,
            )
        finally:
            await found.close()

    async def connect(self) -> None:
        await super().connect()
        if self._wants_fast and self._fast is None and self._rehearsal is None:
            self._fast = await fast_signer(self._private_key, self._wallet, self.wallet, self._owner, _signed)

    def _closer(self) -> Callable[[], Awaitable[None]]:
        client = self._client

        async def close() -> None:
            if client is not None:
                await client.close()
            if self._client is client:
                self._client = None

        return close

    @property
    def wallet(self) -> str:
        return str(self._connected.wallet)

    @property
    def signs_fast(self) -> bool:
        """Orders are signed without the client."""
        return self._fast is not None

    @property
    def _connected(self) -> AsyncSecureClient:
        assert self._client is not None, "connect() first"
        return self._client

    # --- approvals ----------------------------------------------------------------------------------------------------

    async def _missing_approvals(self) -> tuple[Missing, ...]:
        return await missing_approvals(self._connected)

    async def approve(self) -> Approving:
        return await approve(self._connected, self._read, self._wallet, keyed=self._relayer is not None)

    # --- builder code -------------------------------------------------------------------------------------------------

    async def builder(self, code: str) -> Builder:
        await self._unhurried("builder")
        return await rates_of(self._connected, code)

    async def credited(self, code: str, since_s: int) -> Credited:
        await self._unhurried("builder")
        return await credited(self._connected, code, since_s, self.wallet)

    # --- prepare ------------------------------------------------------------------------------------------------------

    async def warm(self, market: Market) -> bool:
        read = await super().warm(market)
        if read:
            self._facts.update({market.up: market.neg_risk, market.down: market.neg_risk})
            while len(self._facts) > TOKENS_MAX:
                del self._facts[next(iter(self._facts))]
        return read

    async def _sign(self, draft: OrderDraft) -> Signed:
        # A token whose facts the client never read, or read otherwise, is its own to judge.
        if self._fast is not None and self._facts.get(draft.token_id) is draft.neg_risk and _plain(draft):
            return _signed_fast(self._fast, draft)
        try:
            signed = await _signed(self._connected, draft)
        except (SigningError, UserInputError) as error:
            every = isinstance(error, SigningError)
            raise NotSignedError(f"the client refuses: {error}", every=every) from error
        except PolymarketError as error:
            raise NotSignedError(f"market facts not read: {error}") from error
        return Signed(fields_of(signed), signed.signature, signed.expiration)

    # --- post and cancel ----------------------------------------------------------------------------------------------

    async def _send(self, request: OrderRequest) -> Answer:
        return _answer_to_post(request.order_id, await self._connected.post_order(_signed_order(request)))

    async def _send_many(self, requests: Sequence[OrderRequest]) -> Sequence[Answer]:
        answers = await self._connected.post_orders([_signed_order(request) for request in requests])
        if len(answers) != len(requests):
            return too_few_or_many(len(answers), len(requests))
        return [_answer_to_post(request.order_id, answer) for request, answer in zip(requests, answers, strict=True)]

    async def _revoke(self, order_ids: Sequence[str]) -> Revoked:
        client = self._connected
        if len(order_ids) == 1:
            return _revoked(await client.cancel_order(order_id=order_ids[0]))
        return _revoked(await client.cancel_orders(order_ids=order_ids))

    async def _revoke_market(self, condition_id: str) -> Revoked:
        return _revoked(await self._connected.cancel_market_orders(market=condition_id))

    async def _revoke_all(self) -> Revoked:
        return _revoked(await self._connected.cancel_all())

    def _heard(self, bucket: str, error: Exception) -> Answer:
        match error:
            case RateLimitError():
                left = None if error.rate_limit is None else error.rate_limit.remaining
                self.budget.heard(bucket, 429, error.retry_after, None if left is None else float(left))
            case RequestRejectedError():
                self.budget.heard(bucket, error.status, error.retry_after)
        return _answer_of(error)

    # --- the chain ----------------------------------------------------------------------------------------------------

    async def act(self, request: ActionRequest) -> events.ActionAnswered:
        ref = request.ref
        try:
            handle = await self._begin(request)
        except (UserInputError, RateLimitError) as error:  # not sent, or not taken
            return events.ActionAnswered(ref, "refused", f"the client refuses: {error}")
        except RequestRejectedError as error:
            outcome = "refused" if error.status < 500 else "unknown"
            return events.ActionAnswered(ref, outcome, told_of_the_relayer(error))
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

    async def positions(self, begun: int = 0) -> events.PositionsSeen | events.QueryFailed:
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
        try:
            await self._unhurried("scoring")
            said = await self._connected.get_orders_scoring(order_ids=order_ids)
        except (PolymarketError, VenueError, ValueError) as error:
            return events.QueryFailed("scoring", "", str(error))
        return events.ScoringSeen(tuple(said.items()))

    async def earnings(self, day: int) -> events.EarningsSeen | events.QueryFailed:
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


def rehearsal_of(private_key: str, kind: WalletKind) -> Rehearsal:
    """The self-tests of a key and one of its wallets, no deposit wallet. Raises ConfigError for a key that is none."""
    return Rehearsal(private_key, kind, address_of(private_key), _signed)


def _plain(draft: OrderDraft) -> bool:
    """Nothing of the draft is left to the client's rules: amounts are exact, and a GTD lives long enough for it."""
    exact = draft.order_type.rests or market_size(draft.action, draft.price, draft.size) == draft.size
    lasts = draft.order_type is not OrderType.GTD or draft.expiration_s >= time.time() + GTD_LEAST_S
    return exact and lasts and fits(draft.token_id)


def _signed_fast(signer: FastSigner, draft: OrderDraft) -> Signed:
    amounts = limit_amounts(draft.action, draft.price, draft.size)
    salt, now_ms = secrets.randbits(SALT_BITS), time.time_ns() // 1_000_000
    fields = signer.fields(draft, amounts, salt=salt, timestamp_ms=now_ms)
    made, signature = signer.signed(fields, neg_risk=draft.neg_risk)
    return Signed(fields, signature, draft.expiration_s, made)


async def _signed(client: AsyncSecureClient, draft: OrderDraft) -> SignedOrder:
    """What the client signs for a draft. Raises its errors."""
    price = price_text(draft.price)
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


def _revoked(answer: Any) -> Revoked:
    return Revoked(answer.canceled, answer.not_canceled)


def _answer_of(error: Exception) -> Answer:
    """What an exception of the client says about the request."""
    match error:
        case RateLimitError():
            return Answer(429, with_pause(error, error.retry_after), retry_after_s=error.retry_after or 0.0)
        case RequestRejectedError():
            text = with_pause(error, error.retry_after)
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
