"""What another configuration would have decided: a recorded run's market, once with each of two (EVD-04).

Both passes are backtests over the recording, with simulated fills and an account that begins with the run's collateral
and without what plugins learned before, so that whatever differs comes of the configuration alone. What the run really
made stands beside them: it was filled by its own venue.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from polyhost.journal import CandleInput, FeedInput, PriceInput, RecordingReader
from polyhost.kernel.state import State, fold
from polyhost.lab.backtest import Backtest, rare_collections
from polyhost.lab.replay import Journaled
from polyhost.lab.summary import market_pnl
from polyhost.lab.tape import Line, TapeMessage
from polyhost.model.events import (
    BalanceSeen,
    MarketClosed,
    MarketFound,
    MarketResolved,
    Operator,
    StreamChanged,
    StrikeSeen,
)
from polyhost.model.money import Micros, micros, money_text, price_text, size_text
from polyhost.model.quantities import Money
from polyhost.model.reading import VENUE_SOURCES
from polyhost.model.records import OrderIntended
from polyhost.model.times import moment_text
from polyhost.model.words import Action
from polyhost.settings import Configuration

OWN: Final = "own"
OTHER: Final = "other"
SHOWN_MAX: Final = 12
"""Differing decisions of one window that are shown to people; JSON has all."""
_MESSAGE: Final = msgspec.json.Decoder(TapeMessage)


class Decision(Struct, frozen=True):
    """An order that one configuration wanted and the other did not, then and there."""

    at: int
    """Market ms."""
    only: str
    """Who wanted it: ``own`` or ``other``."""
    purpose: str
    what: str
    """The order in a trader's words."""
    money: str
    """Collateral: what a purchase may cost at most, fees included; what a sale asks for."""
    plugin: str
    reason: str


class RecordedMarket(Backtest):
    """One pass over a recording: the market's side of it is played, our own orders are the configuration's."""

    def hear(self, payload: object, now: int) -> None:
        """The next input of the recorded run. What only that run's orders caused is left out."""
        self._begin(now)
        now = max(now, self._now)
        match payload:
            case FeedInput(source="polymarket", raw=raw):
                self._messages([Line(now, "polymarket", _MESSAGE.decode(raw))])
            case FeedInput(source=source) if source in VENUE_SOURCES:
                pass  # what the kernel took of another source's words is recorded beside them
            case FeedInput(source=source, raw=raw):
                self._messages([Line(now, source, _MESSAGE.decode(raw))])
            case PriceInput():
                self._arrive(now)
                self.kernel.price(payload.feed, payload.symbol, payload.price, payload.stamp, now)
            case CandleInput():
                self._arrive(now)
                self.kernel.candle(payload.symbol, payload.candle, payload.closed)
            case MarketFound(market) if self._wanted(market):
                self._fact(payload, now)
            case MarketResolved():
                self._result(payload, now)
            case StrikeSeen() | MarketClosed() if payload.condition_id in self.kernel.state.markets:
                self._fact(payload, now)
            case StreamChanged() if payload.stream != "user":
                self._fact(payload, now)
            case Operator() if payload.word != "kill":
                self._fact(payload, now)
            case _:
                pass

    def end(self) -> State:
        """After the last input: trades in flight settle. The durable state then."""
        self._finish()
        self._final_checks()
        return self.kernel.state

    def _fact(self, event: Any, now: int) -> None:
        self._arrive(now)
        self._handle(event)
        self._plan()

    def _result(self, event: MarketResolved, now: int) -> None:
        entry = self.kernel.state.markets.get(event.condition_id)
        if entry is None or entry.settled:
            return
        self._arrive(now)
        self._resolved(event, entry.strike)
        self._plan()


class Compared(Struct):
    """Two configurations over one recording, and the run itself."""

    run: str
    config_hash: dict[str, str]
    cash_start: str
    pnl: dict[str, str | None]
    """Of markets without open shares: the run itself, ``own`` and ``other`` configuration; ``difference`` is other less
    own over the markets where both know."""
    open: int
    """Markets that are left out of ``difference``: shares of them were open at the end."""
    orders: dict[str, int]
    decisions_differ: int
    windows: list[dict[str, Any]]
    broken: list[str]
    problems: list[str]

    def described(self) -> dict[str, Any]:
        return structs.asdict(self)


def begin_cash(recording: Path) -> Micros | None:
    """The collateral the run began with; None when its recording does not tell."""
    for _, payload, _, _ in RecordingReader(recording):
        if isinstance(payload, BalanceSeen):
            return payload.collateral
    return None


def with_cash(settings: Configuration, cash: Micros) -> Configuration:
    """The configuration with an account that begins with so much, micro-units."""
    exchange = settings.exchange.model_copy(update={"cash": Money(money_text(cash))})
    return settings.model_copy(update={"exchange": exchange})


def compared(recording: Path, run: Journaled, own: RecordedMarket, other: RecordedMarket) -> Compared:
    """Play the recording to both and compare; ``run``: what became of it. Raises RecordingError for a damaged one."""
    records = run.own
    reader = RecordingReader(recording)
    with rare_collections():
        for _, payload, now, _ in reader:
            own.hear(payload, now)
            other.hear(payload, now)
    states = {OWN: own.end(), OTHER: other.end()}
    wanted = {name: list(_wanted_orders(each)) for name, each in ((OWN, own), (OTHER, other))}
    apart = _differing(wanted[OWN], wanted[OTHER])
    lived = fold([*run.before, *records])
    touched = {record.condition_id for record in records if hasattr(record, "condition_id")}
    totals = {name: _total(state, state.markets) for name, state in states.items()}
    pnl: dict[str, str | None] = {"run": money_text(_total(lived, touched))}
    pnl |= {name: money_text(total) for name, total in totals.items()}
    windows = [_window(condition_id, states, (own, other), apart) for condition_id in _markets(states, apart)]
    known = [micros(window["difference"]) for window in windows if window["difference"] is not None]
    pnl["difference"] = money_text(sum(known))
    return Compared(
        recording.name, {OWN: own.extras.config_hash, OTHER: other.extras.config_hash},
        money_text(-states[OWN].balance("deposit")), pnl, len(windows) - len(known),
        {name: len(orders) for name, orders in wanted.items()}, sum(map(len, apart.values())),
        windows,
        sorted({*own.extras.broken, *other.extras.broken}), list(reader.problems),
    )


