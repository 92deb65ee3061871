"""Merge, redeem and split through the gateway, against the exchange's own chain; and what each failure means."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from polymarket.errors import (
    PolymarketError,
    RequestRejectedError,
    TimeoutError,
    TransactionFailedError,
    TransportError,
    UserInputError,
)

from polyhost.errors import ConfigError
from polyhost.exchange.api import MarketDecided
from polyhost.exchange.server import Running, ServerSettings, running
from polyhost.exchange.server.settings import Troubles
from polyhost.exchange.world import WorldSettings
from polyhost.model import commands, events
from polyhost.model.gateway import ActionRequest
from polyhost.model.market import Market
from polyhost.model.relayer import RelayerKey
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.words import ActionKind, Side
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.polymarket.wire_gateway import WireGateway
from polyhost.venue.second.gateway import SecondGateway

from .both_clients import each_client

KEY = "0x" + "22" * 32
CASH = 1_000_000_000
WORLD = WorldSettings(symbols=("BTC",), durations_s=(900,), density=0.0)
AT_ONCE = ServerSettings(
    world=msgspec.structs.replace(WORLD, rules=msgspec.structs.replace(WORLD.rules, mined_ms=1, confirmed_ms=2))
)


@each_client
def test_set_03_split_merge_and_a_refusal_of_the_plain_wallet_over_the_wire(client: type[WireGateway]) -> None:
    """The second client's gateway has the first make them."""

    async def go() -> None:
        async with running(AT_ONCE) as up:
            gateway = client(endpoints_at(up.url, up.ws_url), KEY, selftest=False)
            await gateway.connect()
            market = next(market for market in up.engine.world.listing(False) if market.start is None)

            async def act(kind: ActionKind, size: int) -> events.ActionAnswered:
                request = ActionRequest("a1", kind, market.condition_id, size)
                (answer,) = await gateway.execute(commands.Act(request))
                assert isinstance(answer, events.ActionAnswered)
                return answer

            done = await act(ActionKind.SPLIT, 30_000_000)
            assert (done.ref, done.outcome, done.transaction[:2]) == ("a1", "done", "0x"), done
            assert (await act(ActionKind.MERGE, 10_000_000)).outcome == "done"
            assert await gateway.balance() == events.BalanceSeen(CASH - 20_000_000, True)
            assert await gateway.token_balance(market.up) == events.TokenBalanceSeen(market.up, 20_000_000)
            refused = await act(ActionKind.MERGE, 20_000_001)
            assert refused.outcome == "refused", refused
            await gateway.close()

    asyncio.run(go())


def test_set_03_a_contract_wallet_without_a_relayer_key_is_refused_clearly() -> None:
    async def go() -> None:
        async with running(AT_ONCE) as up:
            gateway = PolymarketGateway(endpoints_at(up.url, up.ws_url), KEY, wallet=WalletKind.PROXY, selftest=False)
            await gateway.connect()
            market = next(market for market in up.engine.world.listing(False) if market.start is None)
            answer = await gateway.act(ActionRequest("a1", ActionKind.SPLIT, market.condition_id, 1_000_000))
            assert answer.outcome == "refused"
            assert answer.text.startswith("the client refuses: ")
            given = await gateway.approve()
            assert (given.done, "[accounts.NAME] relayer" in given.problem) == (False, True)
            assert "polymarket.com" in given.manual
            await gateway.close()

    asyncio.run(go())


def decide(up: Running, market: Market) -> None:
    """UP has won."""
    now, world = up.engine.clock.now, up.engine.world
    said = world.exchange.decide(market.condition_id, Side.UP, None, None, now)
    listed = world.windows.listed[market.condition_id]
    listed.decided, listed.decided_at = MarketDecided(market.condition_id, Side.UP, None, None), now
    up.engine._give_out(said, now)


RELAYED = RelayerKey("a-relayer-key")
BUILDER = RelayerKey("a-builder-key", secret="YS1zZWNyZXQ=", passphrase="a-passphrase")


