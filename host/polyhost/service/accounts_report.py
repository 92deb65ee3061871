"""The summary of a host with several accounts: each one's own object under its name, and what adds up above them.

Counts and invariants add up. Money does not: one account's may be paper and another's real.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from polyhost import __version__

COUNTS: Final = ("evaluations", "orders", "fills", "positions_open", "orphans")
"""Counts that are the sum of the accounts'."""


class Failed(Struct, frozen=True):
    """An account that did not come to its end."""

    problem: str
    exit_code: int
    """What a run of this account alone would have ended with."""


def together(
    modes: Mapping[str, str], reports: Mapping[str, Mapping[str, Any]], failed: Mapping[str, Failed]
) -> dict[str, Any]:
    """One object: ``accounts{NAME: its summary with mode and problem}``, and the sums. ``windows`` counts each window
    once, whoever traded it."""
    accounts: dict[str, Any] = {}
    for name, mode in modes.items():
        given: Mapping[str, Any] = reports.get(name, {})
        problem = None if name not in failed else {"text": failed[name].problem, "exit_code": failed[name].exit_code}
        accounts[name] = {"mode": mode, "problem": problem, **given}
    settled = {
        row["condition_id"] for given in reports.values() for row in given["by_window"] if row["outcome"] is not None
    }
    broken = [
        f"{name}: {each}" for name, given in reports.items() for each in given["invariants"]["broken_names"]
    ]
    checked = sum(given["invariants"]["checked"] for given in reports.values())
    return {
        "windows": len(settled),
        **{key: sum(given[key] for given in reports.values()) for key in COUNTS},
        "invariants": {"checked": checked, "broken": len(broken), "broken_names": broken},
        "accounts": accounts,
        "version": __version__,
        "wall": {
            "duration_s": max((given["wall"]["duration_s"] for given in reports.values()), default=0.0),
            "killed": any(given["wall"]["killed"] for given in reports.values()),
        },
    }
