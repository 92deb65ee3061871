"""Contradictions: configurations in which something could never trade, never fire or never end (EXI-11).

Each check names the setting to change. What could never fire in a plugin its own settings say (``contradictions``); the
built-in ones are looked up through their entry points and asked here, all others where they run (extension/setups.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from polyhost.configuration.problems import place_of
from polyhost.configuration.shipped import SHIPPED_PLUGINS, shipped_class
from polyhost.configuration.sources import Layer
from polyhost.errors import ConfigError, nearest_name
from polyhost.model.database_address import FORM, refused
from polyhost.model.quantities import Money, Price, Shares
from polyhost.model.relayer import WEBSITE
from polyhost.model.secrecy import HIDDEN
from polyhost.model.series import DURATIONS, SIMULATED
from polyhost.plugin import Settings, Setup
from polyhost.secret import FORMS
from polyhost.settings import VOICES, AccountTable, Configuration
from polyhost.wording import default_line, toml_text

HOST_KEYS: Final = ("enabled", "use", "trusted")
"""Keys of a plugin's table that are not its own settings."""
FULL_WINDOW_S: Final = 900
"""Thresholds are written for windows of this length; shorter windows scale them, longer ones keep them (EXI-11)."""
SLIP: Final = 0.85
"""Names so alike (difflib's ratio) differ by a letter or two; ``spot_momentum`` and ``binance_momentum`` do not."""
_SYMBOL: Final = re.compile(r"[A-Z0-9]{1,12}")
_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_LIKE_AN_ADDRESS: Final = re.compile(r"0x[0-9a-zA-Z]{0,44}")
_MADE: Final = f"make one on {WEBSITE}, and say where it is kept, never what it is"


class _BrokenError(Exception):
    """A broken rule on its way to becoming a ConfigError: the dotted key, the problem, the value, what is allowed."""

    def __init__(
        self, key: str, problem: str, value: object = None, allowed: tuple[str, ...] = (), near: str = "",
        remedy: str = "", cause: str = "",
    ) -> None:
        super().__init__(problem)
        self.key, self.problem, self.value, self.allowed, self.near = key, problem, value, allowed, near
        self.remedy = remedy
        """Empty: the default, where the value is another one."""
        self.cause = cause
        """The setting that the value goes badly with; its place is told where the value is nobody's own."""

    def place(self, labels: Mapping[str, Layer]) -> str:
        """Where the culprit was set."""
        return place_of(self.key if self.key in labels or not self.cause else self.cause, labels)


def refuse_contradictions(configuration: Configuration, labels: Mapping[str, Layer]) -> None:
    """Raises ConfigError for the first broken rule."""
    try:
        for rule in _RULES:
            rule(configuration)
    except _BrokenError as broken:
        label = labels.get(broken.key)
        table, _, key = (broken.key if label is None else label.named(broken.key)).rpartition(".")
        raise ConfigError(
            broken.problem, file=broken.place(labels), table=table, key=key, value=broken.value,
            allowed=broken.allowed, nearest=broken.near, remedy=broken.remedy or _default(configuration, broken),
        ) from None


def _default(configuration: Configuration, broken: _BrokenError) -> str:
    """That a setting may be left out, with what holds then; empty when that is what it has."""
    table, _, key = broken.key.rpartition(".")
    name = table.removeprefix("plugins.")
    model: type[BaseModel] | None
    if name != table:
        model = shipped_class(configuration.plugins[name].get("use", name)).Settings if key not in HOST_KEYS else None
    else:
        model = AccountTable if table.startswith("accounts.") else type(getattr(configuration, table))
    line = "" if model is None else default_line(model, key)
    return f"leave it out for the default, {line}" if line and line != f"{key} = {toml_text(broken.value)}" else ""


def scaled_s(seconds_at_15m: float, duration_s: int) -> float:
    """A threshold as it stands in a window of ``duration_s``."""
    return seconds_at_15m * min(duration_s, FULL_WINDOW_S) / FULL_WINDOW_S


