"""What a run says of itself at its end, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polyhost.lab.builders import builder_line


def _of_account(own: Mapping[str, Any]) -> list[str]:
    """One account of several: its summary, or why there is none."""
    problem = own["problem"]
    return closing_lines(own) if problem is None else [f"ENDED ({own['mode']}): {problem['text']}"]


def closing_lines(report: Mapping[str, Any]) -> list[str]:
    """The summary for a person; ``report`` is the summary object."""
    if "accounts" in report:
        return [f"{name}: {line}" for name, own in report["accounts"].items() for line in _of_account(own)]
    wall = report["wall"]
    lines = [
        (
            f"windows settled {report['windows']}, evaluations {report['evaluations']}, orders {report['orders']}, "
            f"fills {report['fills']}, positions open {report['positions_open']}, orphans {report['orphans']}"
        ),
        (
            f"cash {report['cash_start']} -> {report['cash_end']} (unredeemed {report['unredeemed']}), "
            f"P&L {report['pnl']['central']}, fees {report['fees']}"
        ),
    ]
    if report["builder"] is not None:
        lines.append(builder_line(report["builder"]))
    lines += [f"still open: {line}" for line in wall.get("left_open", ())]
    if "speed_effective" in wall:
        lines.append(f"{wall['duration_s']:.1f} s at effective speed {wall['speed_effective']:g}")
    broken = report["invariants"]["broken_names"]
    checked = report["invariants"]["checked"]
    lines.append(f"invariants: {checked} checked, broken: {', '.join(broken) if broken else 'none'}")
    return lines
