"""Records as they stand in the journal: tagged JSON, the same bytes for the same record on every machine."""

from __future__ import annotations

from typing import Final, get_args

import msgspec

from polyhost.model.records import Record

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Record)


def _tag(kind: type) -> str:
    tag = msgspec.inspect.type_info(kind).tag  # type: ignore[attr-defined]
    assert isinstance(tag, str)
    return tag


KINDS: Final[dict[type, str]] = {kind: _tag(kind) for kind in get_args(Record)}
"""Tag of every kind of record: the journal's ``kind`` column."""


def encode_record(record: Record) -> bytes:
    """The record's canonical bytes, as they stand in the journal's ``body``."""
    return _ENCODER.encode(record)


def decode_record(body: bytes | str) -> Record:
    """The record that ``encode_record`` wrote. Raises msgspec.DecodeError (ValidationError) for anything else."""
    record: Record = _DECODER.decode(body)
    return record
