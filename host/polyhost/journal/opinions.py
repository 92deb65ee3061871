"""What signals and combiners thought of a market over its evaluations, from the analysis data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from polyhost.journal.migrations import ANALYSIS
from polyhost.journal.opening import inspect, reading
from polyhost.journal.schema import Evaluations, table_of


def opinions_of(path: Path | str, condition_id: str) -> dict[str, dict[str, Any]]:
    """Plugin → what it thought of a market; signals first, then combiners, each in the order of their first answer.

    ``role`` signal or combiner, ``answers`` and ``abstentions`` (counts), ``p_up`` and ``weight`` (of a combiner its
    confidence) of the last answer and ``at`` its market ms, ``lowest`` and ``highest`` p_up, ``missing`` the last
    reason to abstain. Empty where nothing is kept. Raises JournalError for a file that is not ours or damaged.
    """
    file = Path(path)
    if inspect(file, ANALYSIS).version < 1:
        return {}
    found: dict[str, dict[str, dict[str, Any]]] = {"signals": {}, "estimates": {}}
    with reading(file) as connection:
        sql = f'SELECT body FROM "{table_of(Evaluations)}" WHERE market = ? ORDER BY id'
        for (body,) in connection.execute(sql, (condition_id,)):
            row = msgspec.json.decode(body)
            for part, thought in found.items():
                for name, said in row.get(part, {}).items():
                    _count(thought, part, name, said, row.get("at", 0))
    return {**found["signals"], **found["estimates"]}


def _count(thought: dict[str, dict[str, Any]], part: str, name: str, said: Mapping[str, Any], at: int) -> None:
    told = thought.setdefault(name, {
        "role": "signal" if part == "signals" else "combiner", "answers": 0, "abstentions": 0, "p_up": None,
        "weight": None, "at": None, "lowest": None, "highest": None, "missing": "",
    })
    p_up = said.get("p_up")
    if p_up is None:
        told["abstentions"] += 1
        told["missing"] = said.get("abstained", "")
        return
    told["answers"] += 1
    told |= {"p_up": p_up, "weight": said.get("weight", said.get("confidence")), "at": at}
    told["lowest"] = p_up if told["lowest"] is None else min(told["lowest"], p_up)
    told["highest"] = p_up if told["highest"] is None else max(told["highest"], p_up)


def opinion_lines(thought: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """For a person, one line a plugin."""
    return [_line(name, each) for name, each in thought.items()]


def _line(name: str, each: Mapping[str, Any]) -> str:
    if not each["answers"]:
        return f"{each['role']} {name}: no answer, {each['abstentions']} times: {each['missing']}"
    silent = f", {each['abstentions']} abstentions" if each["abstentions"] else ""
    word = "weight" if each["role"] == "signal" else "confidence"
    return (
        f"{each['role']} {name}: p_up {each['p_up']:.3f}, {word} {each['weight']:.3f} at the end; {each['answers']} "
        f"answers from {each['lowest']:.3f} to {each['highest']:.3f}{silent}"
    )