def _windows(configuration: Configuration) -> Iterator[tuple[str, int]]:
    return ((name, DURATIONS[name]) for name in configuration.markets.durations if configuration.markets.symbols)


# --- the host's own tables --------------------------------------------------------------------------------------------


def _texts(configuration: Configuration) -> None:
    for key in ("data_dir", "account"):
        if not getattr(configuration.host, key).strip():
            raise _BrokenError(f"host.{key}", "is empty", "", ("a text that is not empty",))
    url = configuration.venue.url
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise _BrokenError("venue.url", "is no address of an exchange", url, ("http://HOST:PORT", "empty"))
    ping = configuration.host.ping_url
    if ping and (urlsplit(ping).scheme not in ("http", "https") or not urlsplit(ping).hostname):
        # Whoever has the address can say that all is well: it is not shown.
        allowed = ("https://HOST/PATH", "empty")
        raise _BrokenError("host.ping_url", "is no address of a health check", "[hidden]", allowed)


def _database(configuration: Configuration) -> None:
    """An address that can be one, and holds no password; a reference is a setting's own matter."""
    given = configuration.host.database
    if isinstance(given, str) and given and (wrong := refused(given)) is not None:
        raise _BrokenError("host.database", wrong.problem, wrong.value, (FORM, *FORMS), remedy=wrong.remedy)


def _accounts(configuration: Configuration) -> None:
    """Modes that go together, and what an account of each mode needs."""
    accounts, host = configuration.accounts, configuration.host
    modes = {name: account.mode for name, account in accounts.items()} or {"": host.mode}
    if accounts and host.mode not in ("sim", *modes.values()):
        raise _BrokenError("host.mode", "each account has a mode of its own", host.mode, ("[accounts.NAME] mode",))
    simulated = [name for name, mode in modes.items() if mode == "sim"]
    if simulated and len(simulated) < len(modes):
        raise _BrokenError(
            f"accounts.{simulated[0]}.mode", "the simulated exchange is no account's beside the venue's", "sim",
            ("paper", "shadow", "live"), remedy="try strategies beside live with mode = \"paper\"",
        )
    if not accounts and host.mode in ("shadow", "live"):
        raise _BrokenError(
            "host.mode", f"{host.mode} needs an account of its own, with its key", host.mode, ("sim", "paper"),
            remedy=f"write [accounts.NAME] with mode = \"{host.mode}\" and key = {{ file = \"PATH\" }}",
        )
    for name, account in accounts.items():
        if account.mode in ("shadow", "live") and not account.key and not configuration.venue.url:
            raise _BrokenError(
                f"accounts.{name}.key", f"a {account.mode} account needs its private key", None, FORMS,
                remedy="say where it is kept, never what it is", cause=f"accounts.{name}.mode",
            )
        if account.cash <= 0:
            raise _BrokenError(f"accounts.{name}.cash", "leaves nothing to trade with", str(account.cash), ("above 0",))
    _one_key_once(configuration)
    _relayers(configuration)


def _one_key_once(configuration: Configuration) -> None:
    """Two accounts that trade with one key would each take the other's orders for foreign ones, or cancel them."""
    seen: dict[str, str] = {}
    for name, account in configuration.accounts.items():
        if account.mode != "live" or not account.key:
            continue
        if (other := seen.setdefault(toml_text(account.key), name)) != name:
            raise _BrokenError(
                f"accounts.{name}.key", f"is the key of accounts.{other} too", toml_text(account.key),
                ("a key of its own",), remedy="one account trades with one key",
            )


