"""The order's id before it is sent: worked examples, and the second official client as an independent judge."""

from __future__ import annotations

import random

import pytest
from eth_account import Account
from py_clob_client_v2.order_utils import exchange_order_builder_v2 as judge
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2
from py_clob_client_v2.signer import Signer

from polyhost.model.gateway import SignedFields
from polyhost.model.order_hash import (
    CHAIN_ID,
    ZERO_BYTES32,
    domain_separator,
    exchange_address,
    order_id,
)
from polyhost.model.words import Action

KEY = "0x" + "11" * 32
EOA = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
DEPOSIT = "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"


def example(maker: str, signature_type: int) -> SignedFields:
    """BUY 10 at 0.52 with the salt and stamp of the worked example."""
    return SignedFields(
        123456789, maker, maker, TOKEN, 5_200_000, 10_000_000, Action.BUY, signature_type, 1795225843572, ZERO_BYTES32,
        ZERO_BYTES32,
    )


@pytest.mark.parametrize(
    ("maker", "signature_type", "expected"),
    [
        (EOA, 0, "0x2d3137306cd5471bf28d68a5bd79cae504a96b901a9cbc7291487d6e93f7a03c"),
        (DEPOSIT, 3, "0xd8e76e808fdfa1ae053157126fb49d0529aea4133ba0a98ddaf4fbb52fe1fce8"),
    ],
)
def test_ord_01_the_worked_examples_have_the_published_ids(maker: str, signature_type: int, expected: str) -> None:
    assert order_id(example(maker, signature_type)) == expected


def test_the_domain_of_the_standard_exchange_is_the_published_one() -> None:
    separator = domain_separator(exchange_address(False)).hex()
    assert separator == "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"


@pytest.mark.parametrize("neg_risk", [False, True])
def test_ord_01_the_second_client_computes_the_same_ids(neg_risk: bool) -> None:
    drawn = random.Random(7)
    builder = judge.ExchangeOrderBuilderV2(exchange_address(neg_risk), CHAIN_ID, Signer(KEY, CHAIN_ID))
    address = Account.from_key(KEY).address
    for _ in range(50):
        action = drawn.choice(list(Action))
        fields = SignedFields(
            drawn.getrandbits(53), address, address, str(drawn.getrandbits(256)), drawn.getrandbits(40),
            drawn.getrandbits(40), action, 0, drawn.getrandbits(41), "0x" + drawn.randbytes(32).hex(),
            "0x" + drawn.randbytes(32).hex(),
        )
        theirs = OrderV2(
            salt=str(fields.salt), maker=address, signer=address, tokenId=fields.token_id,
            makerAmount=str(fields.maker_amount), takerAmount=str(fields.taker_amount),
            side=0 if action is Action.BUY else 1, signatureType=0, timestamp=str(fields.timestamp_ms),
            metadata=fields.metadata, builder=fields.builder, expiration="0",
        )
        assert order_id(fields, neg_risk=neg_risk) == builder.build_order_hash(builder.build_order_typed_data(theirs))
