"""The HTTP protocol itself: authentication, refusals, shapes and the sim-time header."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp
import pytest

from polyhost.exchange.server.keys import hmac_signature

from ..unhurried import PATIENCE_S


async def _credentials(wire: Any, up: Any, key: str) -> dict[str, str]:
    async with wire.official(up, key) as client:
        shown = client.credentials
        return {"key": shown.key, "secret": shown.secret, "passphrase": shown.passphrase, "address": client.wallet}


def _signed(
    creds: dict[str, str], method: str, path: str, body: bytes = b"", stamp: int | None = None
) -> dict[str, str]:
    timestamp = str(int(time.time()) if stamp is None else stamp)
    return {
        "POLY_ADDRESS": creds["address"],
        "POLY_API_KEY": creds["key"],
        "POLY_PASSPHRASE": creds["passphrase"],
        "POLY_TIMESTAMP": timestamp,
        "POLY_SIGNATURE": hmac_signature(creds["secret"], timestamp, method, path, body),
    }


def test_sim_01_a_wrong_hmac_key_stamp_or_address_is_401(wire: Any) -> None:
    async def body(up: Any) -> None:
        creds = await _credentials(wire, up, wire.KEY)
        good = _signed(creds, "GET", "/data/orders")
        assert (await wire.status_of(up, "GET", "/data/orders", headers=good))[0] == 200
        # Good is a stamp of the wall or of market time, which stands still while nobody is connected.
        clocks = (int(time.time()), up.engine.clock.now // 1_000)
        as_post = hmac_signature(creds["secret"], good["POLY_TIMESTAMP"], "POST", "/data/orders", b"")
        spoiled = [
            {**good, "POLY_SIGNATURE": as_post},
            {**good, "POLY_SIGNATURE": "no base64 at all!"},
            {**good, "POLY_API_KEY": "00000000-0000-0000-0000-000000000000"},
            {**good, "POLY_PASSPHRASE": "other"},
            {**good, "POLY_ADDRESS": "0x" + "22" * 20},
            _signed(creds, "GET", "/data/orders", stamp=min(clocks) - 301),
            _signed(creds, "GET", "/data/orders", stamp=max(clocks) + 400),
            {},
        ]
        for headers in spoiled:
            status, told = await wire.status_of(up, "GET", "/data/orders", headers=headers)
            assert (status, told) == (401, {"error": "Unauthorized/Invalid api key"}), headers

    wire.on_exchange(body)


def test_sim_01_the_hmac_covers_the_raw_body_bytes(wire: Any) -> None:
    """Spaces in the JSON change the bytes: the signature of the compact form does not fit them, its own does."""

    async def body(up: Any) -> None:
        creds = await _credentials(wire, up, wire.KEY)
        compact, spaced = b'{"orderID":"0x00"}', b'{ "orderID" : "0x00" }'
        wrong = _signed(creds, "DELETE", "/order", compact)
        assert (await wire.status_of(up, "DELETE", "/order", headers=wrong, data=spaced))[0] == 401
        right = _signed(creds, "DELETE", "/order", spaced)
        status, told = await wire.status_of(up, "DELETE", "/order", headers=right, data=spaced)
        assert (status, list(told["not_canceled"])) == (200, ["0x00"])

    wire.on_exchange(body)


def test_sim_01_l1_headers_of_another_wallet_or_time_are_401(wire: Any) -> None:
    from eth_account import Account
    from polymarket._internal.l1_auth import sign_api_key_auth

    def headers(stamp: int, address: str = "") -> dict[str, str]:
        shown = sign_api_key_auth(Account.from_key(wire.KEY), chain_id=137, timestamp=stamp)
        return {
            "POLY_ADDRESS": address or shown.address, "POLY_SIGNATURE": shown.signature,
            "POLY_TIMESTAMP": str(shown.timestamp), "POLY_NONCE": "0",
        }

    async def body(up: Any) -> None:
        now = int(time.time())
        refusals = [
            headers(now - 400), headers(now, Account.from_key(wire.OTHER_KEY).address), {},
            {**headers(now), "POLY_SIGNATURE": "0x12"}, {**headers(now), "POLY_NONCE": "1"},
        ]
        for wrong in refusals:
            status, told = await wire.status_of(up, "POST", "/auth/api-key", headers=wrong)
            assert (status, told) == (401, {"error": "Invalid L1 Request headers"})
        status, told = await wire.status_of(up, "GET", "/auth/derive-api-key", headers=headers(now))
        assert (status, told) == (400, {"error": "Could not derive api key!"})
        status, made = await wire.status_of(up, "POST", "/auth/api-key", headers=headers(now))
        assert (status, set(made)) == (200, {"apiKey", "secret", "passphrase"})
        status, told = await wire.status_of(up, "POST", "/auth/api-key", headers=headers(now))
        assert (status, told) == (400, {"error": "Could not create api key"})
        assert (await wire.status_of(up, "GET", "/auth/derive-api-key", headers=headers(now)))[1] == made

    wire.on_exchange(body)


def test_sim_01_a_deleted_key_is_worth_nothing_and_the_next_one_differs(wire: Any) -> None:
    async def body(up: Any) -> None:
        first = await _credentials(wire, up, wire.KEY)
        headers = _signed(first, "DELETE", "/auth/api-key")
        assert await wire.status_of(up, "DELETE", "/auth/api-key", headers=headers) == (200, "OK")
        stale = _signed(first, "GET", "/auth/api-keys")
        assert (await wire.status_of(up, "GET", "/auth/api-keys", headers=stale))[0] == 401
        second = await _credentials(wire, up, wire.KEY)
        assert second["key"] != first["key"]
        told = await wire.status_of(up, "GET", "/auth/api-keys", headers=_signed(second, "GET", "/auth/api-keys"))
        assert told == (200, {"apiKeys": [second["key"]]})

    wire.on_exchange(body)


def test_sim_01_posted_orders_are_judged_by_owner_signer_type_and_signature(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        creds = await _credentials(wire, up, wire.KEY)
        async with wire.official(up) as client:
            signed = await client.create_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
        order = {
            "builder": signed.builder, "expiration": "0", "maker": signed.maker,
            "makerAmount": str(signed.maker_amount), "metadata": signed.metadata, "salt": signed.salt, "side": "BUY",
            "signature": signed.signature, "signatureType": 0, "signer": signed.signer,
            "takerAmount": str(signed.taker_amount), "timestamp": str(signed.timestamp), "tokenId": signed.token_id,
        }

        async def refusal(change: dict[str, Any], **outer: Any) -> str:
            inner = {**order, **change}
            sent = {"deferExec": False, "order": inner, "orderType": "GTC", "owner": creds["key"], **outer}
            data = json.dumps(sent).encode()
            headers = _signed(creds, "POST", "/order", data)
            status, told = await wire.status_of(up, "POST", "/order", headers=headers, data=data)
            assert status == 400, told
            return str(told["error"])

        other = "0x1111111111111111111111111111111111111111"
        assert await refusal({}, owner="x") == "the order owner has to be the owner of the API KEY"
        assert await refusal({"signer": other}) == "the order signer address has to be the address of the API KEY"
        not_allowed = "maker address not allowed, please use the deposit wallet flow"
        assert await refusal({"maker": other}) == not_allowed
        assert await refusal({"makerAmount": "3000001"}) == "invalid signature"
        assert await refusal({"signature": "0x" + "00" * 65}) == "invalid signature"
        assert await refusal({"signatureType": 2}) == not_allowed
        wrong_signer = "the order signer address has to be the address of the API KEY"
        assert await refusal({"signatureType": 3}) == wrong_signer
        assert await refusal({"signatureType": 4}) == "Invalid order payload"
        assert await refusal({"nonce": "0"}) == "order_version_mismatch"
        assert await refusal({"tokenId": "12345"}) == "Invalid token id"
        assert await refusal({"side": "HOLD"}) == "Invalid side"
        assert await refusal({"salt": "many"}) == "Invalid order payload"
        assert await refusal({"expiration": "1"}) == "invalid expiration"
        assert await refusal({}, orderType="GTD") == "invalid expiration"
        assert await refusal({}, orderType="IOC") == "Invalid order payload"
        assert await refusal({}, deferExec=True) == "deferExec is not supported by this exchange yet"
        assert await refusal({}, orderType="FAK", postOnly=True) != ""
        data = json.dumps([{"order": {}}] * 16).encode()
        told = await wire.status_of(up, "POST", "/orders", headers=_signed(creds, "POST", "/orders", data), data=data)
        assert told == (400, {"error": "Too many orders in payload: 16, max allowed: 15"})

    wire.on_exchange(body)


def test_sim_01_levels_are_worst_first_and_answers_have_the_venue_s_shapes(wire: Any) -> None:
    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            for price, size in (("0.30", "10"), ("0.31", "11"), ("0.29", "12")):
                await client.post_order(
                    await client.create_limit_order(asset_id=market.up, price=price, size=size, side="BUY")
                )
        book = await wire.get(up, "/book", token_id=market.up)
        assert [level["price"] for level in book["bids"]] == ["0.29", "0.3", "0.31"]
        mirror = await wire.get(up, "/book", token_id=market.down)
        assert [level["price"] for level in mirror["asks"]] == ["0.71", "0.7", "0.69"]
        assert set(book) == {
            "market", "asset_id", "timestamp", "hash", "bids", "asks", "min_order_size", "tick_size", "neg_risk",
            "last_trade_price",
        }
        info = await wire.get(up, f"/clob-markets/{market.condition_id}")
        assert (info["mts"], info["mos"], info["fd"], info["nr"]) == (0.01, 5, {"r": 0.07, "e": 1, "to": True}, False)
        assert info["itode"] is True
        long = await wire.get(up, f"/markets/{market.condition_id}")
        assert (long["market_slug"], long["closed"], long["accepting_orders"]) == (market.slug, False, True)
        assert await wire.get(up, "/markets-by-token/" + market.down) == {
            "condition_id": market.condition_id, "primary_token_id": market.up, "secondary_token_id": market.down,
        }
        page = await wire.get(up, "/simplified-markets")
        assert page["next_cursor"] == "LTE="
        assert market.condition_id in [row["condition_id"] for row in page["data"]]
        assert await wire.get(up, "/tick-size", token_id=market.up) == {"minimum_tick_size": 0.01}
        assert await wire.get(up, "/neg-risk", token_id=market.up) == {"neg_risk": False}
        assert await wire.get(up, "/fee-rate", token_id=market.up) == {"base_fee": 1000}
        assert await wire.get(up, "/last-trade-price", token_id=market.up) == {"price": "0.5", "side": ""}
        assert await wire.status_of(up, "GET", "/book", params={"token_id": "1"}) == (
            404, {"error": "No orderbook exists for the requested token id"},
        )
        assert await wire.status_of(up, "GET", "/markets/0x00") == (404, {"error": "market not found"})
        gamma = await wire.get(up, f"/markets/slug/{market.slug}")
        assert json.loads(gamma["clobTokenIds"]) == [market.up, market.down]
        assert json.loads(gamma["outcomes"]) == ["Up", "Down"]
        assert gamma["eventStartTime"].endswith("Z")
        assert gamma["cryptoMarketConfig"]["twapLookbackSeconds"] == 60
        assert gamma["events"][0]["eventMetadata"] is None

    wire.on_exchange(body)


def test_sim_01_binance_shaped_calls(wire: Any) -> None:
    async def body(up: Any) -> None:
        assert await wire.get(up, "/api/v3/ping") == {}
        assert abs((await wire.get(up, "/api/v3/time"))["serverTime"] - time.time() * 1_000) < 60_000
        rows = await wire.get(up, "/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=3)
        assert [row[6] - row[0] for row in rows] == [59_999] * 3
        assert rows[1][0] - rows[0][0] == 60_000
        assert all(float(row[3]) <= float(row[1]) <= float(row[2]) for row in rows)
        since = await wire.get(up, "/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=rows[1][0])
        assert [row[0] for row in since] == [row[0] for row in rows[1:]]
        quote = await wire.get(up, "/api/v3/ticker/bookTicker", symbol="BTCUSDT")
        assert float(quote["bidPrice"]) < float(quote["askPrice"])
        status, told = await wire.status_of(up, "GET", "/api/v3/klines", params={"symbol": "XUSDT", "interval": "1m"})
        assert (status, told["code"]) == (400, -1121)

    wire.on_exchange(body)


def test_sim_01_every_answer_and_handshake_says_what_time_it_is(wire: Any) -> None:
    async def body(up: Any) -> None:
        async with aiohttp.ClientSession() as session:
            for path in ("/time", "/nowhere", "/data/orders"):
                async with session.get(up.url + path) as response:
                    moment, speed = response.headers["X-Sim-Time"].split(";")
                    assert abs(int(moment) - time.time() * 1_000) < 60_000
                    assert speed == "1"
            async with session.ws_connect(up.ws_url + "/ws/market") as socket:
                assert ";" in socket._response.headers["X-Sim-Time"]
        told = await wire.get(up, "/sim/time")
        assert set(told) == {"now", "speed", "effective"}

    wire.on_exchange(body)


def test_market_time_stands_still_while_nobody_is_connected(wire: Any) -> None:
    async def body(up: Any) -> None:
        await wire.get(up, "/time")
        async with asyncio.timeout(PATIENCE_S):  # until the server has seen the connection end
            while up.engine.clients():
                await asyncio.sleep(0.005)
        before = up.engine.clock.now
        await asyncio.sleep(0.1)
        assert up.engine.clock.now == before

    wire.on_exchange(body, speed=50.0)


def test_market_time_runs_without_clients_when_free_running(wire: Any) -> None:
    async def body(up: Any) -> None:
        before = up.engine.clock.now
        async with asyncio.timeout(PATIENCE_S):
            while up.engine.clock.now < before + 1_000:
                await asyncio.sleep(0.005)

    wire.on_exchange(body, speed=50.0, free_running=True)


def test_a_resolved_market_is_shown_as_the_venue_shows_it(wire: Any) -> None:
    """A window runs to its end: closed, payouts, strike a minute later, no book any more."""

    async def body(up: Any) -> None:
        world = up.engine.world
        first = min((m for m in world.listing(False) if m.start is not None), key=lambda m: m.end)
        async with asyncio.timeout(PATIENCE_S):
            while up.engine.clock.now < first.end + 61_000 or world.resolution(first.condition_id) is None:
                await asyncio.sleep(0.01)
        shown = await wire.get(up, f"/markets/slug/{first.slug}")
        decided, _at = world.resolution(first.condition_id)
        up_won = decided.winner.value == "UP"
        assert (shown["closed"], shown["acceptingOrders"]) == (True, False)
        assert json.loads(shown["outcomePrices"]) == (["1", "0"] if up_won else ["0", "1"])
        assert shown["events"][0]["eventMetadata"]["priceToBeat"] == pytest.approx(decided.strike / 1e8)
        long = await wire.get(up, f"/markets/{first.condition_id}")
        assert [token["winner"] for token in long["tokens"]] == [up_won, not up_won]
        told = (await wire.get(up, "/v2/resolutions", condition_id=first.condition_id))["data"]
        assert told[0]["payouts"] == ([1_000_000, 0] if up_won else [0, 1_000_000])
        assert (await wire.status_of(up, "GET", "/book", params={"token_id": first.up}))[0] == 404
        assert not (await wire.get(up, "/markets/keyset", slug=first.slug))["markets"]
        assert len((await wire.get(up, "/events/keyset", slug=first.slug, closed="true"))["events"]) == 1

    wire.on_exchange(body, speed=400.0, free_running=True)
