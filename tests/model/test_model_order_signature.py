"""SIM-01: what a key signs for an order, as both official clients do it for each signature type."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2
from py_clob_client_v2.order_utils.model.side import Side
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2
from py_clob_client_v2.signer import Signer

from polyhost.model.gateway import SignedFields
from polyhost.model.order_hash import exchange_address, order_id
from polyhost.model.order_signature import plain_signature, signed_digest, wrapping
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.model.words import Action

KEY = "0x" + "11" * 32
OWNER = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
ZERO = "0x" + "00" * 32


def _fields(kind: WalletKind, salt: int = 123456789) -> SignedFields:
    wallet = wallet_of(OWNER, kind)
    signer = wallet if kind is WalletKind.DEPOSIT else OWNER
    return SignedFields(
        salt, wallet, signer, TOKEN, 5_200_000, 10_000_000, Action.BUY, kind.value, 1795225843572, ZERO, ZERO
    )


def _second_client_s(fields: SignedFields, neg_risk: bool) -> tuple[str, str]:
    """Order hash and signature of py-clob-client-v2."""
    builder = ExchangeOrderBuilderV2(exchange_address(neg_risk), 137, Signer(KEY, 137))
    order = OrderV2(
        salt=str(fields.salt), maker=fields.maker, signer=fields.signer, tokenId=fields.token_id,
        makerAmount=str(fields.maker_amount), takerAmount=str(fields.taker_amount), side=Side.BUY,
        signatureType=SignatureTypeV2(fields.signature_type), timestamp=str(fields.timestamp_ms), metadata=ZERO,
        builder=ZERO, expiration="0",
    )
    data = builder.build_order_typed_data(order)
    return builder.build_order_hash(data), builder.build_order_signature(data)


def _signed_by(fields: SignedFields, neg_risk: bool) -> str:
    own = Account.unsafe_sign_hash(signed_digest(fields, neg_risk=neg_risk), KEY).signature
    return "0x" + (bytes(own) + wrapping(fields, neg_risk=neg_risk)).hex()


@pytest.mark.parametrize("neg_risk", [False, True])
@pytest.mark.parametrize("kind", list(WalletKind))
def test_sim_01_signatures_are_those_of_the_second_client(kind: WalletKind, neg_risk: bool) -> None:
    fields = _fields(kind)
    made, signature = _second_client_s(fields, neg_risk)
    assert order_id(fields, neg_risk=neg_risk) == made
    assert _signed_by(fields, neg_risk) == signature
    assert plain_signature(fields, signature, neg_risk=neg_risk) == signature[:132]
    assert len(signature) == (2 + 634 if kind is WalletKind.DEPOSIT else 2 + 130)


def test_sim_01_the_worked_example_of_a_deposit_wallet() -> None:
    fields = _fields(WalletKind.DEPOSIT)
    assert order_id(fields) == "0xd8e76e808fdfa1ae053157126fb49d0529aea4133ba0a98ddaf4fbb52fe1fce8"
    digest = signed_digest(fields, neg_risk=False).hex()
    assert (digest[:8], digest[-6:]) == ("356f4b8e", "964a2c")


def _spoiled(signature: str, at: int) -> str:
    digit = "0" if signature[at] != "0" else "1"
    return signature[:at] + digit + signature[at + 1 :]


@pytest.mark.parametrize("at", [140, 200, 300, -3, -1])
def test_sim_01_a_wrapping_that_is_not_the_order_s_is_no_signature(at: int) -> None:
    fields = _fields(WalletKind.DEPOSIT)
    good = _signed_by(fields, False)
    assert plain_signature(fields, _spoiled(good, at % len(good)), neg_risk=False) is None


@pytest.mark.parametrize("kind", list(WalletKind))
@pytest.mark.parametrize("change", [lambda s: s[:-2], lambda s: s + "00", lambda _: "0x", lambda _: "0xno hex"])
def test_sim_01_a_signature_of_another_form_is_none(kind: WalletKind, change: Any) -> None:
    fields = _fields(kind)
    assert plain_signature(fields, change(_signed_by(fields, False)), neg_risk=False) is None


def test_sim_01_a_plain_signature_is_none_of_a_deposit_wallet_and_the_other_way_round() -> None:
    plain, wrapped = _fields(WalletKind.EOA), _fields(WalletKind.DEPOSIT)
    assert plain_signature(wrapped, _signed_by(plain, False), neg_risk=False) is None
    assert plain_signature(plain, _signed_by(wrapped, False), neg_risk=False) is None
