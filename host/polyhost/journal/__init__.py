"""What is kept: the journal (truth), its projections, analysis data, and recordings of the kernel's inputs.

Nothing here knows the kernel: records come in, records go out.
"""

from __future__ import annotations

import polyhost.journal.light_peewee  # noqa: F401 before anything imports peewee
from polyhost.files import write_atomically
from polyhost.journal.codec import decode_record, encode_record
from polyhost.journal.errors import JournalError, RecordingError
from polyhost.journal.memory import MemoryJournal
from polyhost.journal.port import JournalPort
from polyhost.journal.recording import CandleInput, PriceInput, Recorder, recordings
from polyhost.journal.recovery import read_journal
from polyhost.journal.replaying import FeedInput, RecordingReader, runs
from polyhost.journal.status import ANALYSIS_FILE, JOURNAL_FILE, DatabaseStatus, journal_status
from polyhost.journal.store import JournalStore
from polyhost.journal.writer import JournalWriter

__all__ = [
    "ANALYSIS_FILE",
    "JOURNAL_FILE",
    "CandleInput",
    "DatabaseStatus",
    "FeedInput",
    "JournalError",
    "JournalPort",
    "JournalStore",
    "JournalWriter",
    "MemoryJournal",
    "PriceInput",
    "Recorder",
    "RecordingError",
    "RecordingReader",
    "decode_record",
    "encode_record",
    "journal_status",
    "read_journal",
    "recordings",
    "runs",
    "write_atomically",
]
