"""The host's settings as typed tables: what may stand in the TOML file, with units and defaults.

Reading, layering and error texts live in polyhost.configuration; the plugins' own settings in their classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from polyhost.meanings import documented
from polyhost.model.builder import builder_code
from polyhost.model.clients import living_client
from polyhost.model.quantities import Money, Price, Shares
from polyhost.model.secrecy import PLAIN, pasted

ACCOUNT_NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,31}$"
"""It is a folder's name and stands in log lines."""


def _a_reference(given: Any) -> Any:
    if isinstance(given, str):
        raise PydanticCustomError(PLAIN, "a secret has no place in a configuration")
    return given


def _one_place(given: dict[str, str]) -> dict[str, str]:
    if len(given) > 1 or not all(given.values()):
        raise PydanticCustomError("reference", "names no place of a secret, or several")
    for place, text in given.items():
        if problem := pasted(place, text):
            raise PydanticCustomError("reference", problem)
    return given


KeySource: TypeAlias = Annotated[
    dict[Literal["env", "file", "keyring"], str], BeforeValidator(_a_reference), AfterValidator(_one_place)
]
"""Where a private key (or a database's address) is kept, as a plugin's setting says it of a secret."""


def _code_or_nothing(text: str) -> str:
    return builder_code(text) if text else ""


if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema


def _defaults() -> Any:
    """A table nobody wrote: it is validated from nothing, with the table around it (a start builds one model, not 20).
    """
    return Field(default_factory=dict)


class Table(BaseModel):
    """Base of every table: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return documented(cls, schema, handler)


Mode: TypeAlias = Literal["sim", "shadow", "paper", "live"]


class HostTable(Table):
    mode: Mode = "sim"
    """sim: a simulated exchange on this machine; paper: the venue's data, orders matched on this machine; shadow: the
    venue's data and account, nothing is posted; live: real orders. Shadow and live need an ``[accounts.NAME]``."""
    data_dir: str = "./polyhost-data"
    """Where a run lives: journal, analysis data, recordings, logs, socket, the simulated exchange's state."""
    account: str = "main"
    """Name of the trading account in journal and logs."""
    database: str | KeySource = ""
    """Where the journal is kept. Empty: a SQLite file in data_dir. ``postgresql://USER@HOST/DATABASE``: a schema of the
    account in that PostgreSQL database; an address with a password is a reference, ``{ env = "NAME" }`` or
    ``{ file = "PATH" }``. A journal is moved by ``db backup`` and ``db restore`` (docs/database.md)."""
    analysis_days: float = Field(default=14.0, gt=0)
    """Rows of the analysis data (what was seen and thought) older than this many days of wall time are deleted."""
    record: bool = True
    """Write every input of the kernel to rotating files, so that the run can be replayed."""
    record_hours: float = Field(default=24.0, gt=0)
    """Recordings older than this many hours of wall time are deleted."""
    record_gb: float = Field(default=5.0, gt=0)
    """The oldest recordings are deleted above this many gigabytes."""
    ping_url: str = ""
    """Address of a health check (healthchecks.io and its like), asked once a minute while the host is well, with
    ``/fail`` behind it while it is not; empty: none. Who does not hear it any more raises the alarm."""


class LogTable(Table):
    """The log files in ``data_dir/logs`` (docs/operations.md)."""

    format: Literal["text", "json"] = "text"
    """text: lines for people; json: one JSON object a line, on standard error too."""
    rotate_mb: float = Field(default=10.0, gt=0)
    """A log file is ended at this many megabytes, and the next one begun."""
    keep_days: float = Field(default=14.0, gt=0)
    """Files of windows and ended files that nothing was written to for so many days of wall time are deleted."""
    keep_mb: float = Field(default=500.0, gt=0)
    """And the oldest of them above so many megabytes together."""


class MetricsTable(Table):
    """Metrics for Prometheus, health and readiness over HTTP (docs/metrics.md)."""

    port: int = Field(default=0, ge=0, le=65_535)
    """Where they are served, on this machine only; 0: nowhere. Needs the extra ``metrics``."""


