"""No decision uses the future: data after a moment is altered, and every answer up to it stays the same (EVD-02)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from polyhost.model.events import Evaluated
from polyhost.model.view import View
from polyhost.plugin import Plugin
from polyhost.testing.bench import Answered, Bench, Step, book, spot, trade, wait
from polyhost.testing.host import HostRun, running_host
from polyhost.testing.tapes import TapeBuilder

ENCODE = msgspec.json.Encoder(order="deterministic").encode


def assert_no_lookahead(
    plugin: type[Plugin], settings: Mapping[str, Any] | None = None, *, steps: Sequence[Sequence[Step]] = (),
    cuts: Sequence[float] = (), tape: TapeBuilder | None = None, **bench: Any,
) -> None:
    """The plugin is fed the same past with different futures; its answers about the past must be the same.

    ``steps``: what happens before each evaluation (none given: a walk of two minutes); what follows after each of
    ``cuts`` (fractions of the whole) is turned round. ``tape``: the whole host runs over it and over its altered
    copies instead, and every answer of every plugin and every record up to the cut is compared. ``bench``: as for
    ``Bench``.
    Raises AssertionError naming the first moment whose answer changed.
    """
    if tape is not None:
        _over_a_tape(plugin, settings or {}, tape, cuts or (0.5,))
        return
    path = [list(each) for each in (steps or walk())]
    # Seen once before it counts: what a plugin keeps from one run to the next is then there in all that are compared.
    answers(plugin, settings or {}, path, bench)
    before = answers(plugin, settings or {}, path, bench)
    for cut in cuts or (0.3, 0.6, 0.9):
        first = max(int(len(path) * cut), 1)
        other = path[:first] + [[turned(step) for step in each] for each in path[first:]]
        _same(plugin, before[:first], answers(plugin, settings or {}, other, bench)[:first])
        # And who remembers that other future knows it now.
        _same(plugin, before, answers(plugin, settings or {}, path, bench))


def answers(
    plugin: type[Plugin], settings: Mapping[str, Any], path: Sequence[Sequence[Step]], bench: Mapping[str, Any]
) -> list[bytes]:
    """What a new instance of the plugin answers to each evaluation, as text."""
    made = Bench(plugin, settings, **bench)
    return [said(made.feed(*steps)) for steps in path]


def said(answered: Answered) -> bytes:
    """An answer without its view: equal texts are equal answers."""
    return ENCODE((answered.signal, answered.abstained, answered.estimate, answered.proposals))


def walk(evaluations: int = 40) -> list[list[Step]]:
    """A market with a mind of its own: a path of book, spot price and prints that is the same every time."""
    from polyhost.model.words import Side

    steps: list[list[Step]] = []
    mid, price, number = 5_000, 80_000.0, 12_345
    for _ in range(evaluations):
        number = (1_103_515_245 * number + 12_345) % (1 << 31)
        lean = (number >> 16) % 7 - 3
        mid = min(max(mid + 60 * lean, 1_500), 8_500)
        price *= 1 + 0.0002 * lean
        side = Side.UP if lean >= 0 else Side.DOWN
        quoted = f"{mid / 10_000 - 0.005:.4f}/{mid / 10_000 + 0.005:.4f}"
        steps.append([wait(3.0), spot(round(price, 2), 1.5), trade(side, 10.0 + abs(lean)), book(quoted, depth=3)])
    return steps


def turned(step: Step) -> Step:
    """The same moment of another future: UP and DOWN exchanged, another price of spot."""
    from polyhost.testing.bench import BookStep, ReadingStep, SpotStep, TradeStep
    from polyhost.testing.builders import mirrored

    match step:
        case BookStep():
            flipped = [tuple((10_000 - price, size) for price, size in side) for side in (step.asks, step.bids)]
            return BookStep(mirrored(step.up), flipped[0], flipped[1])
        case SpotStep():
            return SpotStep(step.price * 0.97, step.volume + 5.0)
        case TradeStep():
            return TradeStep(not step.bought_up, step.size * 3)
        case ReadingStep():
            return ReadingStep(msgspec.structs.replace(step.reading, value=-step.reading.value - 1.0))
        case _:
            return step


def _over_a_tape(plugin: type[Plugin], settings: Mapping[str, Any], tape: TapeBuilder, cuts: Sequence[float]) -> None:
    from polyhost.testing.builders import OPENS

    plain = running_host((plugin, settings), tape=tape.write())
    for cut in cuts:
        second = tape.minutes * 60 * cut
        limit = OPENS + round(second * 1_000)
        # In the same place: who looks into the file finds the other future there.
        other = running_host((plugin, settings), tape=tape.altered_after(second, tape.path))
        tape.write()
        for one, two in zip(_until(plain, limit), _until(other, limit), strict=True):
            assert one == two, f"{plugin.name}: with another future after {second:g} s, {one!r} became {two!r}"


def _until(run: HostRun, limit: int) -> list[bytes]:
    answered = [_answer(view, evaluated) for view, evaluated in run.evaluated if view.now <= limit]
    return answered + [ENCODE(record) for record in run.records if record.at <= limit]


def _answer(view: View, evaluated: Evaluated) -> bytes:
    plain = msgspec.structs.replace(evaluated, used=())
    return ENCODE((view.now, plain))


def _same(plugin: type[Plugin], before: Sequence[bytes], after: Sequence[bytes]) -> None:
    for number, (one, two) in enumerate(zip(before, after, strict=True), 1):
        assert one == two, (
            f"{plugin.name} looks ahead: with another future its answer to evaluation {number} changed from "
            f"{one.decode()} to {two.decode()}"
        )
