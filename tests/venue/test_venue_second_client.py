"""What is the second client's own (CON-19): checked like the first, signs its bytes, sends once, waits for nobody."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest
from loguru import logger
from msgspec import structs
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2, SignedOrderV2

from polyhost.configuration import load_configuration
from polyhost.errors import ConfigError, VenueError
from polyhost.model import events
from polyhost.model.clients import DEAD, FIRST, SECOND
from polyhost.model.gateway import ActionRequest, OrderDraft
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import first_deposit_wallet, wallet_of
from polyhost.model.words import Action, ActionKind, OrderType
from polyhost.venue import clients
from polyhost.venue.clients import client_gateway, client_selftest
from polyhost.venue.polymarket.endpoints import endpoints_at
from polyhost.venue.polymarket.gateway import PolymarketGateway
from polyhost.venue.second import client as second
from polyhost.venue.second.client import SecondClient, require_surface, require_version
from polyhost.venue.second.gateway import SecondGateway
from polyhost.venue.second.selftest import ADDRESS, KEY, ORDERS, TOKEN, Known, compare, signing_selftest

from ..unhurried import PATIENCE_S

NOWHERE = endpoints_at("http://127.0.0.1:9")


def draft(**changes: Any) -> OrderDraft:
    base: dict[str, Any] = {
        "ref": "o1", "token_id": TOKEN, "action": Action.BUY, "order_type": OrderType.GTC, "price": 5_200,
        "size": 10_000_000, "tick": 100, "neg_risk": False,
    }
    return OrderDraft(**base | changes)


# --- the installed client ---------------------------------------------------------------------------------------------


def test_con_19_another_release_of_it_is_refused_with_the_remedy() -> None:
    require_version()
    with pytest.raises(VenueError, match=r"1\.3\.0 is installed.*pip install py-clob-client-v2==1\.2\.1"):
        require_version("1.3.0")


def test_con_19_a_method_parameter_or_order_field_that_changed_is_drift() -> None:
    require_surface()

    class Renamed(ClobClient):  # type: ignore[misc]
        def cancel_orders(self, ids: list[str]) -> None:
            raise NotImplementedError

    with pytest.raises(VenueError, match=r"cancel_orders\(\) does not take order_hashes"):
        require_surface(Renamed)
    short = type("Client", (), {name: getattr(ClobClient, name) for name in second.SURFACE if name != "_post"})
    with pytest.raises(VenueError, match="no method '_post'"):
        require_surface(short)
    wider = dataclasses.make_dataclass("Wider", [field.name for field in dataclasses.fields(SignedOrderV2)] + ["fee"])
    with pytest.raises(VenueError, match="fee"):
        require_surface(order=wider)


def test_con_19_the_selftest_passes_with_it_and_fails_with_another_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    signing_selftest()
    with httpx.Client() as http:
        other = structs.replace(ORDERS[0], signature=ORDERS[1].signature)
        with pytest.raises(VenueError, match="does not sign the first client's bytes"):
            compare(http, other)
        monkeypatch.setattr(ExchangeOrderBuilderV2, "build_order_signature", lambda self, data: "0x" + "ab" * 65)
        with pytest.raises(VenueError, match="order hash is not ours"):
            compare(http, ORDERS[0])
        monkeypatch.delattr(ExchangeOrderBuilderV2, "build_order_typed_data")
        with pytest.raises(VenueError, match="cannot sign a test order"):
            compare(http, ORDERS[0])


def test_con_19_both_clients_sign_the_same_bytes_for_every_wallet(venue: Any) -> None:
    """What the first signs, the second signs with the same salt and time, to the last byte; so do the known orders."""

    async def go() -> None:
        async with venue() as fake:
            old = first_deposit_wallet(ADDRESS)
            fake.answers["GET /deployed"] = lambda asked: (200, {"deployed": asked[1]["address"] != old})
            for kind in WalletKind:
                first = PolymarketGateway(endpoints_at(fake.url), KEY, wallet=kind, selftest=False)
                await first.connect()
                for change in ({}, {"action": Action.SELL, "order_type": OrderType.FAK, "price": 3_700}):
                    prepared = await first.prepare(draft(**change))
                    assert isinstance(prepared, events.Prepared), prepared
                    request = prepared.request
                    with httpx.Client() as http:
                        client = SecondClient(fake.url, http, KEY, wallet_of(ADDRESS, kind), kind)
                        signed = client.signed(request.fields, neg_risk=False)
                    assert signed.signature == request.signature, kind
                    assert second.fields_of(second.signed_order(request)) == request.fields
                await first.close()

    asyncio.run(go())


def test_con_19_the_known_signatures_are_the_first_clients() -> None:
    """RFC 6979: one key and one order give one signature. Made here with what both clients build on."""
    from eth_account import Account

    from polyhost.model.order_signature import signed_digest

    for known in ORDERS:
        digest = signed_digest(known.fields(), neg_risk=False)
        made = Account.unsafe_sign_hash(digest, KEY).signature.hex().removeprefix("0x")
        assert known.signature == "0x" + made, known
    assert {known.kind for known in ORDERS} == {WalletKind.EOA, WalletKind.DEPOSIT}
    assert isinstance(ORDERS[0], Known)


def test_con_19_it_needs_nothing_of_the_first_client() -> None:
    """It is for the night in which that one cannot even be imported."""
    code = (
        "import sys; sys.modules['polymarket'] = None\n"
        "from polyhost.venue.clients import client_gateway\n"
        "from polyhost.venue.polymarket.endpoints import endpoints_at\n"
        "client_gateway('py-clob-client-v2', endpoints_at('http://127.0.0.1:9'), '0x' + '11' * 32)\n"
        "try: client_gateway('polymarket-client', endpoints_at('http://127.0.0.1:9'), '0x' + '11' * 32)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "VenueError" in done.stdout
    assert "the client cannot be imported" in done.stdout


# --- the dead protocol ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["py-clob-client", "py_clob_client", " Py-Clob-Client "])
def test_con_19_the_client_of_the_dead_protocol_is_refused_with_the_remedy(name: str, tmp_path: Any) -> None:
    path = tmp_path / "polyhost.toml"
    path.write_text(f'[venue]\nclient = "{name}"\n')
    with pytest.raises(ConfigError, match=r"order_version_mismatch.*use polymarket-client, or py-clob-client-v2"):
        load_configuration(path, env={})
    with pytest.raises(ConfigError, match="order_version_mismatch"):
        client_gateway(name, NOWHERE, KEY)
    with pytest.raises(ConfigError, match="names no client"):
        client_gateway("ccxt", NOWHERE, KEY)


def test_con_19_where_it_is_installed_that_is_told_and_nothing_of_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    real = clients.metadata.version
    monkeypatch.setattr(clients.metadata, "version", lambda name: "0.34.6" if name == DEAD else real(name))
    told: list[str] = []
    sink = logger.add(told.append, format="{message}", level="WARNING")
    try:
        asyncio.run(client_selftest(SECOND))
    finally:
        logger.remove(sink)
    assert any("py-clob-client 0.34.6 is installed" in line and "pip uninstall" in line for line in told)
    assert clients.other_client(FIRST) == SECOND
    assert clients.other_client(SECOND) == FIRST


# --- over HTTP --------------------------------------------------------------------------------------------------------


def _with(venue: Any, job: Any, **answers: Any) -> None:
    async def go() -> None:
        async with venue() as fake:
            fake.answers.update(answers)
            gateway = SecondGateway(endpoints_at(fake.url), KEY, selftest=False)
            await gateway.connect()
            try:
                await job(gateway, fake)
            finally:
                await gateway.close()

    asyncio.run(go())


def test_u1_the_answer_to_a_match_does_not_wait_for_its_trades_to_be_mined(venue: Any) -> None:
    """The client as it comes polls the trades for seconds: by then the order would be unknown."""

    async def job(gateway: SecondGateway, fake: Any) -> None:
        prepared = await gateway.prepare(draft())
        assert isinstance(prepared, events.Prepared)
        made = {"success": True, "errorMsg": "", "orderID": prepared.request.order_id, "status": "matched",
                "tradeIDs": ["t1"], "transactionsHashes": []}  # fmt: skip
        fake.answers["POST /order"] = (200, made)
        assert (await gateway.post(prepared.request)).status == "matched"
        assert fake.asked("GET /data/trades") == []
        assert len(fake.asked("POST /order")) == 1

    _with(venue, job)


def test_con_10_orders_with_and_without_post_only_go_in_two_requests_and_keep_their_order(venue: Any) -> None:
    """The client has one ``postOnly`` for a batch. A part that fails says nothing of the other."""

    async def job(gateway: SecondGateway, fake: Any) -> None:
        requests = []
        for post_only in (True, False, True):
            prepared = await gateway.prepare(draft(post_only=post_only))
            assert isinstance(prepared, events.Prepared)
            requests.append(prepared.request)
        ids = [request.order_id for request in requests]

        def answer(asked: Any) -> Any:
            if asked[2][0]["postOnly"]:
                legs = [{"success": True, "errorMsg": "", "orderID": ids[n], "status": "live"} for n in (0, 2)]
                return 200, legs
            return 500, {"error": "Internal server error"}

        fake.answers["POST /orders"] = answer
        answered = await gateway.post_many(requests)
        assert [(event.order_id, event.outcome) for event in answered] == [
            (ids[0], "accepted"), (ids[1], "unknown"), (ids[2], "accepted")
        ]
        assert [[leg["postOnly"] for leg in body] for _, body in fake.asked("POST /orders")] == [[False], [True, True]]

    _with(venue, job)


def test_con_04_loopback_is_never_reached_through_a_proxy(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own connection obeys the environment."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def job(gateway: SecondGateway, fake: Any) -> None:
        assert (await gateway.cancel("0x1")).outcome == "canceled"

    _with(venue, job, **{"DELETE /order": (200, {"canceled": ["0x1"], "not_canceled": {}})})


def test_a_cancel_never_waits_behind_reads_that_hang(venue: Any) -> None:
    async def job(gateway: SecondGateway, fake: Any) -> None:
        assert gateway._client is not None
        real, release = gateway._client.http.request, asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(method: str, url: str, **options: Any) -> Any:
            if "/data/order/" in url:
                asyncio.run_coroutine_threadsafe(release.wait(), loop).result(PATIENCE_S)
            return real(method, url, **options)

        gateway._client.http.request = slow  # type: ignore[method-assign]
        reads = [asyncio.create_task(gateway.query_order(f"0x{n}")) for n in range(8)]
        await asyncio.sleep(0)
        assert (await gateway.cancel("0x1")).outcome == "canceled"
        assert not any(read.done() for read in reads)
        release.set()
        await asyncio.gather(*reads)

    _with(venue, job, **{"DELETE /order": (200, {"canceled": ["0x1"], "not_canceled": {}})})


def test_a_list_without_an_end_is_bounded(venue: Any) -> None:
    """The client's own loop goes on as long as the venue names another page."""

    async def job(gateway: SecondGateway, fake: Any) -> None:
        said = await gateway.earnings(20_000)
        assert isinstance(said, events.EarningsSeen | events.QueryFailed)
        assert len(fake.asked("GET /rewards/user")) == second.REQUESTS_MAX

    _with(venue, job, **{"GET /rewards/user": (200, {"data": [], "next_cursor": "AGAIN"})})


def test_a_gtd_order_needs_the_life_that_the_first_client_demands(venue: Any) -> None:
    async def job(gateway: SecondGateway, fake: Any) -> None:
        now = int(time.time())
        short = await gateway.prepare(draft(order_type=OrderType.GTD, expiration_s=now + 170))
        assert isinstance(short, events.PrepareFailed)
        long = await gateway.prepare(draft(order_type=OrderType.GTD, expiration_s=now + 600))
        assert isinstance(long, events.Prepared)
        assert long.request.expiration_s == now + 600

    _with(venue, job)


def test_set_03_where_the_first_client_cannot_make_a_transaction_that_is_said(
    venue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Any) -> None:
        raise VenueError("version 0.15.0 is installed", endpoint=FIRST)

    monkeypatch.setattr(PolymarketGateway, "connect", broken)

    async def job(gateway: SecondGateway, fake: Any) -> None:
        answered = await gateway.act(ActionRequest("a1", ActionKind.REDEEM, "0xc0"))
        assert answered.outcome == "refused"
        assert "makes no chain transactions, and the first client cannot" in answered.text

    _with(venue, job)