class MarketsTable(Table):
    symbols: tuple[str, ...] = ("BTC", "ETH")
    """Symbols whose Up or Down windows are traded."""
    durations: tuple[Literal["5m", "15m", "1h", "4h", "1d"], ...] = ("5m", "15m")
    """Window lengths; 1d: from noon to noon, Eastern time."""
    slugs: tuple[str, ...] = ()
    """Other binary markets, named by slug or by condition id (``0x…``)."""


class VenueTable(Table):
    url: str = ""
    """Address of an exchange elsewhere (``http://127.0.0.1:PORT``); empty: the run starts its own."""
    client: Annotated[Literal["polymarket-client", "py-clob-client-v2"], BeforeValidator(living_client)] = (
        "polymarket-client"
    )
    """The order client; the other one stands by for cancels that fail and as witness."""
    rotate_minutes: float = Field(default=30.0, ge=0)
    """The sockets of books and of our own orders are replaced this often, wall minutes (a quarter more or less), the
    new one whole before the old one goes; 0: never by plan."""
    wallet: Literal["eoa", "proxy", "safe", "deposit"] = "eoa"
    """Which wallet of the key holds the funds: its own address (eoa), a proxy (e-mail and Magic accounts), a Gnosis
    Safe (browser wallets), or a deposit wallet (new accounts)."""
    builder_code: Annotated[str, AfterValidator(_code_or_nothing)] = ""
    """Builder code signed with every order, 32 bytes in hex (``0x…``); empty: none. The venue charges its rates on top,
    a flat share of each trade's money; they are asked at the start, and every cost that is decided on counts them."""


class BuilderTable(Table):
    """What a builder code costs at the simulated exchange."""

    maker_bps: int = Field(default=0, ge=0, le=10_000)
    """Of the money of a trade that met a resting order, basis points."""
    taker_bps: int = Field(default=0, ge=0, le=10_000)
    """Of the money of a trade that took, basis points."""


class TroublesTable(Table):
    """What is wrong with every account at the simulated exchange, to try ``doctor`` and ``setup approvals`` on."""

    unapproved: bool = False
    """A newcomer's wallets have approved no contract yet."""
    funded: tuple[Literal["eoa", "proxy", "safe", "deposit"], ...] = ()
    """Only these wallets of a newcomer own anything; empty: all four."""
    closed_only: bool = False
    """Accounts may only close positions."""
    country: str = ""
    """Everybody is seen to be in this country, and may not trade from there; empty: nobody is blocked."""
    protocol: int = 2
    """Version of the order protocol that the venue names."""


class ExchangeTable(Table):
    """The simulated exchange that ``run`` starts, and ``exchange serve``."""

    seed: int = 1
    """Seed of prices, population and keys."""
    speed: float = Field(default=1.0, ge=1)
    """Most market seconds a wall second; the exchange holds market time back when anyone lags."""
    cash: Money = Money("1000")
    """Collateral of every address that authenticates first."""
    density: float = Field(default=20.0, gt=0)
    """Population events a market second and symbol."""
    taker_delay_ms: int = Field(default=150, ge=0)
    """Delay of marketable orders, market ms."""
    mined_ms: int = Field(default=2_000, ge=0)
    """From MATCHED to MINED, market ms; from then on bought shares show in balances."""
    confirmed_ms: int = Field(default=5_000, ge=0)
    """From MATCHED to CONFIRMED, market ms."""
    resolve_delay_ms: int = Field(default=8_000, ge=0)
    """From a window's end to its result, market ms."""
    auto_redeem_ms: int = Field(default=0, ge=0)
    """From a result to the venue's operator redeeming winning shares, market ms; 0: it never does."""
    rewards: Money = Money("1000")
    """Liquidity rewards that each window pays a day, to all makers together; 0: no program."""
    rewards_min_size: Shares = Shares("20")
    """Smallest order that earns rewards: the shipped stake reaches it (the venue listed 50 for such windows in
    2026-09)."""
    rewards_max_spread: Price = Price("0.045")
    """Largest distance from the midpoint at which an order earns rewards (the venue's of 2026-09)."""
    rate_limit_tier: Literal["", "standard", "copper", "bronze", "silver", "gold", "platinum"] = ""
    """Tier of every signer's rate limits for orders and cancels; empty: nobody is limited."""
    pathologies: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """How the exchange misbehaves: names (docs/pathologies.md) and their probabilities; empty: not at all."""
    troubles: TroublesTable = _defaults()
    """What is wrong with accounts and place, to try `doctor` and `setup approvals` on; nothing by default.
    ``unapproved``: a newcomer's wallets have approved no contract; ``funded``: only these of its wallets own anything
    (eoa, proxy, safe, deposit; empty: all); ``closed_only``; ``country``: where everybody is blocked; ``protocol``: the
    version of orders that the venue names."""
    builders: dict[Annotated[str, AfterValidator(builder_code)], BuilderTable] = Field(default_factory=dict)
    """The builder codes that the exchange knows, each with ``maker_bps`` and ``taker_bps``; orders with another one are
    refused."""


