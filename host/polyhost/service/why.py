"""Why things are as they are: the chain of causes of an order, a position or a window, read from the journal (EVD-03).

No host need run. Records are folded one by one, so that every row can say what was true after it; for a window without
a trade the gates come from analysis.db, which may lack them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import UNSET, Struct, field

from polyhost.errors import PolyhostError, nearest_name
from polyhost.journal import ANALYSIS_FILE, JOURNAL_FILE, read_journal
from polyhost.journal.analysis import gates_of
from polyhost.journal.explanations import evaluation_of, explanations_of, first_failed
from polyhost.journal.opinions import opinion_lines, opinions_of
from polyhost.kernel.state import MarketState, OrderEntry, State, folding
from polyhost.lab.summary import market_pnl
from polyhost.model.money import Micros, money_text, price_text, reference_text, size_text
from polyhost.model.records import (
    CloseRecorded,
    EarningsReported,
    FillBooked,
    FillMoved,
    ForeignSeen,
    HeldDeclared,
    LedgerPosted,
    MarketAdded,
    MarketChanged,
    MarketSettled,
    NoticeRaised,
    ObligationMet,
    ObligationSet,
    OrderIntended,
    OrderMoved,
    OrderPrepared,
    OrderReposted,
    PluginMoved,
    PositionAdopted,
    PositionCorrected,
    Record,
    RunStarted,
    UnexplainedSeen,
)
from polyhost.model.times import day_text, moment_text
from polyhost.model.words import Side

NOT_EVALUATED: Final = "not_evaluated"
"""Stands for the gate of a window in which no plugin was asked."""
WANTED_LINES: Final = 20
"""Entries that were wanted, as a person is shown them; ``--json`` has more."""
OURS = frozenset({"settled", "in_flight"})
"""Ledger accounts whose shares are the position."""


class UnknownError(PolyhostError):
    """The journal does not know it. Exit code 1: the answer is no."""

    exit_code = 1


class Row(Struct):
    """One record that concerns what was asked about."""

    seq: int
    at: int
    record: str
    text: str
    detail: dict[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        return {"seq": self.seq, "at": self.at, "record": self.record, "text": self.text, **self.detail}


class Running(Struct, frozen=True):
    """A run as it was when something was decided: its configuration, and its plugins with their versions."""

    started: RunStarted | None = None
    """None: the journal begins in the middle of a run."""
    moved: tuple[PluginMoved, ...] = ()
    """What became of plugins since."""

    @property
    def run_id(self) -> str:
        return "" if self.started is None else self.started.run_id

    def after(self, record: Record) -> Running:
        """The run after one more record."""
        match record:
            case RunStarted():
                return Running(record)
            case PluginMoved():
                return Running(self.started, (*self.moved, record))
            case _:
                return self

    def described(self) -> dict[str, Any] | None:
        started = self.started
        if started is None:
            return None
        return {
            "id": started.run_id, "version": started.version, "mode": started.mode, "config_hash": started.config_hash,
            "plugins": None if started.plugins is UNSET else dict(started.plugins),
            "changes": [
                {"at": each.at, "plugin": each.plugin, "change": each.change, "version": each.version, "who": each.who}
                for each in self.moved
            ],
        }


# --- questions --------------------------------------------------------------------------------------------------------


def order(folder: Path, order_id: str) -> dict[str, Any]:
    """An order by our reference or the venue's id (its beginning is enough). Raises UnknownError, JournalError.

    Beside its records: the run that wanted it (configuration, plugins and their versions), the evaluation that it came
    from or the latest before it, and what became of the other entries of the same answer.
    """
    state = State()
    told: dict[str, list[Row]] = {}
    runs: dict[str, Running] = {}
    reserved: dict[str, Micros] = {}
    run = Running()
    for seq, record, state in _folded(folder):
        ref = _ref_of(record)
        run = run.after(record)
        if isinstance(record, OrderIntended):
            reserved[record.draft.ref] = record.reserve
            runs[record.draft.ref] = run
        if ref is not None:
            told.setdefault(ref, []).append(_row(seq, record, state))
    found = [each for each in state.orders.values() if order_id in (each.ref, each.order_id)]
    found = found or [each for each in state.orders.values() if order_id and each.order_id.startswith(order_id)]
    if len(found) != 1:
        many = f"{len(found)} orders" if found else "no order"
        raise UnknownError(f"{many} {order_id} in {folder / JOURNAL_FILE}; `polyhost why window SLUG` tells its orders")
    one = found[0]
    chain = [row.described() for row in told.get(one.ref, [])]
    condition_id, analysis = one.slot.condition_id, folder / ANALYSIS_FILE
    seen = one.why.get("view_seq")
    beside = [
        row for row in explanations_of(analysis, condition_id)[0]
        if seen is not None and row["at"] == one.placed_at and row["order"] != one.ref
    ]
    return {
        "order": _order(state, one) | {"reserved": money_text(reserved[one.ref])}, "run": runs[one.ref].described(),
        "evaluation": evaluation_of(analysis, condition_id, one.placed_at, None if seen is None else int(seen)),
        "beside": beside, "chain": chain,
    }


def position(folder: Path, slug: str, side: str) -> dict[str, Any]:
    """A position by its window and side: every row of the ledger, its orders, its deadlines and its ends.

    Raises UnknownError, JournalError.
    """
    state = State()
    rows: list[Row] = []
    condition_id = ""
    runs: dict[str, Running] = {}
    run = Running()
    for seq, record, state in _folded(folder):
        run = run.after(record)
        if isinstance(record, OrderIntended) and record.slot.condition_id == condition_id:
            runs[run.run_id] = run
        if isinstance(record, MarketAdded) and record.market.slug == slug:
            condition_id = record.market.condition_id
        row = _of_position(seq, record, state, condition_id, side)
        if row is not None:
            rows.append(row)
    entry = _market(state, slug, folder)
    held = state.position(condition_id, Side(side))
    if held is None:
        raise UnknownError(f"{slug} never had a {side} position in {folder / JOURNAL_FILE}")
    token_id = held.token_id
    return {
        "slug": slug, "condition_id": condition_id, "side": side, "token_id": token_id,
        "size": size_text(held.size), "average": price_text(held.average), "cost": money_text(held.cost),
        "fees": money_text(held.fees), "pnl": money_text(held.pnl), "held": held.held or None,
        "adopted": size_text(held.adopted), "taken": size_text(held.taken),
        "unexplained": size_text(state.unexplained.get(token_id, 0)), "end": entry.market.end,
        "obligation_due": state.obligations.get(f"{condition_id}:{side}"), "closed": held.closed,
        "runs": [each.described() for each in runs.values()],
        "rows": [row.described() for row in rows],
        "orders": [_order(state, each) for each in _orders(state, condition_id) if each.slot.side.value == side],
    }


def window(folder: Path, slug: str) -> dict[str, Any]:
    """A window: what was done in it, or the gate that kept it out most often, and what became of every entry that a
    plugin wanted in it. Raises UnknownError, JournalError."""
    return windows(folder, (slug,))[slug]


def windows(folder: Path, slugs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Several windows by their slugs, from one reading of the journal. Raises UnknownError, JournalError."""
    state = State()
    rows: dict[str, list[Row]] = {slug: [] for slug in slugs}
    last = 0
    for seq, record, state in _folded(folder):
        last = max(last, record.at)
        if (slug := _slug_of(record, state)) in rows:
            rows[slug].append(_row(seq, record, state))
    return {slug: _window(folder, state, _market(state, slug, folder), rows[slug], last) for slug in slugs}


