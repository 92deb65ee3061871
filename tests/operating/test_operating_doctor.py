"""What the doctor says of broken set-ups: each diagnosis as it was read and kept (OPS-02)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

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
