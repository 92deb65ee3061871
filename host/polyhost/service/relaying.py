"""What an account's contract wallet sends its transactions with: where that key is, and what is so without one.

A wallet that is the key's own address sends its transactions itself; a proxy, Safe or deposit wallet has them sent by
the venue's relayer, which wants a key that the website makes. Trading needs none.
"""

from __future__ import annotations

from polyhost.model.relayer import WEBSITE, RelayerKey
from polyhost.service.account_secrets import account_secret
from polyhost.service.logs import REDACTOR
from polyhost.service.relayer_source import sends, source_of, table_of
from polyhost.settings import Configuration
from polyhost.wording import toml_text


def relayer_key_of(settings: Configuration) -> RelayerKey | None:
    """The account's relayer key itself, for a command that holds the client.

    Raises ConfigError (``key`` begins with ``relayer``): it is not where the configuration says.
    """
    source = source_of(settings)
    if source is None:
        return None
    parts = {
        name: reference.get("throwaway") or account_secret(settings, f"relayer.{name}", reference)
        for name, reference in source.parts.items()
    }
    REDACTOR.add(*parts.values())
    return RelayerKey(address=source.address, **parts)


def lacks_a_key(settings: Configuration) -> bool:
    """The account's wallet can neither approve nor merge, redeem or split."""
    return sends(settings) and source_of(settings) is None


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
    table = table_of(settings)
    if table is None:
        return "the simulator's throwaway key"
    kind = "builder key" if table.secret else "relayer key"
    return f"{kind} {toml_text(table.key)}"