def _window(folder: Path, state: State, entry: MarketState, rows: list[Row], last: int) -> dict[str, Any]:
    condition_id = entry.market.condition_id
    analysis = folder / ANALYSIS_FILE
    gates = gates_of(analysis, condition_id)
    opinions = opinions_of(analysis, condition_id)
    entries, outcomes = explanations_of(analysis, condition_id)
    failed = None if entry.entries else first_failed(analysis, condition_id)
    if not (entry.entries or gates or opinions or entries):
        failed = _unasked(entry, last)
    pnl = market_pnl(state, entry)
    return {
        "slug": entry.market.slug, "condition_id": condition_id, "start": entry.market.start, "end": entry.market.end,
        "strike": entry.strike, "settled": entry.settled, "winner": entry.winner.value if entry.winner else None,
        "entries": entry.entries, "exits": entry.exits, "pnl": None if pnl is None else money_text(pnl),
        "opinions": opinions,
        "orders": [_order(state, each) for each in _orders(state, condition_id)],
        "first_failed_gate": None if failed is None else failed["gate"],
        "first_failed_text": None if failed is None else failed["text"],
        "gates": gates, "outcomes": outcomes, "wanted": entries,
        "rows": [row.described() for row in rows],
    }


def _unasked(entry: MarketState, last: int) -> dict[str, str]:
    """What stands for a gate where no evaluation of a window is kept; ``last``: when the journal ends."""
    if entry.market.start is not None and last < entry.market.start:
        text = f"the journal ends at {moment_text(last)}, before the window begins"
    elif entry.strike is None:
        text = "no plugin was asked in it, and its strike was never known"
    else:
        text = "no plugin was asked in it, or what they were asked is kept no longer"
    return {"gate": NOT_EVALUATED, "text": text}