def _relayers(configuration: Configuration) -> None:
    """A relayer key is a key with its address, a builder key a key with its secret and passphrase; never a mixture."""
    for name, account in configuration.accounts.items():
        given, where = account.relayer, f"accounts.{name}.relayer"
        if given is None:
            continue
        if not given.key:
            raise _BrokenError(f"{where}.key", "a relayer or builder key needs its key", None, FORMS, remedy=_MADE)
        if given.address and (given.secret or given.passphrase):
            raise _BrokenError(
                f"{where}.address", "goes with a relayer key, secret and passphrase with a builder key",
                _address_shown(given.address), ("no address with a secret",), remedy="write one of the two",
            )
        for one, other in (("secret", "passphrase"), ("passphrase", "secret")):
            if getattr(given, one) and not getattr(given, other):
                raise _BrokenError(
                    f"{where}.{other}", f"a builder key with its {one} needs its {other}", None, FORMS,
                    remedy=f"or take out {one}: a relayer key has neither", cause=f"{where}.{one}",
                )
        if given.address and not _ADDRESS.fullmatch(given.address):
            raise _BrokenError(
                f"{where}.address", "is no address", _address_shown(given.address), ("0x and 40 hexadecimal digits",),
                remedy="or leave it out for the private key's own",
            )


def _address_shown(text: str) -> str:
    """What stands where an address belongs may be a secret, pasted there: shown is what begins like one."""
    return text if _LIKE_AN_ADDRESS.fullmatch(text) else HIDDEN


def _simulated(configuration: Configuration) -> bool:
    """Is the exchange a simulated one? The account's mode says so, or the accounts', which are all of one kind."""
    accounts = configuration.accounts.values()
    return any(each.mode == "sim" for each in accounts) if accounts else configuration.host.mode == "sim"


def _markets(configuration: Configuration) -> None:
    markets = configuration.markets
    for key, names in (("symbols", markets.symbols), ("durations", markets.durations), ("slugs", markets.slugs)):
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise _BrokenError(f"markets.{key}", "names one twice", twice[0], ("each one once",))
    for symbol in markets.symbols:
        if not _SYMBOL.fullmatch(symbol):
            allowed = ("capital letters and digits",)
            near = re.sub("[^A-Z0-9]", "", symbol.upper())
            raise _BrokenError("markets.symbols", "is no symbol", symbol, allowed, near)
        if _simulated(configuration) and symbol not in SIMULATED:
            problem, near = "is no symbol of the simulated exchange", nearest_name(symbol, SIMULATED)
            raise _BrokenError("markets.symbols", problem, symbol, SIMULATED, near)
    for slug in markets.slugs:
        if not _SLUG.fullmatch(slug):
            allowed = ("small letters, digits and hyphens",)
            near = re.sub("[^a-z0-9]+", "-", slug.lower()).strip("-")
            raise _BrokenError("markets.slugs", "is no slug", slug, allowed, near)
    if not markets.slugs and not (markets.symbols and markets.durations):
        key = "symbols" if not markets.symbols else "durations"
        problem, allowed = "is empty: there is nothing to trade", (f"at least one of {key}, or a market in slugs",)
        raise _BrokenError(f"markets.{key}", problem, [], allowed)


def _money(configuration: Configuration) -> None:
    for key in ("window", "symbol", "total"):
        limit = getattr(configuration.limits, key)
        if limit <= 0:
            raise _BrokenError(f"limits.{key}", "leaves no entry possible", str(limit), ("above 0",))
    if configuration.breakers.daily_loss <= 0:
        raise _BrokenError("breakers.daily_loss", "stops every entry before anything is lost", "0", ("above 0",))
    if configuration.safety.hold_above <= 0:
        raise _BrokenError("safety.hold_above", "would hold everything: nothing could be closed", "0", ("above 0",))


