"""What every close brought, and whom it is counted to: the rows that all tables of a report's P&L add up.

Only markets without open shares count, as in a run's summary (``pnl.central``): what the ledger says of them is the sum
of their rows to the micro-unit, because a row without a close stands for whatever closes do not tell. A row is one
close; its P&L is divided among the plugins that bought, each with what it paid.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from polyhost.kernel.state import State
from polyhost.lab.summary import market_pnl
from polyhost.model.money import Micros
from polyhost.model.records import (
    ActionIntended,
    ActionMoved,
    CloseRecorded,
    FillBooked,
    FillMoved,
    LedgerPosted,
    OrderIntended,
    PositionAdopted,
    PositionCorrected,
    Record,
    RunStarted,
)
from polyhost.model.words import Action, ActionKind, ActionState, Side, TradeStatus

HOST: Final = "host"
"""Stands for a plugin where an order names none."""
ADOPTED: Final = "adopted"
"""Stands for the plugin of a position that was there before us."""
BY_HAND: Final = "by hand"
"""Ended what a person sold or moved."""
SETTLEMENT: Final = "settlement"
"""Ended what was held until its market was decided."""
NOT_CLOSED: Final = "no close recorded yet"
"""The reason of what the ledger knows of a market beyond its closes."""
_FIGURE: Final = re.compile(r"(?<![A-Za-z_\d.])[-+]?\d[\d,]*(?:\.\d+)?%?")
_SIDE: Final = re.compile(r"\b(?:UP|DOWN)\b")


def reason_of(text: str) -> str:
    """An exit's reason without its figures and sides, so that equal decisions are counted together."""
    return _SIDE.sub("SIDE", _FIGURE.sub("N", text)).strip() or "no reason given"


