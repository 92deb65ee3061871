"""The unit, the environment and the container file name what there is (OPS-01). Nothing is built or installed here."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path
from typing import Final

import pytest
import typer.main

from polyhost.cli import main as front
from polyhost.configuration import load_configuration
from polyhost.service.account_end import KILL_WITHIN_S
from polyhost.service.presence import OWN
from polyhost.service.session import Session

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "config" / "deploy"


def unit() -> configparser.ConfigParser:
    """Keys that come several times are kept apart by nothing here: each of ours comes once."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "polyhost.service")
    return parser


def steps() -> list[tuple[str, str]]:
    """(instruction, its text) of the container file, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Containerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def told(instruction: str) -> list[str]:
    return [text for name, text in steps() if name == instruction]


def is_a_command(words: list[str]) -> None:
    """These words call a command that exists, with options that it has."""
    command = front.load(words[0])
    rest = words[1:]
    if front.COMMANDS[words[0]].group:
        command, rest = command.commands[rest[0]], rest[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= options, words


def test_ops_01_the_unit_starts_what_there_is_and_stops_it_gracefully() -> None:
    service = unit()["Service"]
    for key in ("ExecStartPre", "ExecStart"):
        program, *words = shlex.split(service[key])
        assert program.endswith("/bin/polyhost")
        is_a_command(words)
    assert service["Type"] == "notify", "it says READY itself"
    assert service["KillSignal"] == "SIGTERM"
    assert service["User"] not in ("", "root")
    assert float(service["TimeoutStopSec"]) > KILL_WITHIN_S, "a kill has its time"
    assert service["RestartPreventExitStatus"].split() == ["2", "4"]
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0", "an outage longer than some starts is no reason to stay down"
    assert unit()["Install"]["WantedBy"] == "multi-user.target"


def test_ops_01_the_watchdog_leaves_the_supervisor_its_time() -> None:
    """A loop that is silent is started again long before the whole process would be."""
    from polyhost.service import account_loops

    limits = [account_loops.KERNEL_SILENT_S, account_loops.OPERATOR_SILENT_S, account_loops.EXITS_LATE_S]
    assert len(limits) == len(OWN - {"supervisor"})
    assert float(unit()["Service"]["WatchdogSec"]) > 2 * max(limits)


def test_ops_01_the_example_environment_is_one(tmp_path: Path) -> None:
    lines = (DEPLOY / "polyhost.env.example").read_text().splitlines()
    named = dict(
        line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"(# )?[A-Z_]+=", line)
    )
    assert set(named) == {"POLYHOST__HOST__DATA_DIR", "POLYHOST__HOST__PING_URL", "TELEGRAM_URL"}
    loaded = load_configuration(None, env=named)
    assert loaded.configuration.host.ping_url == "https://hc-ping.com/your-uuid"


def test_ops_01_the_container_is_no_root_and_copies_what_there_is() -> None:
    names = [name for name, _ in steps()]
    last = len(names) - 1 - names[::-1].index("FROM")
    assert "USER" in names[last:]
    assert told("USER") == ["polyhost"]
    assert names.index("USER") < names.index("ENTRYPOINT")
    for text in told("COPY"):
        sources = [word for word in text.split()[:-1] if not word.startswith("--")]
        assert sources
        if "--from" not in text:
            assert all((ROOT / source).exists() for source in sources), text
    assert told("STOPSIGNAL") == ["SIGTERM"]


@pytest.mark.parametrize("instruction", ["HEALTHCHECK", "CMD"])
def test_ops_01_the_containers_commands_exist(instruction: str) -> None:
    (text,) = told(instruction)
    words = json.loads(text[text.index("[") :])
    assert json.loads(told("ENTRYPOINT")[0]) == ["polyhost"]
    is_a_command(words[words[0] == "polyhost" :])
    assert typer.main.get_group(front.app) is not None


def test_ops_01_everything_that_is_started_here_is_the_session_that_says_how_it_is() -> None:
    assert callable(Session.conditions)