def _times(configuration: Configuration) -> None:
    exchange, evaluation, safety = configuration.exchange, configuration.evaluation, configuration.safety
    if exchange.confirmed_ms < exchange.mined_ms:
        problem, allowed = "a trade is mined before it is confirmed", (f"at least mined_ms = {exchange.mined_ms}",)
        raise _BrokenError("exchange.confirmed_ms", problem, exchange.confirmed_ms, allowed)
    paper = configuration.paper
    if paper.min_standing_ms > paper.latency_ms:
        raise _BrokenError(
            "paper.min_standing_ms", "is longer than an order is under way: nothing could ever be hit",
            paper.min_standing_ms, (f"at most latency_ms = {paper.latency_ms}",),
            remedy="or raise [paper] latency_ms", cause="paper.latency_ms",
        )
    if evaluation.plugin_latency_ms >= safety.answer_age_ms_max:
        problem = f"answers this old are dropped (safety.answer_age_ms_max = {safety.answer_age_ms_max})"
        allowed = (f"below {safety.answer_age_ms_max}",)
        remedy = "or raise [safety] answer_age_ms_max"
        raise _BrokenError(
            "evaluation.plugin_latency_ms", problem, evaluation.plugin_latency_ms, allowed, remedy=remedy,
            cause="safety.answer_age_ms_max",
        )
    for name, duration_s in _windows(configuration):
        if evaluation.cadence_ms >= duration_s * 1_000:
            raise _BrokenError(
                "evaluation.cadence_ms", f"a {name} window could end without an evaluation", evaluation.cadence_ms,
                (f"below {duration_s * 1_000}",),
            )
        if scaled_s(safety.close_before_expiry_s, duration_s) >= duration_s:
            raise _BrokenError(
                "safety.close_before_expiry_s", f"leaves no time to hold anything in a {name} window",
                safety.close_before_expiry_s, (f"below {max(duration_s, FULL_WINDOW_S)}",),
            )


# --- plugins ----------------------------------------------------------------------------------------------------------


def _plugin_tables(configuration: Configuration) -> None:
    wanted: dict[str, tuple[type, str]] = {
        "enabled": (bool, "true or false"), "trusted": (bool, "true or false"), "use": (str, "the name of a plugin"),
    }
    for name, table in configuration.plugins.items():
        for key, (kind, words) in wanted.items():
            if key in table and not isinstance(table[key], kind):
                raise _BrokenError(
                    f"plugins.{name}.{key}", "has the wrong type", table[key], (words,), remedy=f"leave {key} out"
                )


def enabled_plugins(configuration: Configuration) -> list[str]:
    """Names of the plugins that run, in order of precedence."""
    return [name for name, table in configuration.plugins.items() if table.get("enabled", True)]


def _combiner(configuration: Configuration) -> None:
    """The trading combiner is a plugin of the configuration, and runs if an entry policy waits for its estimates."""
    combiner, enabled = configuration.evaluation.combiner, enabled_plugins(configuration)
    if combiner not in configuration.plugins:
        allowed = _combiners(configuration)
        near = nearest_name(combiner, allowed)
        raise _BrokenError("evaluation.combiner", "is no plugin of this configuration", combiner, allowed, near)
    if combiner not in enabled:
        for name, _ in _users_of("entry_policy", configuration):
            problem = f"is switched off: {name} could never enter"
            remedy = f"switch it on, [plugins.{combiner}] enabled = true, or name the combiner that trades"
            raise _BrokenError(
                "evaluation.combiner", problem, combiner, _combiners(configuration), remedy=remedy,
                cause=f"plugins.{combiner}.enabled",
            )


def _weights(configuration: Configuration) -> None:
    """A weight of a name that is almost a signal's is a slip: it would never count. Any other may be that of a signal
    to come: nobody knows what plugin_paths and installed distributions offer before it is looked at."""
    for kind, key in VOICES.items():
        for name, settings in _users_of(kind, configuration):
            for signal, weight in getattr(settings, key).items():
                if signal in configuration.plugins or (signal in SHIPPED_PLUGINS and _signals((signal,))):
                    continue
                # Only now: this loads every plugin there is.
                known = _signals(dict.fromkeys((*SHIPPED_PLUGINS, *configuration.plugins)))
                if near := nearest_name(signal, known, SLIP):
                    raise _BrokenError(
                        f"plugins.{name}.{key}.{signal}", "there is no signal of this name", weight, known,
                        near, remedy=f"name it, [plugins.{signal}], or take it out",
                    )