# --- the journal ------------------------------------------------------------------------------------------------------


def _folded(folder: Path) -> Iterator[tuple[int, Record, State]]:
    """Every record with its number and the state as it is after it. Raises UnknownError for an empty journal."""
    seq = 0
    for seq, (record, state) in enumerate(folding(record for _, record in read_journal(folder / JOURNAL_FILE)), 1):
        yield seq, record, state
    if seq == 0:
        raise UnknownError(f"nothing was ever run in {folder}; `polyhost run` begins, --data-dir names another folder")


def _market(state: State, slug: str, folder: Path) -> MarketState:
    found = next((entry for entry in state.markets.values() if entry.market.slug == slug), None)
    if found is None:
        slugs = [entry.market.slug for entry in state.markets.values()]
        near = nearest_name(slug, slugs) or (slugs[-1] if slugs else "")
        hint = f"; did you mean {near!r}?" if near else ""
        raise UnknownError(f"no window {slug} in {folder / JOURNAL_FILE}{hint}")
    return found


def _orders(state: State, condition_id: str) -> list[OrderEntry]:
    return [each for each in state.orders.values() if each.slot.condition_id == condition_id]


def _ref_of(record: Record) -> str | None:
    """The order a record is about."""
    match record:
        case OrderIntended():
            return record.draft.ref
        case OrderPrepared() | OrderMoved() | OrderReposted() | FillBooked() | FillMoved():
            return record.ref
        case LedgerPosted():
            return record.ref.rpartition("/")[2]
        case _:
            return None


def _of_position(seq: int, record: Record, state: State, condition_id: str, side: str) -> Row | None:
    """The row of a record that changed this position or its promises."""
    if isinstance(record, LedgerPosted):
        asset = f"{condition_id}:{side}"
        change = sum(leg.delta for leg in record.entries if leg.asset == asset and leg.account in OURS)
        into = {leg.account: leg.delta for leg in record.entries if leg.asset == asset and leg.account in OURS}
        if not into:
            return None
        size: Micros = state.balance("settled", asset) + state.balance("in_flight", asset)
        text = f"{record.cause} {record.ref}: {_signed(change)}, {size_text(size)} after"
        detail = {
            "cause": record.cause, "ref": record.ref, "change": _signed(change), "size_after": size_text(size),
            "accounts": {name: _signed(delta) for name, delta in into.items()},
        }
        return Row(seq, record.at, "ledger_posted", text, detail)
    match record:
        case (
            ObligationSet() | ObligationMet() | HeldDeclared() | CloseRecorded() | PositionCorrected()
            | PositionAdopted() | UnexplainedSeen()
        ) if record.condition_id == condition_id and record.side.value == side:
            return _row(seq, record, state)
        case _:
            return None


def _slug_of(record: Record, state: State) -> str:
    """The window that a record is about; empty: none. Its ledger rows and orders are told elsewhere."""
    match record:
        case MarketAdded():
            return record.market.slug
        case (
            MarketChanged() | MarketSettled() | ObligationSet() | ObligationMet() | HeldDeclared() | CloseRecorded()
            | PositionCorrected() | PositionAdopted() | UnexplainedSeen() | ForeignSeen() | NoticeRaised()
            | EarningsReported()
        ):
            entry = state.markets.get(record.condition_id)
            return "" if entry is None else entry.market.slug
        case _:
            return ""


# --- words ------------------------------------------------------------------------------------------------------------


