"""The fast signer (B4): used only where every byte is the client's, for the account's own key and wallet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from polyhost.errors import VenueError
from polyhost.model import events
from polyhost.model.builder import Builder
from polyhost.model.gateway import OrderDraft, SignedFields
from polyhost.model.market import Market
from polyhost.model.order_hash import order_id
from polyhost.model.times import MarketMs
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.model.words import Action, OrderType
from polyhost.venue.polymarket import fast_signing, gateway, selftest
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.fast_signing import FastSigner, fits
from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.polymarket.selftest import ADDRESS, KEY, TOKEN, Rehearsal, fast_signer

DOWN = "52114319501245915516055106046884209969926127482827954674443846427813813222426"
MARKET = Market("m", "0x" + "ab" * 32, TOKEN, DOWN, MarketMs(1_795_225_800_000), tick=100)


@pytest.fixture
def told() -> Iterator[list[str]]:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    yield said
    logger.remove(sink)


def _signer(kind: WalletKind = WalletKind.EOA) -> FastSigner | None:
    return asyncio.run(fast_signer(KEY, kind, wallet_of(ADDRESS, kind), ADDRESS, gateway._signed))


@pytest.mark.parametrize("kind", list(WalletKind))
def test_b4_orders_of_every_kind_are_signed_as_the_client_signs_them(kind: WalletKind, told: list[str]) -> None:
    assert _signer(kind) is not None
    assert told == []


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("_SELL", (2).to_bytes(32, "big")),
        ("_NO_METADATA", b"\x01" * 32),
        ("domain_separator", lambda exchange: bytes(32)),
    ],
    ids=["side", "metadata", "contract"],
)
def test_b4_one_other_byte_and_the_client_signs(
    monkeypatch: pytest.MonkeyPatch, told: list[str], name: str, wrong: Any
) -> None:
    monkeypatch.setattr(fast_signing, name, wrong)
    assert _signer() is None
    assert len(told) == 1
    assert "orders are signed by the client" in told[0]


def test_b4_another_field_is_a_difference_too(monkeypatch: pytest.MonkeyPatch, told: list[str]) -> None:
    monkeypatch.setattr(fast_signing, "NOBODY", "0x" + "01" * 32)
    assert _signer() is None
    assert "builder is 0x0000" in told[0]


def test_b9_one_client_makes_both_selftests_of_a_key_and_they_are_made_once(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    made: list[str] = []
    canned = selftest._canned_client

    async def counted(url: str, private_key: str, wallet: str) -> Any:
        made.append(wallet)
        return await canned(url, private_key, wallet)

    async def twice(rehearsal: Rehearsal) -> None:
        await rehearsal.run()
        await rehearsal.run()

    monkeypatch.setattr(selftest, "_canned_client", counted)
    rehearsal = gateway.rehearsal_of(KEY, WalletKind.SAFE)
    asyncio.run(twice(rehearsal))
    assert made == [wallet_of(ADDRESS, WalletKind.SAFE)]
    assert isinstance(rehearsal.signer(), FastSigner)
    assert told == []
    monkeypatch.setattr(fast_signing, "_BUY", bytes(31) + b"\2")
    slower = gateway.rehearsal_of(KEY, WalletKind.EOA)
    asyncio.run(slower.run())
    assert slower.signer() is None
    assert "orders are signed by the client" in told[0]
    monkeypatch.setattr(selftest, "proves", lambda *given: False)
    with pytest.raises(VenueError, match="order hash is not ours"):
        asyncio.run(gateway.rehearsal_of(KEY, WalletKind.EOA).run())


def test_b4_the_worked_example_of_the_venues_notes() -> None:
    signer = FastSigner(KEY, WalletKind.EOA, maker=ADDRESS, signer=ADDRESS)
    fields = SignedFields(
        123_456_789, ADDRESS, ADDRESS, TOKEN, 5_200_000, 10_000_000, Action.BUY, 0, 1_795_225_843_572,
        "0x" + "00" * 32, "0x" + "00" * 32,
    )
    made, signature = signer.signed(fields, neg_risk=False)
    assert made == "0x2d3137306cd5471bf28d68a5bd79cae504a96b901a9cbc7291487d6e93f7a03c"
    assert (signature[:10], signature[-5:]) == ("0x2e7d46a0", "7a21b")


def test_b4_positions_of_another_protocol_version_are_left_to_the_client() -> None:
    assert fits(TOKEN)
    assert not fits(str((7 << 200) + 5))


def _draft(**changes: Any) -> OrderDraft:
    base: dict[str, Any] = {
        "ref": "o1", "token_id": TOKEN, "action": Action.BUY, "order_type": OrderType.GTC, "price": 5_200,
        "size": 10_000_000, "tick": 100, "neg_risk": False,
    }
    return OrderDraft(**base | changes)


def test_b4_the_gateway_signs_by_itself_only_what_the_client_would_sign(
    venue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A market whose facts the client read, exact amounts, a GTD that lives long enough; else the client decides."""
    asked: list[OrderDraft] = []
    by_client = gateway._signed

    async def sign(client: Any, draft: OrderDraft) -> Any:
        asked.append(draft)
        return await by_client(client, draft)

    async def go() -> None:
        async with venue() as fake:
            mine = PolymarketGateway(endpoints_at(fake.url), KEY, selftest=False, fast=True)
            await mine.connect()
            try:
                monkeypatch.setattr(gateway, "_signed", sign)
                assert isinstance(await mine.prepare(_draft()), events.Prepared)
                assert asked.pop().ref == "o1", "a market that nobody warmed"
                assert await mine.warm(MARKET)
                asked.clear()
                coded = _draft(token_id=DOWN, action=Action.SELL, builder=Builder("0x" + "12" * 32, 0, 0))
                for draft in (_draft(), coded, _draft(order_type=OrderType.FAK, price=5_000)):
                    prepared = await mine.prepare(draft)
                    assert isinstance(prepared, events.Prepared)
                    request = prepared.request
                    assert request.order_id == order_id(request.fields)
                    assert request.owner == mine.credentials.key
                    assert (request.fields.token_id, request.fields.action) == (draft.token_id, draft.action)
                assert asked == []
                for draft, problem in (
                    (_draft(neg_risk=True), "not a signature"),
                    (_draft(order_type=OrderType.FAK, price=5_300, size=10_010_000), "the client signed amounts"),
                    (_draft(order_type=OrderType.GTD, expiration_s=1_000), "180 seconds"),
                ):
                    failed = await mine.prepare(draft)
                    assert isinstance(failed, events.PrepareFailed)
                    assert problem in failed.reason
                    assert asked.pop() == draft
            finally:
                await mine.close()

    asyncio.run(go())