def _signals(names: Iterable[str]) -> tuple[str, ...]:
    """Of names those that could be signals; of plugins that are not built in nobody knows yet."""
    return tuple(name for name in names if name not in SHIPPED_PLUGINS or hasattr(shipped_class(name), "signal"))


def _combiners(configuration: Configuration) -> tuple[str, ...]:
    """Plugins that run and could be the combiner that trades; of those that are not built in nobody knows yet."""
    named = ((name, configuration.plugins[name].get("use", name)) for name in enabled_plugins(configuration))
    return tuple(name for name, kind in named if kind not in SHIPPED_PLUGINS or hasattr(shipped_class(kind), "combine"))


def _entry_times(configuration: Configuration) -> None:
    for name, policy in _users_of("entry_policy", configuration):
        for window, duration_s in _windows(configuration):
            first_s, last_s = scaled_s(policy.not_first_s, duration_s), scaled_s(policy.not_last_s, duration_s)
            if first_s + last_s >= duration_s:
                key = "not_last_s" if policy.not_last_s >= policy.not_first_s else "not_first_s"
                raise _BrokenError(
                    f"plugins.{name}.{key}",
                    f"not in the first {first_s:g} s nor the last {last_s:g} s leaves no time for an entry in a "
                    f"{window} window of {duration_s} s",
                    getattr(policy, key), (f"not_first_s + not_last_s below {max(duration_s, FULL_WINDOW_S)}",),
                )


def _own_rules(configuration: Configuration) -> None:
    """What each plugin's own settings call a contradiction, in windows of every configured length (EXI-11)."""
    running = tuple(_running(configuration))
    first_s = min((settings.not_first_s for _, kind, settings in running if kind == "entry_policy"), default=0.0)
    close_s = configuration.safety.close_before_expiry_s
    for name, _, settings in running:
        for window, duration_s in _windows(configuration):
            setup = Setup(window, duration_s, first_s, close_s, running, FULL_WINDOW_S)
            for found in settings.contradictions(setup):
                raise _BrokenError(
                    f"plugins.{name}.{found.key}", found.problem, told(getattr(settings, found.key)),
                    (found.allowed,) if found.allowed else (),
                    remedy=f"or switch it off: [plugins.{name}] enabled = false",
                )


def told(value: object) -> object:
    """A setting's value as an error shows it: exact quantities as a person writes them."""
    return str(value) if isinstance(value, Price | Money | Shares) else value


def _running(configuration: Configuration) -> Iterator[tuple[str, str, Any]]:
    """(name, class name, settings) of the enabled built-in plugins whose settings are right."""
    for name in enabled_plugins(configuration):
        table = configuration.plugins[name]
        kind = table.get("use", name)
        settings = _settings(kind, {k: v for k, v in table.items() if k not in HOST_KEYS})
        if settings is not None:
            yield name, kind, settings


def _users_of(kind: str, configuration: Configuration) -> Iterator[tuple[str, Any]]:
    """Enabled plugins of one shipped class with their settings; settings that are wrong are told by their builder."""
    return ((name, settings) for name, of, settings in _running(configuration) if of == kind)


def _settings(kind: str, own: Mapping[str, Any]) -> Settings | None:
    try:
        return shipped_class(kind).Settings.model_validate(dict(own))
    except (ValidationError, LookupError):
        # Whoever builds the plugins refuses both, with more words than would fit here.
        return None


_RULES: Final[tuple[Callable[[Configuration], None], ...]] = (
    _texts, _database, _accounts, _markets, _money, _times, _plugin_tables, _combiner, _weights, _entry_times,
    _own_rules,
)