class PaperTable(Table):
    """How orders fare in paper mode (docs/paper.md); delays and settlement stages are those of ``[exchange]``."""

    cash: Money = Money("1000")
    """Collateral that a new paper account begins with."""
    latency_ms: int = Field(default=150, ge=0)
    """Orders, cancels and questions meet the venue this long after they left, market ms: measure the round trip of a
    request from your machine; the default is one across an ocean. The taker delay comes on top."""
    min_standing_ms: int = Field(default=100, ge=0)
    """A displayed size can be hit when it has stood this long, market ms; a quote that flashes is no liquidity. At most
    ``latency_ms``: books are watched from when an order leaves."""
    queue_ahead: float = Field(default=1.0, ge=0, le=1)
    """Of the size displayed at its price, the share that is served before an order of ours that comes to rest: 1, it
    stands behind all of it; 0, before all of it."""


class LimitsTable(Table):
    window: Money = Money("50")
    """Most collateral at risk in one window (cost of positions and reserved for buys)."""
    symbol: Money = Money("100")
    """Most collateral at risk in one symbol."""
    total: Money = Money("300")
    """Most collateral at risk in all."""


class PolicyTable(Table):
    """What the gateway process signs and sends, whatever the host asks for; money counts at the worst price with fees.
    Sells are never refused for their size."""

    order_max: Money = Money("0")
    """Most collateral of a single buy; 0: as ``[limits] window``."""
    hour_max: Money = Money("0")
    """Most collateral of all buys and splits within an hour (what ended unfilled does not count); 0: twelve times
    ``[limits] total``."""
    day_max: Money = Money("0")
    """The same within a day; 0: eight times ``hour_max``."""
    actions: tuple[Literal["merge", "redeem", "split"], ...] = ("merge", "redeem", "split")
    """Chain actions that are carried out."""


class BreakersTable(Table):
    """What stops new exposure until an operator clears it; exits are never stopped."""

    daily_loss: Money = Money("50")
    """Realised loss of a day (UTC)."""
    drawdown: float = Field(default=0.05, gt=0, le=1)
    """Share of the equity at the start of the day (UTC)."""
    emergency_stops_hour: int = Field(default=3, ge=0)
    """More emergency stops than this in an hour of market time trip the breaker."""
    disconnects_hour: int = Field(default=5, ge=0)
    """More unplanned disconnects of a trading stream than this in an hour of market time."""
    exit_failures: int = Field(default=2, ge=0)
    """More exits than this that failed in a row (a balance that lags, and a market without bids, do not count)."""


