"""The series: their windows in time and their names, over changes of the Eastern clock."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyhost.model.series import (
    DAY,
    DURATIONS,
    HOUR,
    eastern,
    repeats,
    window_at,
    window_of,
    window_slug,
    window_slugs,
    windows_from,
)

FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1_000) for year in (2025, 2032))
INSTANTS = st.integers(FIRST, LAST)
SERIES = st.sampled_from(sorted(DURATIONS.values()))


def ms(text: str) -> int:
    """``2026-11-01T05:00Z`` in market ms."""
    return int(datetime.fromisoformat(text).timestamp() * 1_000)


@given(INSTANTS)
def test_con_08_eastern_time_is_new_yorks(at: int) -> None:
    try:
        zone = ZoneInfo("America/New_York")
    except ZoneInfoNotFoundError:  # the host does without it
        pytest.skip("no time zone data on this machine")
    assert eastern(at) == datetime.fromtimestamp(at // 1_000, zone).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("duration", "at", "start", "end"),
    [
        ("5m", "2026-11-21T12:04:59Z", "2026-11-21T12:00Z", "2026-11-21T12:05Z"),
        ("15m", "2026-11-21T12:15:00Z", "2026-11-21T12:15Z", "2026-11-21T12:30Z"),
        ("1h", "2026-11-21T12:59:59Z", "2026-11-21T12:00Z", "2026-11-21T13:00Z"),
        ("4h", "2026-11-21T15:59:59Z", "2026-11-21T12:00Z", "2026-11-21T16:00Z"),
        ("1d", "2026-11-21T16:59:59Z", "2026-11-20T17:00Z", "2026-11-21T17:00Z"),
        ("1d", "2026-11-21T17:00:00Z", "2026-11-21T17:00Z", "2026-11-22T17:00Z"),
        ("1d", "2026-07-04T12:00:00Z", "2026-07-03T16:00Z", "2026-07-04T16:00Z"),
        ("1d", "2026-03-08T12:00:00Z", "2026-03-07T17:00Z", "2026-03-08T16:00Z"),
        ("1d", "2026-11-01T12:00:00Z", "2026-10-31T16:00Z", "2026-11-01T17:00Z"),
    ],
)
def test_con_08_the_window_that_runs(duration: str, at: str, start: str, end: str) -> None:
    """A day of the simulated clock change has 23 or 25 hours."""
    assert window_at(DURATIONS[duration], ms(at)) == (ms(start), ms(end))


@given(SERIES, INSTANTS)
def test_con_08_windows_follow_each_other_without_a_gap(duration_s: int, at: int) -> None:
    spans = windows_from(duration_s, at, 4)
    assert spans[0][0] <= at < spans[0][1]
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert spans[-1] == window_at(duration_s, spans[-1][1] - 1)


@pytest.mark.parametrize(
    ("symbol", "duration", "start", "slugs"),
    [
        ("BTC", "5m", "2026-03-12T09:20Z", ["btc-updown-5m-1773307200"]),
        ("SOL", "15m", "2026-04-16T07:00Z", ["sol-updown-15m-1776322800"]),
        ("ETH", "4h", "2026-05-28T04:00Z", ["eth-updown-4h-1779940800"]),
        (
            "ETH", "1h", "2026-09-21T00:00Z",
            ["ethereum-up-or-down-september-20-2026-8pm-et", "ethereum-up-or-down-september-20-8pm-et"],
        ),
        (
            "XRP", "1h", "2026-01-05T05:00Z",
            ["xrp-up-or-down-january-5-2026-12am-et", "xrp-up-or-down-january-5-12am-et"],
        ),
        (
            "SOL", "1h", "2026-01-05T17:00Z",
            ["solana-up-or-down-january-5-2026-12pm-et", "solana-up-or-down-january-5-12pm-et"],
        ),
        (
            "BTC", "1d", "2026-09-18T16:00Z",
            ["bitcoin-up-or-down-on-september-19-2026", "bitcoin-up-or-down-on-september-19"],
        ),
        ("BTC", "1d", "2026-12-31T17:00Z", ["bitcoin-up-or-down-on-january-1-2027", "bitcoin-up-or-down-on-january-1"]),
    ],
)  # fmt: skip
def test_con_08_slugs_are_the_venues(symbol: str, duration: str, start: str, slugs: list[str]) -> None:
    """As read in listings of 2026: hours and days are named in Eastern time, a day by the date on which it ends."""
    assert list(window_slugs(symbol, DURATIONS[duration], ms(start))) == slugs
    named = window_of(slugs[0])
    assert named is not None
    assert (named.symbol, named.duration_s, named.start) == (symbol, DURATIONS[duration], ms(start))


@given(st.sampled_from(["BTC", "ETH", "SOL", "XRP", "DOGE", "HYPE"]), SERIES, INSTANTS)
def test_a_slug_says_its_window_again(symbol: str, duration_s: int, at: int) -> None:
    start, _ = window_at(duration_s, at)
    named = window_of(window_slug(symbol, duration_s, start))
    assert named is not None
    first = start - HOUR * 1_000 if repeats(duration_s, start) else start
    assert (named.symbol, named.duration_s, named.start) == (symbol, duration_s, first)
    for slug in window_slugs(symbol, duration_s, start)[1:]:
        short = window_of(slug)
        assert short is not None
        assert (short.symbol, short.duration_s, short.start) == (symbol, duration_s, None)


def test_con_08_two_hours_of_a_year_have_one_name() -> None:
    hours = windows_from(HOUR, ms("2026-11-01T04:00Z"), 4)
    names = [window_slug("BTC", HOUR, start) for start, _ in hours]
    assert names[1] == names[2] == "bitcoin-up-or-down-november-1-2026-1am-et"
    assert [repeats(HOUR, start) for start, _ in hours] == [False, False, True, False]
    march = [window_slug("BTC", HOUR, start)[-9:] for start, _ in windows_from(HOUR, ms("2026-03-08T06:00Z"), 2)]
    assert march == ["26-1am-et", "26-3am-et"]


@pytest.mark.parametrize(
    "slug",
    [
        "will-it-rain", "btc-updown-1h-1779940800", "bitcoin-up-or-down-on-february-30-2026",
        "bitcoin-up-or-down-may-27-2026", "bitcoin-up-or-down-may-27-2026-13pm-et",
        "bitcoin-up-or-down-on-may-27-2026-3pm-et", "bitcoin-above-64k-on-june-4-2026-539",
    ],
)  # fmt: skip
def test_what_is_no_windows_slug(slug: str) -> None:
    assert window_of(slug) is None


def test_a_number_behind_a_name_is_the_venues_own() -> None:
    named = window_of("bitcoin-up-or-down-november-1-2026-1am-et-2")
    assert named is not None
    assert named.start == ms("2026-11-01T05:00Z")
    daily = window_of("bitcoin-up-or-down-on-may-27-2026-738")
    assert daily is not None
    assert (daily.duration_s, daily.start) == (DAY, ms("2026-05-26T16:00Z"))