def _row(seq: int, record: Record, state: State) -> Row:
    return Row(seq, record.at, str(record.__struct_config__.tag), _text(record, state))


def _text(record: Record, state: State) -> str:
    """What a record says, in a line."""
    match record:
        case OrderIntended():
            draft = record.draft
            return (
                f"wanted: {draft.action.value} {size_text(draft.size)} {record.slot.side.value} at "
                f"{price_text(draft.price)} {draft.order_type.value} by {record.why.get('plugin', 'the host')} "
                f"({record.why.get('reason', '')}), {money_text(record.reserve)} reserved"
            )
        case OrderPrepared():
            return f"signed: {record.request.order_id}"
        case OrderMoved():
            matched = f", {size_text(record.matched)} matched" if record.matched else ""
            code = "" if record.code is UNSET else f" ({record.code})"
            return f"{record.state.value}: {record.cause.replace('_', ' ')}{code}{matched}"
        case FillBooked():
            return (
                f"trade {record.trade_id} {record.status.value}: {size_text(record.size)} at "
                f"{price_text(record.price)}, fee {money_text(record.fee)}"
            )
        case FillMoved():
            return f"trade {record.trade_id} {record.status.value}"
        case LedgerPosted():
            return f"{record.cause}: " + ", ".join(
                f"{leg.account} {_signed(leg.delta)}{'' if leg.asset == 'cash' else ' shares'}"
                for leg in record.entries
            )
        case ObligationSet():
            return f"to be closed or held by {instant_text(record.due)}"
        case ObligationMet():
            return f"obligation met: {record.how}"
        case HeldDeclared():
            return f"held ({record.kind}): {record.reason}"
        case CloseRecorded():
            forced = " by force" if record.forced else ""
            return (
                f"closed{forced} ({record.exit_reason}): {size_text(record.size)} at {price_text(record.entry_price)} "
                f"out at {price_text(record.exit_price)}, P&L {money_text(record.pnl)}, fees {money_text(record.fees)}"
            )
        case PositionCorrected():
            return (
                f"{size_text(record.size)} gone without a trade of ours, {size_text(record.seen)} seen twice "
                f"({record.evidence}); out at their cost of {money_text(record.cost)}"
            )
        case PositionAdopted():
            return f"{size_text(record.size)} adopted at a cost of {money_text(record.cost)} ({record.source})"
        case UnexplainedSeen():
            return f"{size_text(record.size)} more at the venue than our trades explain"
        case ForeignSeen():
            return f"{size_text(record.size)} foreign: {record.reason}"
        case EarningsReported():
            return (
                f"earned on {day_text(record.day)}: {money_text(record.rewards)} of rewards, "
                f"{money_text(record.rebates)} of rebates"
            )
        case MarketAdded():
            return "found" if record.from_open else "found after its start"
        case MarketChanged():
            strike = None if record.strike is None else reference_text(record.strike)
            tick = None if record.tick is None else price_text(record.tick)
            changes = {"tick": tick, "accepting": record.accepting, "strike": strike}
            said = ", ".join(f"{name} {value}" for name, value in changes.items() if value is not None)
            return f"{said} ({record.cause})"
        case MarketSettled():
            return f"settled {'50-50' if record.winner is None else record.winner.value} ({record.source})"
        case NoticeRaised():
            return record.text
        case _:
            return str(record.__struct_config__.tag).replace("_", " ")


def _signed(amount: Micros) -> str:
    return f"{'+' if amount > 0 else ''}{money_text(amount)}"


def _order(state: State, each: OrderEntry) -> dict[str, Any]:
    draft, slot = each.draft, each.slot
    return {
        "order": each.ref, "order_id": each.order_id or None,
        "slug": state.markets[slot.condition_id].market.slug, "side": slot.side.value, "purpose": slot.purpose.value,
        "action": draft.action.value, "type": draft.order_type.value, "price": price_text(draft.price),
        "size": size_text(draft.size), "matched": size_text(each.done), "state": each.state.value,
        "cause": each.cause, "placed_at": each.placed_at, "why": dict(each.why),
    }


def instant_text(ms: int) -> str:
    """``2026-10-28 13:05:00.250``, UTC; ms UTC."""
    return f"{moment_text(ms)}.{ms % 1_000:03d}"


