"""``exchange serve --pathology``, ``[exchange] pathologies`` and what the exchange of a run gets of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.configuration import load_configuration
from polyhost.errors import ConfigError
from polyhost.exchange.pathologies import BY_NAME
from polyhost.service.exchange_launch import environment
from polyhost.service.exchange_pathologies import USABLE, all_pathologies, pathologies_of
from polyhost.service.exchange_settings import offered_symbols, server_settings


def test_a_name_alone_has_its_default_probability() -> None:
    assert pathologies_of(["ws_gap", "ghost_fill=0.25", "rate_limit=0"]) == {
        "ws_gap": BY_NAME["ws_gap"].probability, "ghost_fill": 0.25, "rate_limit": 0.0,
    }


def test_cfg_a_wrong_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'ghost_fill'") as refused:
        pathologies_of(["ghost_fil=1"])
    assert (refused.value.key, refused.value.exit_code) == ("pathologies", 2)


@pytest.mark.parametrize("text", ["often", "1.1", "-0.1", "", "nan"])
def test_cfg_what_is_no_probability_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a number from 0 to 1"):
        pathologies_of([f"ghost_fill={text}"])


def test_a_pathology_of_the_hosts_own_disk_is_none_of_the_exchange() -> None:
    with pytest.raises(ConfigError, match="only of simulations"):
        pathologies_of(["disk_full"])
    assert len(USABLE) == 31


def test_cfg_the_file_takes_names_and_probabilities(tmp_path: Path) -> None:
    file = tmp_path / "polyhost.toml"
    file.write_text("[exchange]\npathologies = { ghost_fill = 0.5, ws_gap = 1 }\n")
    loaded = load_configuration(file, env={})
    served = server_settings(loaded.configuration, offered_symbols(loaded)).pathologies
    assert {name: chance for name, chance in served.items() if chance} == {"ghost_fill": 0.5, "ws_gap": 1.0}


def test_cfg_a_probability_above_1_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "polyhost.toml"
    file.write_text("[exchange]\npathologies = { ghost_fill = 1.5 }\n")
    with pytest.raises(ConfigError, match="ghost_fill"):
        load_configuration(file, env={})


def test_the_exchange_of_a_run_gets_exactly_the_runs_pathologies(tmp_path: Path) -> None:
    """Its own folder may hold another configuration: what is off in the run is switched off there."""
    mine, other = tmp_path / "mine.toml", tmp_path / "other.toml"
    mine.write_text("[exchange]\npathologies = { ghost_fill = 0.5 }\n")
    other.write_text("[exchange]\npathologies = { rate_limit = 1 }\n")
    settings = load_configuration(mine, env={}).configuration
    handed = {name: text for name, text in environment(settings).items() if name.startswith("POLYHOST__")}
    theirs = load_configuration(other, env=handed).configuration
    assert all_pathologies(theirs) == all_pathologies(settings)
    assert all_pathologies(theirs)["ghost_fill"] == 0.5
    assert not all_pathologies(theirs)["rate_limit"]
