"""A first configuration from a few answers: a commented file that says what each of its settings means.

The comments are the settings' own docstrings, so they say what the reference says. What is not in the file has its
default.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from polyhost.configuration.shipped import shipped_class
from polyhost.meanings import meaning
from polyhost.settings import HostTable, LimitsTable, MarketsTable, SafetyTable
from polyhost.wording import default_line, toml_text

DIRECTIONAL: Final = "directional"
STRATEGIES: Final = {
    DIRECTIONAL: "signals, a combiner and entry_policy: the side that is worth more than it costs",
    "grid": "levels that buy a side on its way down, one take-profit for all",
    "pair": "UP and DOWN of one window together when they cost less than they pay",
    "two_sided_quotes": "resting bids on both sides, for the spread and for liquidity rewards",
}
"""What can be switched on, and in a few words what it does."""
OF_DIRECTIONAL: Final = ("entry_policy", "reversal", "scale_in")
"""Plugins that enter by an estimate, or add to such an entry: off when that is not wanted."""
WIDTH: Final = 110
HEAD: Final = """\
#:schema ./polyhost.schema.json
# The configuration of polyhost: `polyhost run` finds it here. What is not said has its default.
#
#   polyhost config check              is all of it right?
#   polyhost config show --origin      what holds, and where it comes from
#   polyhost config schema > polyhost.schema.json      lets an editor complete and check this file
#
# docs/settings.md tells every setting, docs/configuration.md layers, secrets and the machine's own choices.
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person is asked first; the defaults are the built-in ones."""

    symbols: tuple[str, ...] = MarketsTable().symbols
    durations: tuple[str, ...] = MarketsTable().durations
    stake: str = "25"
    """Collateral of each entry of the directional strategy."""
    strategies: tuple[str, ...] = (DIRECTIONAL,)
    notice_env: str = ""
    """The environment variable that holds the address of a service for notices; empty: none."""


def first_file(answers: Answers) -> str:
    """The whole file."""
    return "\n".join([HEAD, *_host(answers), *_plugins(answers)])


def _host(answers: Answers) -> Iterator[str]:
    yield _table("host", HostTable, {}, ("data_dir", "record"))
    markets = {"symbols": list(answers.symbols), "durations": list(answers.durations)}
    yield _table("markets", MarketsTable, markets, ("slugs",))
    yield _table("limits", LimitsTable, {}, ("window", "symbol", "total"))
    yield _table("safety", SafetyTable, {}, ("close_before_expiry_s", "hold_above"))


def _plugins(answers: Answers) -> Iterator[str]:
    if DIRECTIONAL in answers.strategies:
        yield _plugin("entry_policy", {}, ("confidence_min", "edge_min"))
        yield _plugin("fixed_size", {"stake": answers.stake})
    else:
        yield "# Without the directional strategy nothing enters by an estimate, and nothing adds to such an entry.\n"
        for name in OF_DIRECTIONAL:
            yield _plugin(name, {"enabled": False})
    for name in answers.strategies:
        if name != DIRECTIONAL:
            yield _plugin(name, {"enabled": True}, tuple(shipped_class(name).Settings.model_fields))
    if answers.notice_env:
        yield _channel(answers.notice_env)


def _channel(variable: str) -> str:
    kind = shipped_class("apprise_notify")
    return "\n".join([
        f"# {kind.description}",
        "# The address stays out of this file: set the variable before the start, as apprise writes addresses, e.g.",
        f"#   export {variable}='tgram://BOT_TOKEN/CHAT_ID'      (needs: pip install 'polyhost[notify]')",
        "[plugins.apprise_notify.channels.mine]",
        f'urls = [{{ env = "{variable}" }}]',
        'level_min = "warning"  # or info, critical',
        "",
    ])  # fmt: skip


def _plugin(name: str, given: dict[str, Any], told: tuple[str, ...] = ()) -> str:
    kind = shipped_class(name)
    return f"# {kind.description}\n" + _table(f"plugins.{name}", kind.Settings, given, told)


def _table(name: str, model: type[BaseModel], given: dict[str, Any], told: tuple[str, ...]) -> str:
    """A table: what was answered, and below it the settings that are told with their defaults, commented out."""
    lines = [f"[{name}]"]
    for key, value in given.items():
        lines += [*_meaning(model, key), f"{key} = {toml_text(value)}"]
    for key in told:
        lines += [*_meaning(model, key), f"# {default_line(model, key)}"]
    return "\n".join([*lines, ""])


def _meaning(model: type[BaseModel], key: str) -> list[str]:
    text = meaning(model, key).replace("``", "`") if key in model.model_fields else ""
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ")
