"""What a client's call data says: the few calls of the chain that traders make, taken out of 32-byte words.

Only these are understood; any other call becomes one of kind ``call 0x…``, which fails when it is mined, as a call of
something that is not there does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from eth_utils.crypto import keccak

from polyhost.exchange.api import ChainCall
from polyhost.exchange.server.contracts import ADAPTERS, COLLATERAL, CONDITIONAL, MULTISEND, POSITION_MANAGER


def selector(signature: str) -> bytes:
    """The first four bytes of a function's hash."""
    return keccak(text=signature)[:4]


SPLIT: Final = selector("splitPosition(address,bytes32,bytes32,uint256[],uint256)")
MERGE: Final = selector("mergePositions(address,bytes32,bytes32,uint256[],uint256)")
REDEEM: Final = selector("redeemPositions(address,bytes32,bytes32,uint256[])")
APPROVE: Final = selector("approve(address,uint256)")
APPROVE_ALL: Final = selector("setApprovalForAll(address,bool)")
PROXY: Final = selector("proxy((uint8,address,uint256,bytes)[])")
MULTI: Final = selector("multiSend(bytes)")
WORD: Final = 32
_CONDITION: Final = 2
_AMOUNT: Final = 4


class CallError(ValueError):
    """Call data that is no call."""


def raw_bytes(text: str) -> bytes:
    """The bytes of ``0x…``. Raises CallError."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise CallError(f"not hex: {text[:20]}") from error


def word(data: bytes, number: int) -> int:
    """The n-th word. Raises CallError past the end."""
    part = data[WORD * number : WORD * (number + 1)]
    if len(part) != WORD:
        raise CallError("call data is too short")
    return int.from_bytes(part, "big")


def tail(data: bytes, at: int) -> bytes:
    """A dynamic value (length, then bytes) that begins ``at`` bytes into the data. Raises CallError."""
    length = word(data[at:], 0)
    found = data[at + WORD : at + WORD + length]
    if len(found) != length:
        raise CallError("call data is too short")
    return found


def call_of(target: str, data: bytes) -> ChainCall:
    """One call to a contract as the exchange's core knows it. Raises CallError when words are missing."""
    name, words = data[:4], data[4:]
    address = target.lower()
    if name in (SPLIT, MERGE) and address in ADAPTERS:
        condition = f"0x{word(words, _CONDITION):064x}"
        return ChainCall("split" if name == SPLIT else "merge", condition, word(words, _AMOUNT))
    if name == REDEEM and address in ADAPTERS:
        return ChainCall("redeem", f"0x{word(words, _CONDITION):064x}")
    if name == APPROVE and address == COLLATERAL.lower() and word(words, 1):
        return ChainCall("approve")
    if name == APPROVE_ALL and address in (CONDITIONAL.lower(), POSITION_MANAGER.lower()) and word(words, 1):
        return ChainCall("approve")
    return ChainCall(f"call 0x{name.hex()} of {target}")


def proxy_calls(data: bytes) -> tuple[ChainCall, ...]:
    """The calls that the proxy factory passes on. Raises CallError."""
    if data[:4] != PROXY:
        raise CallError("not a call of the proxy factory")
    body = data[4:]
    array = body[word(body, 0) :]
    heads = array[WORD:]
    found = []
    for number in range(word(array, 0)):
        part = heads[word(heads, number) :]
        found.append(call_of(f"0x{word(part, 1):040x}", tail(part, word(part, 3))))
    return tuple(found)


def safe_calls(target: str, data: bytes, operation: int) -> tuple[ChainCall, ...]:
    """The calls of a Safe's transaction: one, or those that the multi-send contract takes apart. Raises CallError."""
    if operation == 0:
        return (call_of(target, data),)
    if target.lower() != MULTISEND.lower() or data[:4] != MULTI:
        raise CallError("a delegate call of something else than the multi-send contract")
    body = data[4:]
    return tuple(_packed(tail(body, word(body, 0))))


def _packed(data: bytes) -> Iterator[ChainCall]:
    """Operation (1 byte), address (20), value and length (a word each), bytes; one after the other."""
    while data:
        size = word(data[21:], 1)
        start = 21 + 2 * WORD
        if len(data) < start + size:
            raise CallError("call data is too short")
        yield call_of("0x" + data[1:21].hex(), data[start : start + size])
        data = data[start + size :]


def items(data: bytes) -> list[bytes]:
    """The byte strings of one RLP list (a plain transaction). Raises CallError for anything else."""
    body, rest = _payload(data, 0xC0)
    if rest:
        raise CallError("not one RLP list")
    found = []
    while body:
        if body[0] < 0x80:
            item, body = body[:1], body[1:]
        else:
            item, body = _payload(body, 0x80)
        found.append(item)
    return found


def _payload(data: bytes, base: int) -> tuple[bytes, bytes]:
    """The content of an RLP item whose kind begins at ``base``, and what follows it."""
    if not data or not base <= data[0] < base + 0x40:
        raise CallError("not RLP as expected")
    size, start = data[0] - base, 1
    if size > 55:
        start = 1 + size - 55
        size = int.from_bytes(data[1:start], "big")
    if len(data) < start + size:
        raise CallError("RLP ends early")
    return data[start : start + size], data[start + size :]
