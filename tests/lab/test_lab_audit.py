"""SET-02 end to end in virtual time: the simulated venue's account of a market is ours, fees and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from polyhost.kernel import audit
from polyhost.lab.backtest import Backtest
from polyhost.lab.tape import Tape
from polyhost.model.commands import Tell
from polyhost.model.events import PluginTold
from polyhost.model.records import AuditTaken

from .lab_tapes import write
from .test_lab_same_as_run import SETTINGS, Trader, story


class Audited(Trader):
    """Hears of audits, too."""

    told_hooks = frozenset({"on_audit"})

    def __init__(self) -> None:
        self.reports: list[object] = []

    def tell(self, command: Tell) -> list[PluginTold]:
        self.reports.append(command.what)
        return []


def test_set_02_bought_sold_stopped_and_settled_the_venue_says_what_we_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "AUDIT_AFTER_MS", 1_000)
    plugins = Audited()
    run = Backtest(SETTINGS, plugins)
    run.run([Tape(write(tmp_path / "story.jsonl", story()))])
    reports = [record for _, record in run.journal.read() if isinstance(record, AuditTaken)]
    assert plugins.reports == reports
    assert len(reports) == 2
    assert all(report.ours for report in reports)
    assert [abs(report.ours - report.theirs) <= 1 for report in reports] == [True, True], reports
