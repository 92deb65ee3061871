"""Texts that are to leave the machine, without secrets: known ones in every spelling, keys by what they are keys of.

A wallet's private key is found without being known: a number of 64 hex digits is one when an address that belongs to it
stands in the same texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from coincurve import PublicKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from polyhost.model.secrecy import HIDDEN
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import first_deposit_wallet, wallet_of

_NUMBER: Final = re.compile(r"(?<![0-9a-fA-F])(?:0[xX])?([0-9a-fA-F]{64})(?![0-9a-fA-F])")
_ADDRESS: Final = re.compile(r"0[xX][0-9a-fA-F]{40}(?![0-9a-fA-F])")
_NAMED: Final = re.compile(
    r"""(["']?(?:secret|passphrase|signature|private_?key|owner|api_?key|poly_[a-z_]+|authorization)["']?\s*[:=]\s*["']?)
    (?!\(hidden\))[^"'\s,}\]]+""", re.IGNORECASE | re.VERBOSE,
)
"""What stands behind the name of a credential, in JSON, TOML, headers and log lines."""
_IN_URL: Final = re.compile(r"(\w+://)[^/\s:@]+:[^/\s@]+@")
SHORTEST: Final = 6
"""Characters of a secret that is looked for in other spellings too: a shorter one would be found in any text."""


def scrubbed(texts: Mapping[str, str], secrets: Iterable[str]) -> tuple[dict[str, str], int]:
    """The same texts with every secret hidden, and in how many places one was."""
    wanted = sorted(set(_spellings(secrets)) | set(_keys(texts.values())), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, wanted)), re.IGNORECASE) if wanted else None
    clean, found = {}, 0
    for name, text in texts.items():
        number = 0
        if pattern is not None:
            text, number = pattern.subn(HIDDEN, text)
        text, by_name = _NAMED.subn(rf"\g<1>{HIDDEN}", text)
        text, in_urls = _IN_URL.subn(rf"\g<1>{HIDDEN}@", text)
        clean[name] = text
        found += number + by_name + in_urls
    return clean, found


def _spellings(secrets: Iterable[str]) -> Iterator[str]:
    """As it is, as JSON writes it, and a key without its 0x."""
    for secret in secrets:
        yield secret
        if len(secret) >= SHORTEST:
            yield json.dumps(secret)[1:-1]
            yield json.dumps(secret, ensure_ascii=False)[1:-1]
            yield secret.removeprefix("0x")


def _keys(texts: Iterable[str]) -> Iterator[str]:
    """Private keys of addresses that the texts name."""
    numbers: set[str] = set()
    addresses: set[str] = set()
    for text in texts:
        numbers.update(found.lower() for found in _NUMBER.findall(text))
        addresses.update(found.lower() for found in _ADDRESS.findall(text))
    for number in numbers if addresses else ():
        if any(wallet.lower() in addresses for wallet in _wallets(number)):
            yield number


def _wallets(number: str) -> Iterator[str]:
    """The addresses that it would be the key of; none when it can be no key."""
    try:
        public = PublicKey.from_secret(bytes.fromhex(number)).format(compressed=False)
    except ValueError:
        return
    owner = to_checksum_address(keccak(public[1:])[12:])
    yield from (wallet_of(owner, kind) for kind in WalletKind)
    yield first_deposit_wallet(owner)
