"""Who signed a wallet's transaction: the three messages that the relayer takes, for Safe, proxy and deposit wallets.

Sources: polymarket-client 0.14.0 (relayer/signing), EIP-712, Safe's contract. Each gives the address whose key signed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from eth_utils.crypto import keccak

from polyhost.exchange.server.signatures import signer_of
from polyhost.model.order_hash import CHAIN_ID

_PERSONAL: Final = b"\x19Ethereum Signed Message:\n32"
_SAFE_DOMAIN: Final = keccak(text="EIP712Domain(uint256 chainId,address verifyingContract)")
_SAFE_TYPE: Final = keccak(
    text="SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,"
    "uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce)"
)
_DOMAIN: Final = keccak(
    text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_CALL: Final = "Call(address target,uint256 value,bytes data)"
_CALL_TYPE: Final = keccak(text=_CALL)
_BATCH_TYPE: Final = keccak(text="Batch(address wallet,uint256 nonce,uint256 deadline,Call[] calls)" + _CALL)


class WalletCall(NamedTuple):
    """One call of a deposit wallet's batch."""

    target: str
    value: int
    data: bytes


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _bytes20(address: str) -> bytes:
    return bytes.fromhex(address[2:])


def _address(address: str) -> bytes:
    return bytes(12) + _bytes20(address)


def safe_signer(
    wallet: str, to: str, value: int, data: bytes, operation: int, nonce: int, signature: str
) -> str | None:
    """Whose key signed this Safe transaction (without gas refunds); None when nobody's did.

    A Safe marks a signature over the personal message of its hash by a ``v`` that is 4 higher.
    """
    domain = keccak(_SAFE_DOMAIN + _word(CHAIN_ID) + _address(wallet))
    body = keccak(
        _SAFE_TYPE + _address(to) + _word(value) + keccak(data) + _word(operation) + bytes(32 * 5) + _word(nonce)
    )
    raw = bytearray.fromhex(signature.removeprefix("0x"))
    if len(raw) != 65 or raw[64] not in (31, 32):
        return None
    raw[64] -= 4
    return signer_of(keccak(_PERSONAL + keccak(b"\x19\x01" + domain + body)), "0x" + raw.hex())


def proxy_signer(
    owner: str, to: str, data: bytes, gas: tuple[int, int, int], nonce: int, hub: str, relay: str, signature: str
) -> str | None:
    """Whose key signed this proxy transaction; ``gas``: the relayer's fee, gas price and gas limit."""
    message = b"rlx:" + _bytes20(owner) + _bytes20(to) + data + b"".join(_word(amount) for amount in gas)
    message += _word(nonce) + _bytes20(hub) + _bytes20(relay)
    return signer_of(keccak(_PERSONAL + keccak(message)), signature)


def batch_signer(
    wallet: str, nonce: int, deadline: int, calls: Sequence[WalletCall], signature: str
) -> str | None:
    """Whose key signed this batch of a deposit wallet."""
    domain = keccak(
        _DOMAIN + keccak(text="DepositWallet") + keccak(text="1") + _word(CHAIN_ID) + _address(wallet)
    )
    hashes = b"".join(
        keccak(_CALL_TYPE + _address(call.target) + _word(call.value) + keccak(call.data)) for call in calls
    )
    body = keccak(_BATCH_TYPE + _address(wallet) + _word(nonce) + _word(deadline) + keccak(hashes))
    return signer_of(keccak(b"\x19\x01" + domain + body), signature)
