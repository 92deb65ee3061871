"""Optional feeds in the kernel: the newest value a source and name, with age, and nobody is woken (CON-17)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polyhost.kernel.readings import Readings
from polyhost.model.reading import NAMES_MAX, SOURCES_MAX, Reading

from .rig import START, Rig

NOW = 1_800_000_000_000


def ready() -> Rig:
    """A minute into the window, with a book."""
    rig = Rig()
    rig.to(START + 60_000)
    rig.book()
    return rig


def test_con_17_a_view_shows_the_newest_value_of_each_source_and_name() -> None:
    rig = ready()
    kernel = rig.kernel
    assert kernel.reading("futures", "funding.BTC", 0.0001, rig.now - 500, rig.now)
    assert kernel.reading("futures", "funding.BTC", 0.0002, rig.now - 400, rig.now)
    assert kernel.reading("other", "funding.BTC", 0.0003, rig.now - 450, rig.now)
    told = rig.now
    view = rig.ask().view
    assert view.feeds == (
        Reading("funding.BTC", 0.0002, told - 400, "futures"), Reading("funding.BTC", 0.0003, told - 450, "other"),
    )
    newest = view.reading("funding.BTC", 60_000)
    assert newest is not None
    assert (newest.value, newest.source) == (0.0002, "futures")


def test_con_17_a_reading_is_told_up_to_its_age_and_not_beyond() -> None:
    rig = ready()
    rig.kernel.reading("index", "fear_greed", 20.0, rig.now, rig.now)
    told = rig.now
    view = rig.ask().view
    age = view.now - told
    assert age > 0
    assert view.reading("fear_greed", age) is not None
    assert view.reading("fear_greed", age - 1) is None
    assert view.reading("greed_fear", age) is None


def test_con_17_without_feeds_a_view_has_none() -> None:
    rig = ready()
    view = rig.ask().view
    assert view.feeds == ()
    assert view.reading("funding.BTC", 1 << 40) is None


def test_con_17_a_reading_wakes_nobody_and_sets_no_deadline() -> None:
    rig = ready()
    rig.ask()
    before = (rig.kernel.next_market_due, rig.kernel.next_wall_due, rig.kernel.evaluations)
    records, commands = len(rig.records), len(rig.commands)
    for value in range(1_000):
        rig.kernel.reading("flood", "x", float(value), 0, rig.now)
    step = rig.kernel.turn(rig.now, rig.now)
    assert (step.records, step.commands) == ([], [])
    assert (rig.kernel.next_market_due, rig.kernel.next_wall_due, rig.kernel.evaluations) == before
    assert (len(rig.records), len(rig.commands)) == (records, commands)


def test_con_17_an_older_value_does_not_replace_a_newer_one() -> None:
    readings = Readings()
    assert readings.tell("s", "a", 1.0, NOW - 10, NOW)
    assert not readings.tell("s", "a", 2.0, NOW - 11, NOW)
    assert readings.shown() == (Reading("a", 1.0, NOW - 10, "s"),)
    assert readings.tell("s", "a", 3.0, NOW - 10, NOW)
    assert readings.shown() == (Reading("a", 3.0, NOW - 10, "s"),)


def test_con_17_no_reading_comes_from_the_future_and_an_undated_one_is_of_now() -> None:
    readings = Readings()
    readings.tell("s", "ahead", 1.0, NOW + 1, NOW)
    readings.tell("s", "undated", 1.0, 0, NOW)
    assert [reading.at for reading in readings.shown()] == [NOW, NOW]


def test_con_17_what_is_no_reading_is_not_taken() -> None:
    readings = Readings()
    assert not readings.tell("s", "a", float("nan"), NOW, NOW)
    assert not readings.tell("s", "a b", 1.0, NOW, NOW)
    assert readings.shown() == ()


def test_con_17_the_tuple_is_shared_until_a_value_changes() -> None:
    readings = Readings()
    readings.tell("s", "a", 1.0, NOW, NOW)
    first = readings.shown()
    assert readings.shown() is first
    readings.tell("s", "a", 2.0, NOW + 1, NOW + 1)
    assert readings.shown() is not first


NAMES = st.text("abc", min_size=1, max_size=3)


@given(st.lists(st.tuples(NAMES, NAMES, st.floats(), st.integers(0, NOW + 100)), max_size=40))
def test_con_17_whatever_is_told_stays_bounded_finite_and_never_ahead(told: list[tuple[str, str, float, int]]) -> None:
    readings = Readings()
    for source, name, value, at in told:
        readings.tell(source, name, value, at, NOW)
    shown = readings.shown()
    assert len({(reading.source, reading.name) for reading in shown}) == len(shown)
    assert all(reading.at <= NOW and abs(reading.value) < float("inf") for reading in shown)


def test_con_17_a_source_of_ever_new_names_crowds_out_only_its_own() -> None:
    readings = Readings()
    readings.tell("quiet", "a", 1.0, NOW, NOW)
    for number in range(NAMES_MAX + 5):
        readings.tell("flood", f"n{number}", 1.0, NOW, NOW)
    names = [reading.name for reading in readings.shown()]
    assert names[:2] == ["a", "n5"]
    assert len(names) == NAMES_MAX + 1


def test_con_17_ever_new_sources_take_no_more_room() -> None:
    readings = Readings()
    for number in range(SOURCES_MAX + 1):
        readings.tell(f"s{number}", "a", 1.0, NOW, NOW)
    assert [reading.source for reading in readings.shown()] == [f"s{n}" for n in range(1, SOURCES_MAX + 1)]
