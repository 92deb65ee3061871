from __future__ import annotations

import asyncio
import dataclasses

import pytest
from polymarket import AsyncSecureClient, SignedOrder
from polymarket._internal import environment as private
from polymarket._internal.environment import get_environment_config

from polyhost.errors import VenueError
from polyhost.model.words import Action
from polyhost.venue.polymarket import selftest
from polyhost.venue.polymarket.client import environment_at, require_surface, require_version
from polyhost.venue.polymarket.endpoints import LIVE, endpoints_at
from polyhost.venue.polymarket.proof import proves


def test_the_installed_client_is_the_pinned_one_and_another_is_refused_with_the_remedy() -> None:
    require_version()
    with pytest.raises(VenueError, match=r"0\.15\.0 is installed.*pip install polymarket-client==0\.14\.0"):
        require_version("0.15.0")


def test_a_client_without_a_method_or_parameter_we_use_is_refused() -> None:
    require_surface()
    short = type("Client", (), {name: getattr(AsyncSecureClient, name) for name in ("create", "create_limit_order")})
    with pytest.raises(VenueError, match="no method 'create_market_order'"):
        require_surface(short)

    class Renamed(AsyncSecureClient):
        async def cancel_order(self, *, id: str) -> None:  # type: ignore[override]
            raise NotImplementedError

    with pytest.raises(VenueError, match=r"cancel_order\(\) does not take order_id"):
        require_surface(Renamed)


def test_a_new_field_in_the_signed_order_is_drift_because_the_journal_would_lack_it() -> None:
    wider = dataclasses.make_dataclass("Wider", [field.name for field in dataclasses.fields(SignedOrder)] + ["nonce"])
    with pytest.raises(VenueError, match="nonce"):
        require_surface(order=wider)


def test_an_environment_elsewhere_keeps_no_address_of_the_live_venue() -> None:
    config = get_environment_config(environment_at(endpoints_at("http://127.0.0.1:8123")))
    addresses = [value for value in dataclasses.astuple(config) if isinstance(value, str) and "://" in value]
    assert len(addresses) >= 15
    assert all("127.0.0.1:8123" in address for address in addresses)
    assert config.clob_user_ws_url == "ws://127.0.0.1:8123/ws/user"


def test_an_address_that_the_client_gains_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(config: object, **changes: object) -> object:
        changes.pop("perps_url")
        return real(config, **changes)  # type: ignore[type-var]

    real = dataclasses.replace
    monkeypatch.setattr("polyhost.venue.polymarket.client.dataclasses.replace", replace)
    with pytest.raises(VenueError, match=r"addresses of the live venue remain: https://api\.perpetuals"):
        environment_at(endpoints_at("http://127.0.0.1:8123"))


def test_a_client_whose_private_names_are_gone_is_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(private, "create_environment")
    with pytest.raises(VenueError, match="cannot be aimed at another address"):
        environment_at(endpoints_at("http://127.0.0.1:8123"))


def test_the_live_environment_is_the_clients_own() -> None:
    assert get_environment_config(environment_at(LIVE)).clob_url == LIVE.clob


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://127.0.0.1", "https://clob.polymarket.com"])
def test_an_address_that_is_none_or_the_live_one_is_refused(url: str) -> None:
    with pytest.raises(VenueError):
        endpoints_at(url)


def test_a_websocket_base_of_its_own_is_used() -> None:
    assert endpoints_at("http://127.0.0.1:1/", "ws://127.0.0.1:2").market_ws == "ws://127.0.0.1:2/ws/market"


def test_the_signing_selftest_passes_with_the_installed_client() -> None:
    asyncio.run(selftest.signing_selftest())


def _signed(**changes: object) -> SignedOrder:
    """The worked example of the venue's order struct: BUY 10 at 0.52, signed by the known key."""
    from eth_account import Account

    fields = {
        "builder": "0x" + "00" * 32, "expiration": 0, "maker": selftest.ADDRESS, "maker_amount": 5_200_000,
        "metadata": "0x" + "00" * 32, "order_type": "GTC", "salt": 123456789, "side": "BUY", "signature": "",
        "signature_type": 0, "signer": selftest.ADDRESS, "taker_amount": 10_000_000, "timestamp": 1795225843572,
        "token_id": selftest.TOKEN,
    }  # fmt: skip
    order = SignedOrder(**fields)  # type: ignore[arg-type]
    digest = "0x2d3137306cd5471bf28d68a5bd79cae504a96b901a9cbc7291487d6e93f7a03c"
    signature = Account.unsafe_sign_hash(digest, selftest.KEY).signature.hex()
    return dataclasses.replace(order, **{"signature": "0x" + signature.removeprefix("0x")} | changes)  # type: ignore[arg-type]


def test_the_worked_example_is_recognised_as_signed_over_our_hash() -> None:
    selftest.compare(_signed(), Action.BUY, 5_200, 10_000_000)


def test_other_amounts_than_ours_are_drift() -> None:
    with pytest.raises(VenueError, match="rounds amounts differently"):
        selftest.compare(_signed(maker_amount=5_200_001), Action.BUY, 5_200, 10_000_000)


def test_a_hash_that_is_not_the_signed_one_is_drift() -> None:
    with pytest.raises(VenueError, match="order hash is not ours"):
        selftest.compare(_signed(salt=123456790), Action.BUY, 5_200, 10_000_000)


def test_a_signature_that_is_none_proves_nothing() -> None:
    fields = selftest.fields_of(_signed())
    assert not proves(fields, "0x00", selftest.ADDRESS)
    assert not proves(fields, "0x" + "ff" * 65, selftest.ADDRESS)