@pytest.mark.parametrize(
    ("client", "kind", "relayer"),
    [
        (PolymarketGateway, WalletKind.PROXY, RELAYED), (PolymarketGateway, WalletKind.SAFE, BUILDER),
        (PolymarketGateway, WalletKind.DEPOSIT, RELAYED), (SecondGateway, WalletKind.PROXY, RELAYED),
    ],
    ids=lambda each: getattr(each, "__name__", getattr(each, "name", "")),
)
def test_ord_22_set_03_a_contract_wallet_approves_splits_merges_and_redeems_through_the_relayer(
    client: type[WireGateway], kind: WalletKind, relayer: RelayerKey
) -> None:
    """From nothing: no approval is there. The second client has the first make its transactions, but approves none."""

    async def go() -> None:
        unapproved = msgspec.structs.replace(AT_ONCE, troubles=Troubles(unapproved=client is PolymarketGateway))
        async with running(unapproved) as up:
            gateway = client(endpoints_at(up.url, up.ws_url), KEY, wallet=kind, relayer=relayer, selftest=False)
            await gateway.connect()
            market = next(market for market in up.engine.world.listing(False) if market.start is None)

            async def act(kind: ActionKind, size: int = 0) -> events.ActionAnswered:
                (answer,) = await gateway.execute(
                    commands.Act(ActionRequest("a1", kind, market.condition_id, size))
                )
                assert isinstance(answer, events.ActionAnswered)
                return answer

            if client is PolymarketGateway:
                assert await gateway.balance() == events.BalanceSeen(CASH, False)
                assert (await gateway.approve()).done
            assert await gateway.balance() == events.BalanceSeen(CASH, True)
            assert (await act(ActionKind.SPLIT, 30_000_000)).outcome == "done"
            assert (await act(ActionKind.MERGE, 10_000_000)).outcome == "done"
            assert await gateway.token_balance(market.up) == events.TokenBalanceSeen(market.up, 20_000_000)
            failed = await act(ActionKind.SPLIT, CASH)
            assert (failed.outcome, "the transaction failed" in failed.text) == ("refused", True), failed
            decide(up, market)
            assert (await act(ActionKind.REDEEM)).outcome == "done"
            assert await gateway.balance() == events.BalanceSeen(CASH, True)
            await gateway.close()

    asyncio.run(go())


def test_ord_22_a_deposit_wallet_that_does_not_exist_yet_is_not_made_by_looking_at_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a relayer key the client would make it as soon as it is created."""

    async def go() -> None:
        async with running(AT_ONCE) as up:
            monkeypatch.setattr(type(up.engine.wallets), "deployed", lambda self, wallet, kind: False)
            gateway = PolymarketGateway(
                endpoints_at(up.url, up.ws_url), KEY, wallet=WalletKind.DEPOSIT, relayer=RELAYED, selftest=False
            )
            with pytest.raises(ConfigError, match=r"its deposit wallet does not exist.*log in to polymarket.com once"):
                await gateway.connect()
            wallets = up.engine.wallets.known()
            assert [up.engine.world.exchange.nonce(wallet, pending=True) for wallet in wallets] == [0] * len(wallets)
            assert wallets

    asyncio.run(go())


class Handle:
    transaction_hash = "0xabc"

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def wait(self) -> Any:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(transaction_hash="0xdef")


def answered(begun: Exception | None, ended: Exception | None) -> events.ActionAnswered:
    """What the gateway makes of a client that fails at the hand-over, or while it waits for the end."""

    async def redeem_positions(*, condition_id: str) -> Handle:
        if begun is not None:
            raise begun
        return Handle(ended)

    gateway = PolymarketGateway(endpoints_at("http://127.0.0.1:1", "ws://127.0.0.1:1"), KEY, selftest=False)
    gateway._client = SimpleNamespace(redeem_positions=redeem_positions)  # type: ignore[assignment]
    return asyncio.run(gateway.act(ActionRequest("a1", ActionKind.REDEEM, "0xc0")))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (UserInputError("no key"), "refused"), (RequestRejectedError("wallet busy", status=400), "refused"),
        (RequestRejectedError("oops", status=502), "unknown"), (TransportError("reset"), "unknown"),
        (ValueError("malformed"), "unknown"),
    ],
)
def test_set_03_a_hand_over_that_fails_is_refused_only_where_nothing_can_have_happened(
    error: Exception, outcome: str
) -> None:
    assert answered(error, None).outcome == outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TransactionFailedError("reverted"), "refused"), (TimeoutError("200 s"), "unknown"),
        (RequestRejectedError("gone", status=404), "unknown"), (UserInputError("odd"), "unknown"),
        (PolymarketError("?"), "unknown"),
    ],
)
def test_set_03_after_the_hand_over_only_the_transactions_own_end_counts(error: Exception, outcome: str) -> None:
    answer = answered(None, error)
    assert (answer.outcome, answer.transaction) == (outcome, "0xabc")
    assert answered(None, None) == events.ActionAnswered("a1", "done", transaction="0xdef")
