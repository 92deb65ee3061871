"""What every built-in plugin keeps to: the public surface, documented settings, answers that the host accepts."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from favourite import Favourite
from plugin_builders import made, position, steady_candles, steady_mids, view

import polyhost
import polyhost_plugins
from polyhost import Bias, Enter, Estimate, Plugin, Settings, Side, Signal
from polyhost.configuration.shipped import SHIPPED_PLUGINS, shipped_class
from polyhost.extension.answers import checked, listed
from polyhost.extension.specification import implementations
from polyhost.meanings import meaning

FOLDER = Path(polyhost_plugins.__file__).parent
FILES = sorted(FOLDER.glob("*.py"))
OUTSIDE = {"polyhost", "pydantic", "talipp"}
"""Besides the standard library."""


@pytest.mark.parametrize("file", [*FILES, Path(__file__).with_name("favourite.py")], ids=lambda file: file.stem)
def test_plg_01_a_plugin_imports_only_the_public_surface(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert node.level == 0, f"{file.name} imports a neighbour"
            top = module.partition(".")[0]
            assert top in OUTSIDE or top in sys.stdlib_module_names, module
            assert top != "polyhost" or module == top
            if module == "polyhost":
                assert {name.name for name in node.names} <= set(polyhost.__all__)
        elif isinstance(node, ast.Import):
            assert {name.name.partition(".")[0] for name in node.names} <= sys.stdlib_module_names


def test_each_built_in_plugin_has_a_module_of_its_name() -> None:
    assert {file.stem for file in FILES} - {"__init__"} == set(SHIPPED_PLUGINS)


@pytest.mark.parametrize("name", SHIPPED_PLUGINS)
def test_plg_02_each_plugin_is_documented_and_its_hooks_fit_the_contract(name: str) -> None:
    kind = shipped_class(name)
    assert issubclass(kind, Plugin)
    assert issubclass(kind.Settings, Settings)
    assert kind.name == name
    assert kind.description.endswith(".")
    assert all(meaning(kind.Settings, key) for key in kind.Settings.model_fields)
    assert implementations(made(kind), name)


def answers() -> list[tuple[str, object]]:
    """One answer of each kind that the shipped plugins give."""
    candles = steady_candles(300, start=100.0, move=0.002, over_s=300)
    mids = steady_mids(300, change=0.2, over_s=300)
    seen = view(300, up="0.69/0.71", spot=100.2, spot_open=100.0, candles=candles, mids=mids)
    plugins = {name: made(shipped_class(name)) for name in SHIPPED_PLUGINS}
    ask = {hook: bound for plugin in plugins.values() for hook, bound in [(plugin.name, plugin)]}
    spot: Signal = ask["binance_momentum"].signal(seen)  # type: ignore[attr-defined]
    market: Signal = ask["polymarket_momentum"].signal(seen)  # type: ignore[attr-defined]
    late = view(880, up="0.30/0.31")
    sure = Estimate(0.9, 0.8, Bias.UP)
    return [
        ("signal", spot),
        ("signal", market),
        *(("signal", ask[name].signal(seen)) for name in ("indicators", "order_flow", "divergence")),  # type: ignore[attr-defined]
        ("combine", ask["additive"].combine(seen, (("binance_momentum", spot),))),  # type: ignore[attr-defined]
        ("combine", ask["bayesian"].combine(seen, (("binance_momentum", spot),))),  # type: ignore[attr-defined]
        ("entry", ask["entry_policy"].entry(seen, sure)),  # type: ignore[attr-defined]
        ("entry", ask["entry_policy"].entry(late, sure)),  # type: ignore[attr-defined]
        ("size", ask["fixed_size"].size(seen, Enter(Side.UP, 5_000))),  # type: ignore[attr-defined]
        ("exit", ask["exit_plan"].exit(seen, position())),  # type: ignore[attr-defined]
        ("exit", ask["expiry_guard"].exit(late, position())),  # type: ignore[attr-defined]
        ("exit", ask["expiry_guard"].exit(view(880, up="0.95/0.96"), position())),  # type: ignore[attr-defined]
        ("propose", made(Favourite).propose(view(880), ())),
    ]


def test_every_answer_of_the_plugins_passes_the_hosts_own_check() -> None:
    for hook, answer in answers():
        assert answer is not None
        several = listed(hook, answer) if hook in ("entry", "exit", "propose") else (answer,)
        for one in several:
            assert checked(hook, one) == one