def _markets(states: dict[str, State], apart: dict[str, list[Decision]]) -> list[str]:
    """Markets in which anything differs, in the order in which they came."""
    every = dict.fromkeys([*states[OWN].markets, *states[OTHER].markets])
    return [key for key in every if key in apart or _pnl(states[OWN], key) != _pnl(states[OTHER], key)]


def _window(
    condition_id: str, states: dict[str, State], passes: tuple[RecordedMarket, RecordedMarket],
    apart: dict[str, list[Decision]],
) -> dict[str, Any]:
    known = [state.markets[condition_id] for state in states.values() if condition_id in state.markets]
    pnl = {name: _pnl(state, condition_id) for name, state in states.items()}
    told: dict[str, Any] = {"slug": known[0].market.slug, "condition_id": condition_id}
    for name, state, each in zip((OWN, OTHER), states.values(), passes, strict=True):
        entry = state.markets.get(condition_id)
        gates = each.extras.gates.get(condition_id, {})
        entered = 0 if entry is None else entry.entries
        told[name] = {
            "entries": entered, "exits": 0 if entry is None else entry.exits, "pnl": _text(pnl[name]),
            "first_failed_gate": max(gates, key=gates.__getitem__) if gates and not entered else None,
        }
    a, b = pnl[OWN], pnl[OTHER]
    told["difference"] = None if a is None or b is None else money_text(b - a)
    told["decisions"] = [structs.asdict(each) for each in apart.get(condition_id, [])]
    return told


def _pnl(state: State, condition_id: str) -> Micros | None:
    """0 where a configuration did not follow the market; None while it is open."""
    entry = state.markets.get(condition_id)
    return 0 if entry is None else market_pnl(state, entry)


def _text(amount: Micros | None) -> str | None:
    return None if amount is None else money_text(amount)


def _total(state: State, markets: Iterable[str]) -> Micros:
    return sum(_pnl(state, condition_id) or 0 for condition_id in markets)


def _wanted_orders(each: RecordedMarket) -> Iterable[OrderIntended]:
    return (record for _, record in each.journal.read() if isinstance(record, OrderIntended))


def _key(record: OrderIntended) -> tuple[Any, ...]:
    """What makes two decisions the same: then, there, and the order itself, whatever its reference."""
    draft = record.draft
    return (
        record.at, record.slot.condition_id, record.slot.side, record.slot.purpose, record.slot.key, draft.action,
        draft.order_type, draft.price, draft.size,
    )


def _differing(own: list[OrderIntended], other: list[OrderIntended]) -> dict[str, list[Decision]]:
    """Market → decisions that only one of the two took, in order of time."""
    keys = {OWN: {_key(record) for record in own}, OTHER: {_key(record) for record in other}}
    found: dict[str, list[Decision]] = {}
    for name, records, others in ((OWN, own, keys[OTHER]), (OTHER, other, keys[OWN])):
        for record in records:
            if _key(record) not in others:
                found.setdefault(record.slot.condition_id, []).append(_decision(record, name))
    for decisions in found.values():
        decisions.sort(key=lambda each: (each.at, each.only))
    return found


def _decision(record: OrderIntended, name: str) -> Decision:
    draft = record.draft
    buys = draft.action is Action.BUY
    what = f"{draft.action.value} {size_text(draft.size)} {record.slot.side.value} at {price_text(draft.price)}"
    return Decision(
        record.at, name, record.slot.purpose.value, f"{what} {draft.order_type.value}",
        money_text(record.reserve if buys else draft.size * draft.price // 10_000),
        record.why.get("plugin", ""), record.why.get("reason", ""),
    )


def text_lines(found: Compared) -> list[str]:
    """For people: a line a window that differs, its decisions below, the totals last."""
    lines = [f"note: {problem}" for problem in found.problems]
    for window in found.windows:
        pnl = " against ".join(f"{window[name]['pnl'] or 'open'} ({name})" for name in (OTHER, OWN))
        lines.append(f"{window['slug']}: {pnl}, difference {window['difference'] or 'unknown'}")
        for each in window["decisions"][:SHOWN_MAX]:
            wish = f"{each['purpose']} {each['what']}, {each['money']} [{each['plugin']}: {each['reason']}]"
            lines.append(f"  {moment_text(each['at'])} only {each['only']}: {wish}")
        if len(window["decisions"]) > SHOWN_MAX:
            lines.append(f"  … and {len(window['decisions']) - SHOWN_MAX} more (--json has all)")
    total, configurations = found.pnl, found.config_hash
    lines.append(
        f"run {found.run}: {found.decisions_differ} decisions differ; P&L {total[OTHER]} with {configurations[OTHER]}, "
        f"{total[OWN]} with {configurations[OWN]}, difference {total['difference']}"
        + (f" ({found.open} open at the end left out)" if found.open else "")
    )
    lines.append(
        f"both with simulated fills from {found.cash_start}; the run itself made {total['run']} at its own venue"
    )
    return lines