class SafetyTable(Table):
    close_before_expiry_s: float = Field(default=120.0, gt=2)
    """By this many seconds before the end (15-minute windows; scaled) a position is closed or declared held."""
    hedge_when_blocked: bool = False
    """A hedge is bought although a breaker, a pause or a low balance stops new entries; false: then the stop sells."""
    balance_min: Money = Money("1")
    """New exposure stops while less collateral than this is free."""
    hold_above: Price = Price("0.90")
    """At that time a position whose midpoint is at or above this price is held to settlement."""
    book_age_ms_max: int = Field(default=10_000, gt=0)
    """No order is placed on a book older than this, market ms."""
    answer_age_ms_max: int = Field(default=1_000, gt=0)
    """Answers of plugins older than this are dropped, transport ms."""
    unknown_after_ms: int = Field(default=1_500, gt=0)
    """A post without an answer for this long is UNKNOWN (U1), transport ms."""
    slippage_ticks: int = Field(default=1, ge=0)
    """Of the market's own tick: how far through the best price the first forced sell may go."""
    dead_man: bool = False
    """Heartbeats arm the venue's dead-man's switch: 10 to 15 s after the last one it cancels all orders of the key, a
    person's too. Exits then rest no more while the host is away, and are placed again first when it is back."""
    hedge_wait_s: float = Field(default=10.0, gt=0)
    """A hedge without a fill for so many seconds of market time is given up: the stop sells."""
    grid_levels_max: int = Field(default=10, ge=0)
    """Most levels of a grid that may be in use at once, a market and side."""
    adopt: bool = True
    """At the start positions that are not in the journal are adopted, in markets of the configured series."""
    balance_age_ms_max: int = Field(default=5_000, gt=0)
    """Balances older than this are fetched before they are used for a decision, transport ms."""


class PairTable(Table):
    """Two legs bought one after the other (ORD-13)."""

    pause_s: float = Field(default=2.0, ge=0)
    """Between the settled first leg and the second, seconds of market time."""
    settle_s_max: float = Field(default=60.0, gt=0)
    """A first leg that is not settled this long after its order ended is sold again, seconds of market time."""
    rollback_wait_s: float = Field(default=5.0, ge=0)
    """How long a second leg may wait for a fresh balance or book, and a failed pair for its sale, market seconds."""
    window_max: int = Field(default=5, ge=0)
    """Pairs of one market, whatever became of them; one at a time."""


class QuotesTable(Table):
    """Standing quotes of plugins; each rests only while its owner keeps proposing it."""

    slots_max: int = Field(default=3, ge=0, le=20)
    """Quotes that buy, a market and side; further ones are told and not placed. 0: none."""
    unrenewed_s: float = Field(default=5.0, gt=0)
    """A quote that was not proposed again for this long is withdrawn, market seconds (at least two evaluations)."""


class PendingTable(Table):
    """Resting entries and how far the market may leave them behind (grid levels and legs too)."""

    far: float = Field(default=0.05, gt=0)
    """An entry is far when the midpoint moved by this share of the entry's price since it was placed …"""
    far_ticks: int = Field(default=2, ge=1)
    """… and by at least so many ticks of the market."""
    answer_s: float = Field(default=3.0, ge=0)
    """Its plugin has this long to re-price a far entry, market seconds; then the host cancels it."""
    against: float = Field(default=0.15, gt=0)
    """An entry is cancelled at once when the midpoint fell by this share of the entry's price since it was placed."""


class DepthTable(Table):
    """What is checked before a large order at market. Exits are never held back by it."""

    large_over: float = Field(default=0.20, gt=0, le=1)
    """A buy at market of more than this share of what is offered near the best price is large: spread is checked."""
    share_max: float = Field(default=1.0, gt=0, le=1)
    """It takes at most this share of what is offered near the best price; more is reduced to it."""
    ticks: int = Field(default=2, ge=0)
    """Offers within so many ticks of the best one count as near."""
    spread_max: Price = Price("0.10")
    """A buy at market that is large is refused when bid and ask are further apart than this."""


class SettlementTable(Table):
    """What is redeemed and merged without being told to. Trading never waits for it; each costs gas or a relayer."""

    auto_redeem: bool = False
    """What decided markets pay is redeemed by itself, once each trade of the market is confirmed or failed."""
    auto_merge: bool = False
    """UP and DOWN shares of one market are merged by themselves as soon as both are settled and in no order."""
    merge_min: Money = Money("5")
    """Fewer pairs than this (collateral that they give back) are not merged by themselves."""