_VALUES: Final[Mapping[str, Callable[[Any], str]]] = {
    "start": moment_text, "end": moment_text, "obligation_due": moment_text, "strike": reference_text,
}
"""How a person is shown what a report holds as an integer."""


def lines(report: Mapping[str, Any]) -> list[str]:
    """A report for a person; times are market time, UTC."""
    told: list[str] = []
    for name, value in report.items():
        if name in ("orders", "rows", "chain"):
            continue
        if name == "order":
            told += _order_lines(value)
        elif name == "opinions":
            told += opinion_lines(value)
        elif name == "run":
            told += _run_lines(value)
        elif name == "runs":
            told += [line for run in value for line in _run_lines(run)]
        elif name == "evaluation":
            told += _evaluation_lines(value)
        elif name == "gates":
            told += [f"gate {gate}: {count} times" for gate, count in value.items()]
        elif name == "outcomes":
            told += [f"entries that plugins wanted: {count} {outcome}" for outcome, count in value.items()]
        elif name in ("wanted", "beside"):
            told += [_wanted_line(row) for row in value[-WANTED_LINES:]]
        elif value not in (None, "", False):
            told.append(f"{name.replace('_', ' ')}: {_VALUES.get(name, str)(value)}")
    for row in (*report.get("rows", ()), *report.get("chain", ())):
        told.append(f"#{row['seq']} at {instant_text(row['at'])}: {row['text']}")
    for each in report.get("orders", ()):
        told += _order_lines(each)
    return told


def _run_lines(run: Mapping[str, Any] | None) -> list[str]:
    if run is None:
        return []
    named = run["plugins"] or {}
    versions: dict[str, list[str]] = {}
    for name, version in named.items():
        versions.setdefault(version, []).append(name)
    return [
        f"run {run['id']}: polyhost {run['version']}, {run['mode']}, configuration {run['config_hash']}",
        *(f"  plugins {_of_version(version)}: {', '.join(names)}" for version, names in versions.items()),
        *(
            f"  since then: {each['plugin']} {each['change']} by {each['who'] or 'host'}"
            + (f", version {each['version']}" if each["version"] else "")
            for each in run["changes"]
        ),
    ]


def _of_version(version: str) -> str:
    return f"of version {version}" if version else "without a version (single files)"


def _evaluation_lines(row: Mapping[str, Any] | None) -> list[str]:
    """What was seen, and who said what: opinions of which an older host kept none are left out."""
    if row is None:
        return []
    told = [f"evaluation {row['view_seq']} at {instant_text(row['at'])}, book {row.get('book_age_ms')} ms old"]
    told += [f"  signal {name}: {_opinion(said)}" for name, said in row.get("signals", {}).items()]
    return told + [f"  combiner {name}: {_opinion(said)}" for name, said in row.get("estimates", {}).items()]


def _opinion(said: Mapping[str, Any]) -> str:
    if said.get("abstained"):
        return f"no opinion ({said['abstained']})"
    parts = ((name, f"{value:.4g}" if isinstance(value, float) else value) for name, value in said.items())
    return ", ".join(f"{name} {value}" for name, value in parts if name != "abstained")


def _wanted_line(row: Mapping[str, Any]) -> str:
    price = "" if row["price_max"] is None else f" at most {price_text(row['price_max'])}"
    stake = "" if row["stake"] is None else f" for {money_text(row['stake'])}"
    end = f"order {row['order']}" if row["outcome"] == "order" else f"{row['outcome']} by {row['by']}"
    why = ", ".join(part for part in (row["gate"] if row["gate"] != row["outcome"] else "", row["text"]) if part)
    name = f"{row['purpose']} {row['side']}".strip()
    wanted = f"wanted at {instant_text(row['at'])} by {row['plugin']}: {name}{price}{stake}: {end}"
    return wanted + (f" ({why})" if why else "")


def _order_lines(each: Mapping[str, Any]) -> list[str]:
    head = (
        f"order {each['order']} ({each['purpose']}): {each['action']} {each['size']} {each['side']} at {each['price']} "
        f"{each['type']}, {each['matched']} matched, {each['state']}" + (f" ({each['cause']})" if each["cause"] else "")
    )
    return [head, *(f"  {name}: {value}" for name, value in each["why"].items() if value)]
