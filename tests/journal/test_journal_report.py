"""PER-03: a report is the same of a journal in a file and of one in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from polyhost.journal import JournalStore
from polyhost.lab.report import reported
from polyhost.service.why import windows

from ..kernel.rig import START, Rig
from ..lab.test_lab_report import round_trip, sums


def test_per_03_a_report_is_of_either_kind_of_journal(journal_path: Path) -> None:
    rig = Rig()
    rig.to(START + 60_000)
    rig.book("0.40/0.42")
    round_trip(rig)
    journal_path.parent.mkdir(exist_ok=True)
    store = JournalStore(journal_path, "main")
    store.commit(rig.records)
    report = reported(journal_path.parent, windows)
    store.close()
    assert report["records"] == len(rig.records)
    assert len(set(sums(report).values())) == 1
    assert [each["slug"] for each in report["worst"]] == [rig.market.slug]
