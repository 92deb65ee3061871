"""The official client, aimed and checked: the only place that touches a private name of it, or trusts its shape.

polymarket-client has no public way to name an address, so one function here builds its environment from two private
functions; the version is pinned, and anything that looks different stops the start with the remedy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

from polymarket import AsyncSecureClient, BuilderApiKey, Environment, RelayerApiKey, SignedOrder
from polymarket.errors import PolymarketError, RequestRejectedError, UserInputError

from polyhost.errors import ConfigError, VenueError
from polyhost.model.clients import FIRST
from polyhost.model.relayer import WEBSITE, RelayerKey
from polyhost.venue.drift import Relied
from polyhost.venue.polymarket.endpoints import FOREIGN_HOSTS, Endpoints

DISTRIBUTION: Final = FIRST
VERSION: Final = "0.14.0"
"""The release that was read line by line; the surface below and the private names hold for it."""
UNAUTHORIZED: Final = 401
"""The relayer's status for a key that it does not take (``invalid authorization``)."""
NEAR_POLL_MS: Final = 200
"""How often the client asks an exchange elsewhere what became of a transaction, wall ms; the venue itself every 2 s."""
NEAR_POLLS: Final = 1_000
"""How many times: as long as at the venue."""
REMEDY: Final = f"install the tested release: pip install {DISTRIBUTION}=={VERSION}"

SURFACE: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("private_key", "wallet", "environment", "credentials", "api_key"),
    "create_limit_order": ("token_id", "price", "size", "side", "post_only", "expiration", "builder_code"),
    "create_market_order": (
        "token_id", "side", "amount", "shares", "max_price", "min_price", "order_type", "builder_code",
    ),
    "post_order": ("signed_order",),
    "post_orders": ("signed_orders",),
    "cancel_order": ("order_id",),
    "cancel_orders": ("order_ids",),
    "cancel_market_orders": ("market",),
    "cancel_all": (),
    "merge_positions": ("condition_id", "amount"),
    "split_position": ("condition_id", "amount"),
    "redeem_positions": ("condition_id",),
    "get_trading_approvals_state": (),
    "setup_trading_approvals": (),
    "get_builder_fee_rates": ("builder_code",),
    "list_builder_trades": ("builder_code", "after"),
    "close": (),
}
"""Methods of the client that we call, with the parameters we pass."""
SIGNED_FIELDS: Final = frozenset(
    {
        "builder", "expiration", "maker", "maker_amount", "metadata", "order_type", "salt", "side", "signature",
        "signature_type", "signer", "taker_amount", "timestamp", "token_id", "post_only",
    }
)  # fmt: skip
"""Fields of the client's signed order: all of them go into the journal, so a new one is drift."""


RELIED: Final = Relied(DISTRIBUTION, VERSION, SURFACE, SIGNED_FIELDS, REMEDY)


def require_version(installed: str | None = None) -> None:
    """Raises VenueError unless exactly the tested release is installed."""
    RELIED.require_version(installed)


def require_surface(client: type = AsyncSecureClient, order: type = SignedOrder) -> None:
    """Raises VenueError unless the client has every method, parameter and order field we rely on."""
    RELIED.require_surface(client, frozenset(field.name for field in dataclasses.fields(order)))


def api_key_of(key: RelayerKey, owner: str) -> BuilderApiKey | RelayerApiKey:
    """The client's own form of a relayer key; ``owner``: the private key's address.

    Raises ConfigError for an address that is none, VenueError when the client has changed.
    """
    try:
        if key.secret:
            return BuilderApiKey(key=key.key, secret=key.secret, passphrase=key.passphrase)
        return RelayerApiKey(key=key.key, address=key.address or owner)
    except UserInputError as error:
        raise ConfigError("is no address", key="relayer.address", value=key.address) from error
    except TypeError as error:
        raise VenueError(f"the client takes a relayer key in another form; {REMEDY}", endpoint=DISTRIBUTION) from error


def told_of_the_relayer(error: PolymarketError) -> str:
    """Why a transaction was refused, with what mends it where the relayer does not take the key."""
    if isinstance(error, RequestRejectedError) and error.status == UNAUTHORIZED:
        return f"{error}; the relayer does not take the key of [accounts.NAME] relayer: make one ({WEBSITE})"
    return str(error)


def environment_at(endpoints: Endpoints) -> Environment:
    """The client's environment with every address replaced by ours.

    Raises VenueError when the client has changed, or when an address of the live venue would remain although the
    endpoints are elsewhere.
    """
    from polymarket import PRODUCTION

    if endpoints.live:
        return PRODUCTION
    try:
        from polymarket._internal.environment import create_environment, get_environment_config

        config = dataclasses.replace(
            get_environment_config(PRODUCTION),
            clob_url=endpoints.clob,
            gamma_url=endpoints.gamma,
            data_url=endpoints.data,
            relayer_url=endpoints.relayer,
            rfq_url=endpoints.clob,
            rpc_url=endpoints.clob,
            perps_url=endpoints.clob,
            builder_gateway_url=endpoints.clob,
            collateral_return_url=endpoints.clob,
            clob_market_ws_url=endpoints.market_ws,
            clob_user_ws_url=endpoints.user_ws,
            realtime_ws_url=endpoints.price_ws,
            rtds_ws_url=endpoints.price_ws,
            sports_ws_url=endpoints.price_ws,
            rfq_quoter_ws_url=endpoints.price_ws,
            perps_ws_url=endpoints.price_ws,
            relayer_poll_frequency_ms=NEAR_POLL_MS,
            relayer_max_polls=NEAR_POLLS,
        )
        environment = create_environment(name="elsewhere", config=config)
    except (ImportError, TypeError, AttributeError) as error:
        raise VenueError(f"the client cannot be aimed at another address ({error}); {REMEDY}", endpoint=DISTRIBUTION) \
            from error
    left = [value for value in dataclasses.astuple(config) if isinstance(value, str) and _foreign(value)]
    if left:
        raise VenueError(f"addresses of the live venue remain: {', '.join(left)}; {REMEDY}", endpoint=DISTRIBUTION)
    return environment


def _foreign(value: str) -> bool:
    return "://" in value and any(host in value for host in FOREIGN_HOSTS)