VOICES: Final = {"additive": "weights", "bayesian": "reliability"}
"""Built-in combiner → its setting that gives each signal a voice, by name."""


class EvaluationTable(Table):
    cadence_ms: int = Field(default=1_000, ge=100)
    """One evaluation a market in this time, market ms; triggers come in between."""
    combiner: str = "additive"
    """Name of the combiner plugin that trades; the others are stored for comparison."""
    plugin_latency_ms: int = Field(default=1, ge=0)
    """Backtests: an answer is handled this long after its view, market ms."""


class RelayerTable(Table):
    """What the venue's relayer knows an account by: a relayer key (``key``, perhaps ``address``), made on
    polymarket.com under Settings, API Keys; or a builder key (``key``, ``secret``, ``passphrase``)."""

    key: KeySource = Field(default_factory=dict)
    """Where the key is kept."""
    address: str = ""
    """Address that a relayer key was made for; empty: the private key's own, which is what the venue asks for."""
    secret: KeySource = Field(default_factory=dict)
    """Where a builder key's secret is kept."""
    passphrase: KeySource = Field(default_factory=dict)
    """Where a builder key's passphrase is kept."""


class AccountTable(Table):
    """Accounts trade side by side, share the market data and nothing else, and each has a folder of its name below
    `data_dir`. Without such a table there is one, `[host] account` in `[host] mode`, in `data_dir` itself."""

    mode: Mode = "sim"
    """As in ``[host]``; sim goes with sim only."""
    wallet: Literal["", "eoa", "proxy", "safe", "deposit"] = ""
    """Which wallet of the key holds the funds; empty: as in ``[venue]``."""
    key: KeySource = Field(default_factory=dict)
    """Where the private key is kept: ``{ env = "NAME" }``, ``{ file = "PATH" }`` or ``{ keyring = "SERVICE/NAME" }``;
    live and shadow need one."""
    relayer: Annotated[RelayerTable | None, BeforeValidator(_a_reference)] = None
    """What a contract wallet (proxy, safe, deposit) approves, merges, redeems and splits with: a relayer key,
    ``{ key = { env = "NAME" } }`` with ``address`` where it is not the private key's own, or a builder key with
    ``key``, ``secret`` and ``passphrase``, three references. Trading needs none of it."""
    client: Annotated[Literal["", "polymarket-client", "py-clob-client-v2"], BeforeValidator(living_client)] = ""
    """The order client; empty: as in ``[venue]``."""
    cash: Money = Money("1000")
    """Collateral that a paper account begins with; not set: as in ``[paper]``."""
    limits: LimitsTable | None = None
    """``[accounts.NAME.limits]``: the account's own; what is not set is as in ``[limits]``."""
    breakers: BreakersTable | None = None
    """``[accounts.NAME.breakers]``: the account's own; what is not set is as in ``[breakers]``."""


class Configuration(Table):
    """The whole file."""

    host: HostTable = _defaults()
    log: LogTable = _defaults()
    metrics: MetricsTable = _defaults()
    markets: MarketsTable = _defaults()
    venue: VenueTable = _defaults()
    exchange: ExchangeTable = _defaults()
    paper: PaperTable = _defaults()
    limits: LimitsTable = _defaults()
    policy: PolicyTable = _defaults()
    breakers: BreakersTable = _defaults()
    safety: SafetyTable = _defaults()
    pair: PairTable = _defaults()
    quotes: QuotesTable = _defaults()
    pending: PendingTable = _defaults()
    depth: DepthTable = _defaults()
    settlement: SettlementTable = _defaults()
    evaluation: EvaluationTable = _defaults()
    accounts: dict[Annotated[str, Field(pattern=ACCOUNT_NAME)], AccountTable] = Field(default_factory=dict)
    """``[accounts.NAME]``: the accounts, where there are several."""
    plugin_paths: tuple[str, ...] = ()
    """Single-file plugins: files or folders, relative to the configuration file."""
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """``[plugins.NAME]``: ``enabled``, ``use``, ``trusted`` and the plugin's own settings, in order of precedence."""
