"""SIM-01: where the four wallets of a key are, as the venue's factories and the official clients say."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polymarket import PRODUCTION
from polymarket._internal import wallet as official
from polymarket._internal.environment import get_environment_config

from polyhost.model.wallet_kinds import WalletKind, wallet_kind
from polyhost.model.wallets import (
    DEPOSIT_BEACON,
    DEPOSIT_FACTORY,
    DEPOSIT_IMPLEMENTATION,
    PROXY_FACTORY,
    SAFE_FACTORY,
    first_deposit_wallet,
    wallet_of,
)

OWNER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
"""Of the key 0x11…11."""
CONFIG = get_environment_config(PRODUCTION).wallet_derivation


def test_sim_01_the_worked_example_s_wallets() -> None:
    assert wallet_of(OWNER, WalletKind.EOA) == OWNER
    assert wallet_of(OWNER, WalletKind.PROXY) == "0x6Cd089333445c89b55B7693c6009DCc229613738"
    assert wallet_of(OWNER, WalletKind.SAFE) == "0x75F00B003FBBBA193FABEB06284c3187a4C1232E"
    assert wallet_of(OWNER, WalletKind.DEPOSIT) == "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
    assert first_deposit_wallet(OWNER) == "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"


@given(st.binary(min_size=20, max_size=20))
def test_sim_01_wallets_of_any_owner_are_where_the_official_client_looks(raw: bytes) -> None:
    owner = wallet_of("0x" + raw.hex(), WalletKind.EOA)
    assert wallet_of(owner, WalletKind.PROXY) == official.derive_proxy_wallet_address(owner, CONFIG)
    assert wallet_of(owner, WalletKind.SAFE) == official.derive_safe_wallet_address(owner, CONFIG)
    assert wallet_of(owner, WalletKind.DEPOSIT) == official.derive_beacon_deposit_wallet_address(owner, CONFIG)
    assert first_deposit_wallet(owner) == official.derive_uups_deposit_wallet_address(owner, CONFIG)


def test_the_factories_are_the_client_s() -> None:
    told = dataclasses.asdict(CONFIG)
    assert told["proxy_factory"] == PROXY_FACTORY
    assert told["safe_factory"] == SAFE_FACTORY
    assert told["deposit_wallet_factory"] == DEPOSIT_FACTORY
    assert told["deposit_wallet_beacon"] == DEPOSIT_BEACON
    assert told["deposit_wallet_implementation"] == DEPOSIT_IMPLEMENTATION


def test_kinds_are_the_signature_types() -> None:
    assert [wallet_kind(number) for number in range(4)] == list(WalletKind)
    assert (wallet_kind(4), wallet_kind(-1)) == (None, None)


def test_an_owner_that_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"."):
        wallet_of("0x12zz", WalletKind.EOA)
