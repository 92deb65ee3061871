"""The files of an export: CSV for spreadsheets and accountants, Parquet for studies; both a batch at a time."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from polyhost.journal.errors import JournalError
from polyhost.model.money import show_fixed

Kind: TypeAlias = Literal["text", "count", "money", "price", "reference", "time", "flag", "number"]
"""Of a column. money: micro-units (collateral or shares); price: ticks; reference: 1e-8; time: ms UTC; number: a float,
an opinion."""
Columns: TypeAlias = Mapping[str, Kind]
Row: TypeAlias = tuple[Any, ...]
BATCH: Final = 5_000
"""Rows, or numbers of rows, read at once."""
PLACES: Final[dict[Kind, int]] = {"money": 6, "price": 4, "reference": 8}


def write_csv(path: Path, columns: Columns, batches: Iterator[list[Row]]) -> int:
    """As spreadsheets and accountants read it: a header, decimals, ISO times in UTC, true and false, empty for none."""
    shown = [_TEXTS[kind] for kind in columns.values()]
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for batch in batches:
            for row in batch:
                writer.writerow("" if it is None else show(it) for show, it in zip(shown, row, strict=True))
            count += len(batch)
        file.flush()
        os.fsync(file.fileno())
    return count


def _decimal_text(places: int) -> Callable[[Any], str]:
    return lambda value: show_fixed(int(value), places, places)


def _time_text(value: Any) -> str:
    return _time(value).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _time(value: Any) -> datetime:
    # Exact: a float of seconds would not be.
    return _EPOCH + timedelta(milliseconds=int(value))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS: Final[dict[Kind, Callable[[Any], str]]] = {
    **{kind: _decimal_text(places) for kind, places in PLACES.items()},
    "text": str, "count": str, "number": repr, "time": _time_text, "flag": lambda value: "true" if value else "false",
}


# --- Parquet ----------------------------------------------------------------------------------------------------------


def write_parquet(path: Path, columns: Columns, batches: Iterator[list[Row]]) -> int:
    """Typed columns: decimals, times in UTC, booleans. Raises JournalError when polars is not installed."""
    polars = _polars(path)
    kinds: dict[Kind, Any] = {
        **{kind: polars.Decimal(38, places) for kind, places in PLACES.items()},
        "text": polars.String, "count": polars.Int64, "number": polars.Float64, "flag": polars.Boolean,
        "time": polars.Datetime("ms", "UTC"),
    }
    schema = {name: kinds[kind] for name, kind in columns.items()}
    typed = [_VALUES[kind] for kind in columns.values()]
    counted = [0]

    def frames(wanted: Any, predicate: Any, most: Any, size: Any) -> Iterator[Any]:
        """polars asks for all: nothing but the file is made of it."""
        for batch in batches:
            counted[0] += len(batch)
            rows = [[None if it is None else of(it) for of, it in zip(typed, row, strict=True)] for row in batch]
            yield polars.DataFrame(rows, schema=schema, orient="row")

    from polars.io.plugins import register_io_source

    register_io_source(frames, schema=schema).sink_parquet(path, row_group_size=2 * BATCH)
    return counted[0]


def _polars(path: Path) -> Any:
    try:
        import polars
    except ImportError:
        raise JournalError(path, "Parquet needs the library polars", "pip install 'polyhost[analysis]'") from None
    return polars


def _decimal(places: int) -> Callable[[Any], Decimal]:
    return lambda value: Decimal(int(value)).scaleb(-places)


_VALUES: Final[dict[Kind, Callable[[Any], Any]]] = {
    **{kind: _decimal(places) for kind, places in PLACES.items()},
    "text": str, "count": int, "number": float, "time": _time, "flag": bool,
}
WRITERS: Final[dict[str, Callable[[Path, Columns, Iterator[list[Row]]], int]]] = {
    "csv": write_csv, "parquet": write_parquet
}
"""Format → what writes all rows to a file and says how many there were."""
