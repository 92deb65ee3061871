"""The catalogue of pathologies, as data: name, what happens, when, how likely by default, and who reported it.

Where a pathology strikes is said by ``layers``: *simulation* (the in-process gateway in virtual time), *wire* (the
server's HTTP answers and websockets), *journal* (the host's own storage, in simulations and crash tests).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

SIMULATION: Final = "simulation"
WIRE: Final = "wire"
JOURNAL: Final = "journal"
BOTH: Final = (SIMULATION, WIRE)

_GITHUB: Final = "https://github.com/"
_CLOB: Final = _GITHUB + "Polymarket/py-clob-client/issues/"
_NAUTILUS: Final = _GITHUB + "nautechsystems/nautilus_trader/issues/"


class Pathology(Struct, frozen=True):
    """One way in which the venue (or the disk) fails.

    ``probability`` is the default chance ``per`` occasion. An episode (``period_ms`` above 0) happens at most once in
    each period of market time and lasts within ``lasts_ms``.
    """

    name: str
    does: str
    per: str
    probability: float
    report: tuple[str, ...]
    """Addresses of public reports of it."""
    layers: tuple[str, ...] = BOTH
    period_ms: int = 0
    lasts_ms: tuple[int, int] = (0, 0)
    """Shortest and longest duration of an episode, market ms."""


CATALOGUE: Final[tuple[Pathology, ...]] = (
    # --- answers to orders
    Pathology(
        "error_but_filled", "The venue takes the order and answers its post with HTTP 500.",
        "accepted post", 0.02, (_CLOB + "331", _CLOB + "273"),
    ),
    Pathology(
        "timeout_but_filled", "The venue takes the order and never answers; the connection ends after 10 s.",
        "accepted post", 0.02, (_CLOB + "273", _CLOB + "261"),
    ),
    Pathology(
        "late_fill", "Streams and the list of trades show a trade 5 to 40 s late; the order shows it at once.",
        "trade", 0.03, (_CLOB + "261",),
    ),
    Pathology(
        "update_before_response", "The answer to a post comes 0.1 to 1.5 s after the stream events of its order.",
        "post", 0.05, (_GITHUB + "Polymarket/ts-sdk/pull/274",),
    ),
    Pathology(
        "partial_then_reject",
        "An order that was matched in part does not rest: its remainder is cancelled and its post answered with "
        "HTTP 500, though the trade stands.",
        "partly matched order", 0.05, (_CLOB + "121", _GITHUB + "Polymarket/py-clob-client-v2/issues/99"),
    ),
    # --- trades and money
    Pathology(
        "ghost_fill",
        "A trade is MATCHED, then RETRYING, then FAILED after 5 to 90 s (before the market is resolved): money and "
        "shares go back. Where a party has spent them meanwhile, the trade settles late instead.",
        "trade", 0.02, (_GITHUB + "Polymarket/py-clob-client-v2/issues/34",),
    ),
    Pathology(
        "settlement_late", "A trade is MINED, visible in balances and CONFIRMED one to ten minutes late.",
        "trade", 0.02, (_GITHUB + "Polymarket/py-clob-client-v2/issues/34", _CLOB + "290"),
    ),
    Pathology(
        "balance_lag", "Bought shares are missing from balances, and sells of them refused, 5 to 30 s after MINED.",
        "trade", 0.05, (_CLOB + "287", _CLOB + "290"),
    ),
    Pathology(
        "balance_zero_after_fill", "For 2 to 10 s after a buy the token's balance reads 0, whatever was held before.",
        "trade", 0.05, (_CLOB + "274", _GITHUB + "Polymarket/clob-client/issues/310"),
    ),
    Pathology(
        "phantom_lock",
        "After a matched taker buy the venue counts its money a second time, for one to ten minutes: new buys are "
        "refused with `sum of matched orders`.",
        "taker buy", 0.02, (_CLOB + "342", _GITHUB + "Polymarket/rs-clob-client-v2/issues/36"),
    ),
    Pathology(
        "cross_match", "Our order meets one for the other token: a mint (two buys) or a merge (two sells).",
        "match with the population", 0.3, (_NAUTILUS + "3126", _NAUTILUS + "3345"),
    ),
    # --- cancels
    Pathology(
        "cancel_404", "A cancel is done, and answered with HTTP 404 `order not found`.",
        "cancelled order", 0.05, (_NAUTILUS + "3797",),
    ),
    Pathology(
        "cancel_race", "The order is filled, wholly or by half, while its cancel is under way.",
        "cancelled order", 0.05, (_NAUTILUS + "3797", _CLOB + "316"),
    ),
    Pathology(
        "heartbeat_lost", "The venue misses heartbeats for 20 to 40 s: the dead-man's switch cancels all open orders.",
        "10 minutes", 0.1, (_GITHUB + "Polymarket/rs-clob-client/issues/239",), BOTH, 600_000, (20_000, 40_000),
    ),
    # --- the user stream
    Pathology(
        "dup_trade", "A trade's event comes twice, the second time up to 3 s later.",
        "trade event", 0.1, (_NAUTILUS + "3450",),
    ),
    Pathology(
        "trade_before_order", "Trades come 0.1 to 1 s before the event of the order that they fill.",
        "order", 0.1, (_NAUTILUS + "4024",),
    ),
    Pathology(
        "missing_cancel_event", "The stream never tells that an order was cancelled.",
        "cancelled order", 0.1, (_NAUTILUS + "4024", _NAUTILUS + "3797"),
    ),
    Pathology(
        "empty_size_matched",
        "The cancellation of a killed FOK or FAK says `size_matched: \"\"` and has a sentence as its status.",
        "killed order", 0.5, (_NAUTILUS + "3987",),
    ),
    # --- all streams
    Pathology(
        "ws_freeze", "The stream stays connected, answers pings and tells nothing for 10 to 45 s.",
        "minute", 0.02, (_CLOB + "292", _GITHUB + "Polymarket/real-time-data-client/issues/26"),
        BOTH, 60_000, (10_000, 45_000),
    ),
    Pathology(
        "ws_gap", "The connection breaks for 1 to 10 s; what happened meanwhile is never told.",
        "minute", 0.05, (_GITHUB + "Polymarket/py-sdk/issues/307", _GITHUB + "Polymarket/polymarket-us-python/pull/3"),
        BOTH, 60_000, (1_000, 10_000),
    ),
    Pathology(
        "ws_reorder", "An event of the user stream is overtaken by those of the next 0.05 to 2 s.",
        "user event", 0.05, (_GITHUB + "Polymarket/real-time-data-client/issues/42",),
    ),
    Pathology(
        "price_freeze",
        "The stream of reference prices stays connected, answers pings and tells nothing for 10 to 90 s.",
        "5 minutes", 0.1,
        (_GITHUB + "Polymarket/real-time-data-client/issues/26",
         _GITHUB + "Polymarket/real-time-data-client/issues/35"),
        BOTH, 300_000, (10_000, 90_000),
    ),
    Pathology(
        "spot_freeze",
        "Binance's streams stay connected, answer pings and tell nothing for 10 to 90 s: no prints, no candles.",
        "5 minutes", 0.1,
        (_GITHUB + "sammchardy/python-binance/issues/1090",
         _GITHUB + "binance/binance-connector-java/issues/139"),
        BOTH, 300_000, (10_000, 90_000),
    ),
    # --- the venue
    Pathology(
        "tick_flip", "The tick becomes fine in the middle of a market's life, and coarse again 5 to 60 s later.",
        "market", 0.2, (_CLOB + "329", _GITHUB + "Polymarket/clob-client/issues/232"),
    ),
    Pathology(
        "http_425", "The matching engine restarts: order endpoints answer HTTP 425 for 2 to 20 s.",
        "10 minutes", 0.1, (_CLOB + "286", _CLOB + "273"), BOTH, 600_000, (2_000, 20_000),
    ),
    Pathology(
        "post_only_restart", "A restart of 5 s (HTTP 425), then two minutes in which only post-only orders are taken.",
        "10 minutes", 0.05, (_CLOB + "286",), BOTH, 600_000, (125_000, 125_000),
    ),
    Pathology(
        "cancel_only", "For 10 to 60 s no order is taken (HTTP 503); cancels are.",
        "10 minutes", 0.05, (_CLOB + "273", _GITHUB + "Polymarket/poly-market-maker/issues/72"),
        BOTH, 600_000, (10_000, 60_000),
    ),
    Pathology(
        "rate_limit", "A request is refused with HTTP 429 and a `Retry-After` of 1 s, before the venue looks at it.",
        "request", 0.01, (_CLOB + "147",),
    ),
    Pathology(
        "clock_skew", "The venue's clock is 2 to 20 s off, ahead or behind, for the whole run.",
        "run", 0.3, (_GITHUB + "Polymarket/py-sdk/issues/44",),
    ),
    # --- markets
    Pathology(
        "gamma_late", "A window is listed 10 to 90 s after it opened, a third of its length at most.",
        "market", 0.1, (_GITHUB + "Polymarket/polymarket-cli/issues/71",),
    ),
    Pathology(
        "market_resolved_missing", "The stream never tells that a market is resolved.",
        "market", 0.3, (_GITHUB + "Polymarket/rs-clob-client/issues/226",),
    ),
    # --- the host's own disk
    Pathology(
        "disk_full", "The journal's disk is full: nothing becomes durable for 5 to 60 s.",
        "10 minutes", 0.05, (_GITHUB + "freqtrade/freqtrade/issues/6353",), (JOURNAL,), 600_000, (5_000, 60_000),
    ),
    Pathology(
        "db_locked", "Another program holds the database: a commit takes 0.1 to 4 s.",
        "minute", 0.05, (_GITHUB + "freqtrade/freqtrade/issues/7184",), (JOURNAL,), 60_000, (100, 4_000),
    ),
)
BY_NAME: Final[dict[str, Pathology]] = {pathology.name: pathology for pathology in CATALOGUE}
