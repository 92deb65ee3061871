"""The four wallets of one key, and where the factories put them: facts of the chain, the same for host and exchange.

A contract wallet's address follows from its owner (CREATE2), so nobody needs to be asked for it. Sources: polymarket.md
2.3 and 2.5 (worked example), wallet derivation of polymarket-client 0.14.0; tests compare with the client.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from polyhost.model.wallet_kinds import WalletKind

PROXY_FACTORY: Final = "0xaB45c5A4B0c941a2F231C04C3f49182e1A254052"
SAFE_FACTORY: Final = "0xaacFeEa03eb1561C4e67d661e40682Bd20E3541b"
DEPOSIT_FACTORY: Final = "0x00000000000Fb5C9ADea0298D729A0CB3823Cc07"
DEPOSIT_BEACON: Final = "0x7A18EDfe055488A3128f01F563e5B479D92ffc3a"
DEPOSIT_IMPLEMENTATION: Final = "0x58CA52ebe0DadfdF531Cde7062e76746de4Db1eB"
"""Behind deposit wallets of the first generation (UUPS)."""

_PROXY_CODE_HASH: Final = bytes.fromhex("d21df8dc65880a8606f09fe0ce3df9b8869287ab0b058be05aa9e8af6330a00b")
_SAFE_CODE_HASH: Final = bytes.fromhex("2bce2127ff07fb632d16c8347c4ebf501f4841168bed00d9e6ef715ddb6fcecf")
# Creation code of an ERC-1967 proxy with arguments behind it: length of code and arguments, then fixed parts around
# the address that it points to.
_UUPS_CODE_BYTES: Final = 0x3D
_UUPS_TAIL: Final = bytes.fromhex(
    "60095155f3363d3d373d3d363d7f360894a13ba1a3210667c828492db98dca3e2076"
    "cc3735a920a3ca505d382bbc545af43d6000803e6038573d6000fd5b3d6000f3"
)
_BEACON_CODE_BYTES: Final = 0x52
_BEACON_TAIL: Final = bytes.fromhex(
    "60195155f3363d3d373d3d363d602036600436635c60da"
    "1b60e01b36527fa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6c"
    "b3582b35133d50545afa5036515af43d6000803e604d573d6000fd5b3d6000f3"
)


def _address(value: str) -> bytes:
    return bytes.fromhex(value[2:])


def _create2(factory: str, salt: bytes, code_hash: bytes) -> str:
    made: str = to_checksum_address(keccak(b"\xff" + _address(factory) + salt + code_hash)[12:])
    return made


def proxy_wallet(owner: str) -> str:
    return _create2(PROXY_FACTORY, keccak(_address(owner)), _PROXY_CODE_HASH)


def safe_wallet(owner: str) -> str:
    return _create2(SAFE_FACTORY, keccak(bytes(12) + _address(owner)), _SAFE_CODE_HASH)


def _creation_code(code_bytes: int, target: str, tail: bytes, arguments: bytes) -> bytes:
    length = (code_bytes + len(arguments)).to_bytes(2, "big")
    return b"\x61" + length + bytes.fromhex("3d8160233d3973") + _address(target) + tail + arguments


def _deposit(owner: str, code_bytes: int, target: str, tail: bytes) -> str:
    arguments = bytes(12) + _address(DEPOSIT_FACTORY) + bytes(12) + _address(owner)
    code = _creation_code(code_bytes, target, tail, arguments)
    return _create2(DEPOSIT_FACTORY, keccak(arguments), keccak(code))


def deposit_wallet(owner: str) -> str:
    """The deposit wallet of today (a beacon proxy)."""
    return _deposit(owner, _BEACON_CODE_BYTES, DEPOSIT_BEACON, _BEACON_TAIL)


def first_deposit_wallet(owner: str) -> str:
    """The deposit wallet of the first generation (UUPS); accounts that have one keep it."""
    return _deposit(owner, _UUPS_CODE_BYTES, DEPOSIT_IMPLEMENTATION, _UUPS_TAIL)


@lru_cache(maxsize=64)
def wallet_of(owner: str, kind: WalletKind) -> str:
    """The checksummed address of an owner's wallet of this kind; ``owner`` is the key's own address.

    Raises ValueError for an owner that is no address.
    """
    match kind:
        case WalletKind.EOA:
            checked: str = to_checksum_address(owner)
            return checked
        case WalletKind.PROXY:
            return proxy_wallet(owner)
        case WalletKind.SAFE:
            return safe_wallet(owner)
        case WalletKind.DEPOSIT:
            return deposit_wallet(owner)
