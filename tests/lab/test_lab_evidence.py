"""docs/evidence.md: its figures come out again, and the command that wrote it is the one it names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from polyhost.lab import evidence
from polyhost.lab.evidence import RECORDINGS, recorded, traded

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "evidence.md"
SHIPPED = ROOT / "config" / "polyhost.toml"
AGAIN = "its figures differ now: python -m polyhost.lab.evidence TAPES -c config/polyhost.toml > docs/evidence.md"


def test_evd_05_the_page_has_every_recording_and_says_what_it_cannot_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for each in RECORDINGS:
        assert f"## {each.title}" in text
    assert "What this sample can and can't say" in text
    assert "python -m polyhost.lab.evidence TAPES" in text


@pytest.mark.parametrize("name", ["polybot", "frederick"])
def test_evd_05_the_page_tells_what_comes_out_again(name: str, recording: Callable[[str], Path]) -> None:
    """The two smallest recordings; the others take minutes."""
    text = PAGE.read_text(encoding="utf-8")
    assert "\n".join(recorded(recording(name), SHIPPED)).strip() in text, AGAIN


def test_evd_05_the_page_tells_how_the_recorded_trades_score(recording: Callable[[str], Path]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert traded(recording("calibration_trades").parent).strip() in text, AGAIN


def test_exits_for_one_reason_are_counted_together() -> None:
    found = evidence.FIGURES.sub("…", "40 s left, DOWN at 0.45, below 0.9")
    assert found == evidence.FIGURES.sub("…", "41 s left, UP at 0.815, below 0.9") == "… s left, … at …, below …"


def test_every_strategy_says_what_the_evidence_says() -> None:
    sections = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert [text.partition("\n")[0] for text in sections if "**Evidence.**" not in text] == []
