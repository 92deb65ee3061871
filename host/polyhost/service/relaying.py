"""What an account's contract wallet sends its transactions with: where that key is, and what is so without one.

A wallet that is the key's own address sends its transactions itself; a proxy, Safe or deposit wallet has them sent by
the venue's relayer, which wants a key that the website makes. Trading needs none.
"""

from __future__ import annotations

import hashlib

from polyhost.configuration.accounts import account_of
from polyhost.errors import ConfigError
from polyhost.model.relayer import SECRET_PARTS, WEBSITE, RelayerKey
from polyhost.secret import Secret, Unresolved
from polyhost.service.logs import REDACTOR
from polyhost.settings import Configuration, RelayerTable
from polyhost.venue.gatekeeper.protocol import RelayerSource
from polyhost.wording import toml_text


def source_of(settings: Configuration) -> RelayerSource | None:
    """Where the account's relayer key is; None: it has none, or needs none.

    A simulated exchange takes any key: there an account without one gets one to throw away.
    """
    if not _sends(settings):
        return None
    table = _table(settings)
    if table is not None:
        parts = {name: {str(place): text for place, text in getattr(table, name).items()} for name in SECRET_PARTS}
        return RelayerSource({name: reference for name, reference in parts.items() if reference}, table.address)
    if settings.host.mode == "sim" or not account_of(settings).key:
        return RelayerSource({"key": {"throwaway": _throwaway(settings)}})
    return None


def relayer_key_of(settings: Configuration) -> RelayerKey | None:
    """The account's relayer key itself, for a command that holds the client.

    Raises ConfigError (``key`` begins with ``relayer``): it is not where the configuration says.
    """
    source = source_of(settings)
    if source is None:
        return None
    parts = {name: _fetched(settings, name, reference) for name, reference in source.parts.items()}
    REDACTOR.add(*parts.values())
    return RelayerKey(address=source.address, **parts)


def _fetched(settings: Configuration, name: str, reference: dict[str, str]) -> str:
    if "throwaway" in reference:
        return reference["throwaway"]
    secret = Secret.model_validate(reference)
    try:
        secret.resolve()
    except Unresolved as error:
        where = {"table": f"accounts.{settings.host.account}", "key": f"relayer.{name}"}
        raise ConfigError(str(error), **where, remedy=error.remedy) from None
    return secret.reveal()


def variables_of(table: RelayerTable | None) -> tuple[str, ...]:
    """Variables of the environment that hold a part of it."""
    parts = () if table is None else (table.key, table.secret, table.passphrase)
    return tuple(part["env"] for part in parts if "env" in part)


def lacks_a_key(settings: Configuration) -> bool:
    """The account's wallet can neither approve nor merge, redeem or split."""
    return _sends(settings) and source_of(settings) is None


def why(settings: Configuration) -> str:
    """Why it cannot."""
    return f"a {settings.venue.wallet} wallet has that done by the venue's relayer, and there is no relayer key"


def without_a_key(settings: Configuration) -> str:
    """The same with what to do about it; empty: it can, or has nothing to send."""
    return f"{why(settings)}; {remedy(settings)}" if lacks_a_key(settings) else ""


def remedy(settings: Configuration) -> str:
    """What to do where the key is lacking."""
    return (
        f"make a relayer key ({WEBSITE}) and write [accounts.{settings.host.account}] relayer = "
        '{ key = { file = "PATH" } }; or do it on the website'
    )


def described(settings: Configuration) -> str:
    """The relayer key in words: what it is and where it is kept, never the key."""
    table = _table(settings)
    if table is None:
        return "the simulator's throwaway key"
    kind = "builder key" if table.secret else "relayer key"
    return f"{kind} {toml_text(table.key)}"


def _table(settings: Configuration) -> RelayerTable | None:
    return account_of(settings).relayer


def _sends(settings: Configuration) -> bool:
    """Does the account have transactions that the relayer sends? Paper and shadow accounts send none."""
    return settings.venue.wallet != "eoa" and settings.host.mode in ("sim", "live")


def _throwaway(settings: Configuration) -> str:
    """The simulator's relayer key of an account: from a seed, so it is no secret."""
    named = f"polyhost throwaway relayer key {settings.exchange.seed} {settings.host.account}"
    return hashlib.sha256(named.encode()).hexdigest()[:32]