def apportioned(amount: int, weights: Sequence[int]) -> list[int]:
    """``amount`` by weights (at least one above zero, none below), exactly: the parts sum to it, none off by one unit.

    What floors leave over goes to the largest remainders, of equal ones to the first.
    """
    total = sum(weights)
    parts = [amount * weight // total for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda place: -(amount * weights[place] % total))
    for place in by_rest[: amount - sum(parts)]:
        parts[place] += 1
    return parts


class Part(Struct):
    """What one plugin bought of a position since it was last closed, micro-units."""

    shares: Micros = 0
    cost: Micros = 0
    """Paid for them, fees included."""
    fees: Micros = 0


class Share(Struct, frozen=True):
    """What of a result counts to one plugin."""

    plugin: str
    pnl: Micros
    fees: Micros


class Result(Struct, frozen=True):
    """One close, or what a market's ledger knows beyond its closes. Times market ms, money micro-units."""

    at: int
    run: str
    condition_id: str
    side: str
    """UP or DOWN; empty: of the market as a whole."""
    reason: str
    """Without figures and sides."""
    text: str
    """As it was recorded."""
    ended_by: str
    """The plugin that wanted the sale that ended it, or ``host``, ``settlement``, ``by hand`` …"""
    forced: bool
    pnl: Micros
    """Fees included."""
    fees: Micros
    """Of ``pnl``."""
    entered: tuple[Share, ...]
    """Who bought; these sum to ``pnl`` and ``fees``."""


class Results(Struct):
    """Folds records into results, one after the other; ``found`` makes the rows of the end."""

    closed: list[Result] = field(default_factory=list)
    """Every close, of markets with open shares too."""
    _run: str = ""
    _plugins: dict[str, str] = field(default_factory=dict)
    """Order ref → who wanted it."""
    _runs_of: dict[str, str] = field(default_factory=dict)
    """Condition id → the run in which its ledger last changed."""
    _touched: dict[str, int] = field(default_factory=dict)
    """Condition id → when, market ms."""
    _parts: dict[str, dict[str, Part]] = field(default_factory=dict)
    """``condition_id:SIDE`` → plugin → what it bought since the last close."""
    _before: dict[str, dict[str, Part]] = field(default_factory=dict)
    """The same of the closes before: a sale that failed on the chain opens a position again."""
    _sold_by: dict[str, str] = field(default_factory=dict)
    _fees: dict[str, Micros] = field(default_factory=dict)
    """``condition_id:SIDE`` → fees that its closes told so far."""
    _fills: dict[str, tuple[str, FillBooked]] = field(default_factory=dict)
    """``trade/ref`` of a buy → (position, fill), while it may fail."""
    _actions: dict[str, ActionIntended] = field(default_factory=dict)

    def see(self, record: Record) -> None:
        """Fold one record; each once, in the journal's order."""
        match record:
            case RunStarted():
                self._run = record.run_id
            case OrderIntended():
                self._plugins[record.draft.ref] = record.why.get("plugin") or HOST
            case FillBooked():
                self._filled(record)
            case FillMoved():
                self._moved(record)
            case LedgerPosted():
                self._posted(record)
            case ActionIntended():
                self._actions[record.ref] = record
            case ActionMoved() if record.state is ActionState.DONE:
                self._acted(self._actions[record.ref], record)
            case PositionAdopted():
                self._bought(f"{record.condition_id}:{record.side.value}", ADOPTED, record.size, record.cost, 0)
            case PositionCorrected():
                self._sold_by[f"{record.condition_id}:{record.side.value}"] = BY_HAND
            case CloseRecorded():
                self._closed(record)
            case _:
                return

    def found(self, state: State) -> tuple[list[Result], list[Result]]:
        """(results of markets without open shares, oldest first; closes of markets that still have some).

        ``state`` is the fold of the records that were seen. The first sum to the summary's ``pnl.central``.
        """
        counted: list[Result] = []
        open_still: list[Result] = []
        closes: dict[str, list[Result]] = {}
        for result in self.closed:
            closes.setdefault(result.condition_id, []).append(result)
        for condition_id, entry in state.markets.items():
            told = closes.get(condition_id, [])
            pnl = market_pnl(state, entry)
            if pnl is None:
                open_still += told
                continue
            counted += told
            fees = state.balance(f"fees:{condition_id}") - sum(each.fees for each in told)
            if (rest := pnl - sum(each.pnl for each in told)) or fees:
                counted.append(self._rest(condition_id, rest, fees))
        return sorted(counted, key=lambda result: result.at), open_still

    def plugin_of(self, ref: str) -> str:
        """Who wanted an order."""
        return self._plugins.get(ref, HOST)

    # --- folding ------------------------------------------------------------------------------------------------------

    def _bought(self, asset: str, plugin: str, shares: Micros, cost: Micros, fees: Micros) -> None:
        part = self._parts.setdefault(asset, {}).setdefault(plugin, Part())
        part.shares += shares
        part.cost += cost
        part.fees += fees

    def _filled(self, fill: FillBooked) -> None:
        asset = f"{fill.slot.condition_id}:{fill.slot.side.value}"
        if fill.action is Action.BUY:
            self._fills[f"{fill.trade_id}/{fill.ref}"] = (asset, fill)
            self._bought(asset, self.plugin_of(fill.ref), fill.size, fill.money + fill.fee, fill.fee)
        else:
            self._sold_by[asset] = self.plugin_of(fill.ref)

    def _moved(self, record: FillMoved) -> None:
        key = f"{record.trade_id}/{record.ref}"
        if record.status is TradeStatus.CONFIRMED:
            self._fills.pop(key, None)
        elif record.status is TradeStatus.FAILED and key in self._fills:
            asset, fill = self._fills.pop(key)
            self._bought(asset, self.plugin_of(fill.ref), -fill.size, -fill.money - fill.fee, -fill.fee)

    def _posted(self, record: LedgerPosted) -> None:
        for entry in record.entries:
            kind, _, condition_id = entry.account.partition(":")
            if kind in ("market", "fees") and condition_id:
                self._touched[condition_id], self._runs_of[condition_id] = record.at, self._run

    def _acted(self, action: ActionIntended, done: ActionMoved) -> None:
        """A split buys both sides, a merge ends what pairs off."""
        for side, money in ((Side.UP, done.up_money), (Side.DOWN, done.down_money)):
            asset = f"{action.condition_id}:{side.value}"
            if action.kind is ActionKind.SPLIT:
                self._bought(asset, action.by, action.size, money, 0)
            elif action.kind is ActionKind.MERGE:
                self._sold_by[asset] = action.by

    def _closed(self, close: CloseRecorded) -> None:
        asset = f"{close.condition_id}:{close.side.value}"
        fees = close.fees - self._fees.get(asset, 0)
        self._fees[asset] = close.fees
        parts = self._parts.pop(asset, {})
        self.closed.append(Result(
            close.at, self._run, close.condition_id, close.side.value, reason_of(close.exit_reason), close.exit_reason,
            self._ender(asset, close), close.forced, close.pnl, fees,
            shared(close.pnl, fees, parts, self._before.get(asset, {})),
        ))
        self._before[asset] = parts or self._before.get(asset, {})

    def _ender(self, asset: str, close: CloseRecorded) -> str:
        if close.exit_reason.startswith("settled"):
            return SETTLEMENT
        return self._sold_by.get(asset, HOST)

    def _rest(self, condition_id: str, pnl: Micros, fees: Micros) -> Result:
        return Result(
            self._touched.get(condition_id, 0), self._runs_of.get(condition_id, ""), condition_id, "", NOT_CLOSED,
            NOT_CLOSED, HOST, False, pnl, fees, (Share(HOST, pnl, fees),),
        )


def shared(pnl: Micros, fees: Micros, parts: Mapping[str, Part], before: Mapping[str, Part]) -> tuple[Share, ...]:
    """A close's P&L among those who bought: what came in by shares, less what each paid; fees of sales by shares.

    ``before``: who bought what was closed earlier, for a close without any buy of its own.
    """
    parts = {plugin: part for plugin, part in parts.items() if part != Part()}
    bought = {plugin: part for plugin, part in parts.items() if part.shares > 0}
    paid = sum(part.cost for part in parts.values())
    charged = sum(part.fees for part in parts.values())
    if not bought or len(bought) < len(parts):
        # Nothing was bought, or a buy of an earlier close failed afterwards: all of it by shares.
        weights = bought or {plugin: part for plugin, part in before.items() if part.shares > 0}
        if not weights:
            return (Share(HOST, pnl, fees),)
        return tuple(_by_shares(pnl, fees, weights))
    return tuple(
        Share(each.plugin, each.pnl - bought[each.plugin].cost, each.fees + bought[each.plugin].fees)
        for each in _by_shares(pnl + paid, fees - charged, bought)
    )


def _by_shares(pnl: Micros, fees: Micros, parts: Mapping[str, Part]) -> Iterable[Share]:
    weights = [part.shares for part in parts.values()]
    for plugin, amount, fee in zip(parts, apportioned(pnl, weights), apportioned(fees, weights), strict=True):
        yield Share(plugin, amount, fee)
