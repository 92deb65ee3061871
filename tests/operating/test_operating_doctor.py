"""What the doctor says of broken set-ups: each diagnosis as it was read and kept (OPS-02)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from polyhost.cli import main as front
from polyhost.service import doctor
from polyhost.service.checkup.check import Check, Context, Fault, Verdict, failed, ok

from .doctor_setups import SETUPS, diagnoses, snapshot

KEPT: Final = snapshot()


@pytest.fixture(scope="module")
def said() -> dict[str, dict[str, Any]]:
    return {told["name"]: told for told in asyncio.run(diagnoses())}


def test_ops_02_every_set_up_has_a_diagnosis_that_was_read() -> None:
    assert [setup.name for setup in SETUPS] == list(KEPT)
    assert len(SETUPS) > 12


@pytest.mark.parametrize("name", KEPT)
def test_ops_02_a_broken_set_up_is_diagnosed_with_its_remedy(said: dict[str, dict[str, Any]], name: str) -> None:
    """Where it is not: ``python tests/operating/doctor_setups.py``, then read the difference."""
    assert said[name] == KEPT[name]


def test_ops_02_what_fails_has_a_remedy_and_only_a_sound_set_up_passes() -> None:
    for name, told in KEPT.items():
        assert all(check["remedy"] for check in told["checks"] if check["verdict"] == "failed")
        failures = [check for check in told["checks"] if check["verdict"] == "failed"]
        assert bool(failures) == (told["exit_code"] != 0), name
    assert {name for name, told in KEPT.items() if not told["checks"]} == {"healthy"}


def test_ops_02_a_configuration_that_cannot_be_read_is_a_line_with_its_remedy(tmp_path: Path) -> None:
    file = tmp_path / "polyhost.toml"
    file.write_text("[host]\nmdoe = 'sim'\n")
    answer = CliRunner().invoke(front.app, ["doctor", "-c", str(file), "--json"])
    report = json.loads(answer.stdout)
    (line,) = report["checks"]
    assert (answer.exit_code, report["ok"], line["name"], line["verdict"]) == (2, False, "configuration", "failed")
    assert "did you mean 'mode'?" in line["text"]
    assert line["remedy"]


def test_ops_02_a_question_that_breaks_or_hangs_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(context: Context) -> Check:
        raise ZeroDivisionError("a fault of the doctor's own")

    async def hangs(context: Context) -> Check:
        await asyncio.sleep(3_600)
        raise AssertionError

    async def works(context: Context) -> Check:
        return ok("works", "it does")

    monkeypatch.setattr(doctor, "QUESTIONS", {"breaks": breaks, "hangs": hangs, "works": works})
    monkeypatch.setattr(doctor, "WITHIN_S", 0.05)
    subject: Any = None
    found = asyncio.run(doctor.checks(subject))
    assert [(each.name, each.verdict) for each in found] == [
        ("breaks", Verdict.FAILED), ("hangs", Verdict.FAILED), ("works", Verdict.OK),
    ]
    assert "ZeroDivisionError" in found[0].text
    assert "no answer within" in found[1].text
    assert doctor.exit_code(found) == 3


def test_ops_02_the_exit_code_is_of_the_first_fault_in_the_contracts_order() -> None:
    faults = [Fault.HOST, Fault.VENUE, Fault.CONFIGURATION]
    codes = [doctor.exit_code([failed("x", "t", "r", fault) for fault in faults[:count]]) for count in range(4)]
    assert codes == [0, 1, 3, 2]
