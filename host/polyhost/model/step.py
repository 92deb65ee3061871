"""What one turn of the kernel gives back."""

from __future__ import annotations

from msgspec import Struct, field

from polyhost.model.commands import Command
from polyhost.model.records import Record


class Step(Struct):
    """Records in order, and commands in order; records are durable before any gated command among them leaves."""

    records: list[Record] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
