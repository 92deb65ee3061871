"""What a run says of itself at its end, in a few lines."""

from __future__ import annotations

from typing import Any

from polyhost.lab.builders import builder_line


def closing_lines(report: dict[str, Any]) -> list[str]:
    """The summary for a person; ``report`` is the summary object."""
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
