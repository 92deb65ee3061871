"""The second client's signing self-test: it must sign byte for byte what the first client signs.

The first client's signatures over two known orders are written down here (a test makes them anew), because the second
must start where the first cannot. Nothing leaves the machine.
"""

from __future__ import annotations

from typing import Final

import httpx
from msgspec import Struct

from polyhost.errors import VenueError
from polyhost.model.builder import NOBODY
from polyhost.model.clients import SECOND
from polyhost.model.gateway import SignedFields
from polyhost.model.order_hash import ZERO_BYTES32
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.model.words import Action
from polyhost.venue.polymarket.proof import proves
from polyhost.venue.second.client import REMEDY, SecondClient, fields_of, require_surface, require_version

KEY: Final = "0x" + "11" * 32
"""A key known to everybody; it signs only what this test throws away."""
ADDRESS: Final = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
TOKEN: Final = "71321045679252212594626385532706912750332728571942532289631379312455583992563"


class Known(Struct, frozen=True):
    """An order and what the first client's signature over it begins with (65 bytes; a deposit wallet's goes on)."""

    kind: WalletKind
    action: Action
    maker_amount: int
    taker_amount: int
    signature: str

    def fields(self) -> SignedFields:
        wallet = wallet_of(ADDRESS, self.kind)
        signer = wallet if self.kind is WalletKind.DEPOSIT else ADDRESS
        return SignedFields(
            123456789, wallet, signer, TOKEN, self.maker_amount, self.taker_amount, self.action, self.kind,
            1795225843572, ZERO_BYTES32, NOBODY,
        )


ORDERS: Final = (
    Known(
        WalletKind.EOA, Action.BUY, 5_200_000, 10_000_000,
        "0x2e7d46a0bc4a27de252cab1bffa4bbc1f370578ec60fbd0d2207fa3896b30dae"
        "6e9841e11a12df5766d074609a92cf0b32088e399991c301755b42760a3fe7a21b",
    ),
    Known(
        WalletKind.DEPOSIT, Action.SELL, 10_000_000, 3_700_000,
        "0x9865e9b8b57bfc5ccf0833ecc508f70bab4e32e7af4bacfb2a368eaa4e10cddd"
        "2994b1cd32339aee0216774c0b91230e5674d117df32310f61ef35dc60c0c6b71c",
    ),
)


def signing_selftest() -> None:
    """Raises VenueError when the second client is not the one we know, or signs anything else than the first."""
    require_version()
    require_surface()
    with httpx.Client(trust_env=False, verify=False) as http:
        for known in ORDERS:
            compare(http, known)


def compare(http: httpx.Client, known: Known) -> None:
    """One known order. Raises VenueError."""
    wanted = known.fields()
    client = SecondClient("http://127.0.0.1:9", http, KEY, wanted.maker, known.kind)
    try:
        signed = client.signed(wanted, neg_risk=False)
    except Exception as error:  # whatever the client raises, it does not sign as it did
        raise VenueError(f"the client cannot sign a test order: {error}; {REMEDY}", endpoint=SECOND) from error
    if fields_of(signed) != wanted:
        raise VenueError(f"the client signs another order than it was given; {REMEDY}", endpoint=SECOND)
    if not proves(wanted, signed.signature, ADDRESS):
        raise VenueError(f"the client's order hash is not ours: ids would be wrong; {REMEDY}", endpoint=SECOND)
    if not signed.signature.startswith(known.signature):
        raise VenueError(f"the client does not sign the first client's bytes; {REMEDY}", endpoint=SECOND)
