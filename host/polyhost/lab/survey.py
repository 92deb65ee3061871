"""What is on a tape, and what is wrong with it, from the data alone: ``polyhost tape info`` and ``check``.

One pass over the lines; nothing is traded. A problem is something a user of the tape has to know (no spot, gaps,
crossed books); it does not make the tape unreadable. Broken promises of the format (order, whole lines) are kept apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from msgspec import Struct, field

from polyhost.errors import TapeError
from polyhost.lab.catalogue import CatalogueLine, catalogue_line
from polyhost.lab.prices import Price, reference
from polyhost.lab.tape import Aside, Counts, Line, NoTapeError, Tape
from polyhost.model.book import TICKS_OF
from polyhost.model.market import normal_token
from polyhost.model.messages import Level, Message
from polyhost.model.money import ONE, Ticks
from polyhost.model.reading import VENUE_SOURCES, wrong
from polyhost.model.times import moment_text
from polyhost.model.words import Side

SILENCE_MS: Final = 10_000
"""A silence of a market's books inside its window that is told: the age at which the host stops trusting a book."""
PARTIAL_MS: Final = 30_000
"""A window whose books begin this long after its start, or end this long before its end, is partial."""
ONE_TOKEN_SHARE: Final = 0.1
"""Below this share of a tape's books the rarer token is as good as missing."""
REPEATED_SHARE: Final = 0.5
CLOCK_MS: Final = 5
"""A median arrival this long before the venue's own stamp is a clock that is behind."""
KINDS: Final = frozenset(
    {"book", "price_change", "best_bid_ask", "last_trade_price", "tick_size_change", "market_resolved", "new_market"}
)


class TokenSeen(Struct):
    """One token's part of the tape."""

    side: Side
    market: MarketSeen
    books: int = 0
    last: Message | None = None
    bid: Ticks = 0
    ask: Ticks = ONE


class MarketSeen(Struct):
    """One market of the tape; times in ms."""

    line: CatalogueLine
    opened_at: int | None = None
    settled: CatalogueLine | None = None
    messages: int = 0
    first: int = 0
    last: int = 0
    """Arrival of the first and last book or quote inside the window."""
    silences: list[int] = field(default_factory=list)
    """Lengths in ms of silences inside the window."""
    before: list[int] = field(default_factory=list)
    """The same before the window's start, from the first message on."""
    latest: int = 0
    """Arrival of the latest book or quote, wherever."""
    tokens: list[TokenSeen] = field(default_factory=list)

    def inside(self, ts: int) -> bool:
        start, end = self.line.market.start, self.line.market.end
        return (start is None or ts >= start) and ts <= end

    @property
    def partial(self) -> bool:
        start, end = self.line.market.start, self.line.market.end
        if not self.first or start is None:
            return False
        return self.first - start > PARTIAL_MS or end - self.last > PARTIAL_MS


class Problem(Struct, frozen=True):
    """Something a user of the tape has to know. ``name`` is stable, ``count`` how often."""

    name: str
    count: int
    text: str


class Survey(Struct):
    """Everything counted on one tape."""

    path: str
    counts: Counts = field(default_factory=Counts)
    kinds: Counter[str] = field(default_factory=Counter)
    unknown_kinds: Counter[str] = field(default_factory=Counter)
    feeds: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    first_ts: int = 0
    last_ts: int = 0
    markets: dict[str, MarketSeen] = field(default_factory=dict)
    tokens: dict[str, TokenSeen] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    """Token spellings as they came, to their normal form."""
    offsets: list[int] = field(default_factory=list)
    """Arrival less the venue's own stamp, ms."""
    broken: list[str] = field(default_factory=list)
    """Promises of the format that do not hold."""

    def problems(self) -> list[Problem]:
        """Everything worth telling, in a fixed order."""
        found = (*_catalogue_problems(self), *_feed_problems(self), *_book_problems(self))
        return [problem for problem in found if problem.count]


def survey(tape: Tape) -> Survey:
    """Read a whole tape. Raises NoTapeError; a broken promise ends the reading and is in ``broken``."""
    seen = Survey(str(tape.path))
    try:
        for part in tape.parts():
            if isinstance(part, Aside):
                _stamp(seen, part.ts)
                _aside(seen, part)
                continue
            for line in part:
                _stamp(seen, line.ts)
                _line(seen, line)
    except NoTapeError:
        raise
    except TapeError as error:
        seen.broken.append(str(error))
    seen.counts = counts = tape.counts
    if counts.broken:
        seen.broken.append(f"{counts.broken} broken lines, the first is line {counts.first_broken}")
    if counts.cut_off:
        seen.broken.append("the gzip stream is cut off")
    return seen


def report(seen: Survey) -> dict[str, Any]:
    """The survey as one JSON object."""
    silences = [length for market in seen.markets.values() for length in market.silences]
    before = [length for market in seen.markets.values() for length in market.before]
    return {
        "path": seen.path,
        "lines": seen.counts.lines,
        "broken": seen.counts.broken,
        "sources": dict(sorted(seen.counts.sources.items())),
        "kinds": dict(sorted(seen.kinds.items())),
        "unknown_kinds": dict(sorted(seen.unknown_kinds.items())),
        "feeds": dict(sorted(seen.feeds.items())),
        "first_ts": seen.first_ts,
        "last_ts": seen.last_ts,
        "markets": len(seen.markets),
        "resolved": sum(market.settled is not None for market in seen.markets.values()),
        "gaps": {
            "host": seen.kinds["host gap"],
            "inside": len(silences),
            "inside_longest_ms": max(silences, default=0),
            "before": len(before),
            "before_longest_ms": max(before, default=0),
        },
        "windows": [_window(market) for market in seen.markets.values()],
        "problems": [{"name": each.name, "count": each.count, "text": each.text} for each in seen.problems()],
        "broken_promises": list(seen.broken),
    }


def _window(market: MarketSeen) -> dict[str, Any]:
    line = market.line.market
    settled = market.settled
    result = None if settled is None else settled.resolution
    outcome = None if result is None else (result.winner.value if result.winner else "50-50")
    return {
        "slug": line.slug,
        "condition_id": line.condition_id,
        "start": line.start,
        "end": line.end,
        "messages": market.messages,
        "outcome": outcome,
        "strike": None if settled is None else settled.strike,
        "final": None if result is None else result.final,
        "longest_silence_ms": max(market.silences, default=0),
        "partial": market.partial,
    }


# --- the pass ---------------------------------------------------------------------------------------------------------


def _stamp(seen: Survey, ts: int) -> None:
    seen.first_ts = seen.first_ts or ts
    seen.last_ts = ts


def _aside(seen: Survey, aside: Aside) -> None:
    if aside.source == "host":
        seen.kinds[f"host {aside.msg.get('kind', '')}".strip()] += 1
        return
    line = catalogue_line(aside.msg)
    if line is None:
        seen.unknown_kinds["gamma"] += 1
        return
    seen.kinds["gamma closed" if line.closed else "gamma open"] += 1
    if "inferred" in str(aside.msg.get("_note", "")):
        seen.odd["inferred"] += 1
    found = line.market
    market = seen.markets.get(found.condition_id)
    if market is None:
        market = seen.markets[found.condition_id] = MarketSeen(line)
        for token, side in ((found.up, Side.UP), (found.down, Side.DOWN)):
            seen.tokens[token] = each = TokenSeen(side, market)
            market.tokens.append(each)
    if line.opens and market.opened_at is None:
        market.opened_at = aside.ts
    if line.resolution is not None:
        market.settled = line
        seen.odd["contradiction"] += _contradicts(line)


def _contradicts(line: CatalogueLine) -> bool:
    """Up is to win if and only if the final price is at or above the strike."""
    result = line.resolution
    if result is None or line.strike is None or result.final is None:
        return False
    return (result.final >= line.strike) != (result.winner is Side.UP)


def _line(seen: Survey, line: Line) -> None:
    msg = line.msg
    kind = msg.event_type or ("book" if msg.bids is not None and msg.asks is not None else "")
    if not kind:
        _priced(seen, line)
    elif kind in KINDS:
        seen.kinds[kind] += 1
        _market_message(seen, line, kind)
    else:
        seen.unknown_kinds[kind] += 1


def _priced(seen: Survey, line: Line) -> None:
    msg = line.msg
    name = msg.topic or msg.channel or msg.e or line.source
    try:
        found = reference(msg)
    except ValueError:
        seen.odd["bad_values"] += 1
        return
    if found is None:
        if msg.value is not None and line.source not in VENUE_SOURCES:
            _reading(seen, line)
        else:
            seen.unknown_kinds[name] += 1
        return
    seen.kinds[name] += 1
    seen.feeds[found.feed if isinstance(found, Price) else "candles"] += 1


def _reading(seen: Survey, line: Line) -> None:
    """A line of an optional feed."""
    if wrong(line.msg.name, line.msg.value, line.msg.at):
        seen.odd["bad_values"] += 1
        return
    seen.kinds["reading"] += 1
    seen.feeds[line.source] += 1


def _market_message(seen: Survey, line: Line, kind: str) -> None:
    msg = line.msg
    if kind == "last_trade_price" and not msg.side:
        seen.odd["no_trade_side"] += 1
    stamp = str(msg.timestamp)
    if stamp.isdigit():
        seen.offsets.append(line.ts - int(stamp))
    given = msg.asset_id or (msg.price_changes[0].asset_id if msg.price_changes else "")
    token = seen.tokens.get(seen.ids.setdefault(given, normal_token(given)))
    if token is None:
        seen.odd["unknown_tokens"] += kind not in ("new_market", "market_resolved")
        return
    token.market.messages += 1
    if kind in ("book", "best_bid_ask", "price_change"):
        _timed(token.market, line.ts)
    try:
        if kind == "book":
            _book(seen, token, msg)
        elif kind == "best_bid_ask":
            _quote(seen, token, msg)
    except ValueError:
        seen.odd["bad_values"] += 1


def _timed(market: MarketSeen, ts: int) -> None:
    """A book came: how long was the market silent before?"""
    silent = ts - market.latest if market.latest else 0
    market.latest = ts
    inside = market.inside(ts)
    if silent > SILENCE_MS:
        if inside and market.first:
            market.silences.append(silent)
        elif market.line.market.start is not None and ts < market.line.market.start:
            market.before.append(silent)
    if inside:
        market.first = market.first or ts
        market.last = ts


def _book(seen: Survey, token: TokenSeen, msg: Message) -> None:
    token.books += 1
    if token.last is not None and token.last == msg:
        seen.odd["duplicates"] += 1
    token.last = msg
    bids, asks = msg.bids or [], msg.asks or []
    token.bid, token.ask = _best(bids, asks)
    seen.odd["one_sided"] += not bids or not asks
    seen.odd["crossed"] += bool(bids and asks and token.bid >= token.ask)
    _against_the_other(seen, token)


def _best(bids: list[Level], asks: list[Level]) -> tuple[Ticks, Ticks]:
    texts = TICKS_OF
    return (
        max([texts[level.price] for level in bids], default=0),
        min([texts[level.price] for level in asks], default=ONE),
    )


def _quote(seen: Survey, token: TokenSeen, msg: Message) -> None:
    bid = TICKS_OF[msg.best_bid] if msg.best_bid else 0
    ask = TICKS_OF[msg.best_ask] if msg.best_ask else ONE
    if token.last is not None and (bid, ask) == (token.bid, token.ask):
        seen.odd["repeated"] += 1
    token.last = msg
    token.bid, token.ask = bid, ask
    seen.odd["one_sided"] += not msg.best_bid or not msg.best_ask
    seen.odd["crossed"] += 0 < bid >= ask < ONE
    _against_the_other(seen, token)


def _against_the_other(seen: Survey, token: TokenSeen) -> None:
    """Both asks below 1 together: money for nothing, so one of the two sides is old."""
    up, down = token.market.tokens
    if up.last is not None and down.last is not None and up.ask + down.ask < ONE:
        seen.odd["stale_other_side"] += 1


# --- what is worth telling --------------------------------------------------------------------------------------------


def _catalogue_problems(seen: Survey) -> list[Problem]:
    markets = list(seen.markets.values())
    placeholders = sum(not token.isdigit() for token in seen.tokens)
    no_opening = sum(market.opened_at is None for market in markets)
    unsettled = sum(market.settled is None for market in markets)
    no_strike = sum(market.settled is not None and market.settled.strike is None for market in markets)
    nameless = sum("condition_id" in market.line.market.assumed for market in markets)
    odd = seen.odd
    return [
        Problem("no_catalogue", int(not markets), "no gamma lines: the markets of its tokens are unknown"),
        Problem("placeholder_ids", placeholders, f"{placeholders} of {len(seen.tokens)} token ids are placeholders"),
        Problem("no_condition_id", nameless, "markets without a condition id"),
        Problem("no_opening", no_opening, f"{no_opening} of {len(markets)} markets have no opening line: not traded"),
        Problem("unresolved", unsettled, f"{unsettled} of {len(markets)} markets have no resolved line: not settled"),
        Problem("no_strike", no_strike, f"{no_strike} resolved markets do not tell their strike"),
        Problem("inferred", odd["inferred"], f"{odd['inferred']} outcomes are inferred, not the venue's"),
        Problem("contradiction", odd["contradiction"], "outcomes against their own strike and final price"),
        Problem("rebuilt", seen.counts.notes, f"{seen.counts.notes} lines are rebuilt, not captured verbatim"),
    ]


def _feed_problems(seen: Survey) -> list[Problem]:
    kinds, feeds, odd = seen.kinds, seen.feeds, seen.odd
    windows = any(market.line.market.start is not None for market in seen.markets.values())
    no_average = windows and not feeds["twap_60"]
    no_spot = not (feeds["binance"] or feeds["candles"])
    unknown = sum(seen.unknown_kinds.values())
    offset = round(median(seen.offsets)) if seen.offsets else 0
    prints = kinds["last_trade_price"]
    return [
        Problem("no_trades", int(not prints), "no trade prints"),
        Problem("no_trade_side", odd["no_trade_side"], f"{odd['no_trade_side']} of {prints} prints tell no side"),
        Problem("no_spot", int(no_spot), "no Binance spot price"),
        Problem("no_settlement_feed", int(no_average), "no 60 s average: strikes are not on the tape"),
        Problem("unknown_kinds", unknown, "unknown kinds: " + ", ".join(sorted(seen.unknown_kinds))),
        Problem("bad_values", odd["bad_values"], "messages with a price or size that is no number"),
        Problem("host_gaps", kinds["host gap"], f"{kinds['host gap']} gaps told by the recorder"),
        Problem("clock", int(offset <= -CLOCK_MS), f"the recorder's clock is about {-offset} ms behind the venue's"),
    ]


def _book_problems(seen: Survey) -> list[Problem]:
    odd, kinds = seen.odd, seen.kinds
    silences = [length for market in seen.markets.values() for length in market.silences]
    before = [length for market in seen.markets.values() for length in market.before]
    unknown = odd["unknown_tokens"]
    partial = [market for market in seen.markets.values() if market.partial]
    bookless = sum(not market.first for market in seen.markets.values())
    quotes = kinds["best_bid_ask"]
    repeated = odd["repeated"] if quotes and odd["repeated"] >= REPEATED_SHARE * quotes else 0
    return [
        Problem("no_books", bookless, f"{bookless} of {len(seen.markets)} markets have no books in their window"),
        Problem("no_sizes", quotes if not kinds["book"] else 0, "quotes without sizes: sizes of books are unknown"),
        Problem("one_sided", odd["one_sided"], f"{odd['one_sided']} books or quotes have one side only"),
        Problem("crossed", odd["crossed"], f"{odd['crossed']} books or quotes are crossed"),
        Problem("stale_other_side", odd["stale_other_side"],
                f"{odd['stale_other_side']} times both asks sum below 1: the other side is stale"),
        Problem("gaps", len(silences), _silence_text(silences, "inside windows")),
        Problem("gaps_before", len(before), _silence_text(before, "before windows open")),
        Problem("partial_windows", len(partial), _partial_text(partial)),
        _one_token(seen),
        Problem("repeated_quotes", repeated, f"{odd['repeated']} of {quotes} quotes repeat the one before"),
        Problem("duplicates", odd["duplicates"], f"{odd['duplicates']} messages came twice"),
        Problem("unknown_tokens", unknown, f"{unknown} messages of tokens without a market"),
    ]


def _silence_text(silences: list[int], where: str) -> str:
    longest = max(silences, default=0) / 1_000
    return f"{len(silences)} silences over {SILENCE_MS // 1_000} s {where}, the longest {longest:.0f} s"


def _partial_text(partial: list[MarketSeen]) -> str:
    covered = [market.last - market.first for market in partial]
    shortest = min(covered, default=0) // 1_000
    return f"{len(partial)} windows have books for a part of their time only, the shortest for {shortest} s"


def _one_token(seen: Survey) -> Problem:
    books: Mapping[Side, int] = {
        side: sum(token.books for token in seen.tokens.values() if token.side is side) for side in Side
    }
    total = sum(books.values())
    rare = min(books, key=lambda side: books[side])
    missing = total > 0 and books[rare] < ONE_TOKEN_SHARE * total
    return Problem("one_token", int(missing), f"{books[rare]} of {total} books are of the {rare} token")


# --- for people -------------------------------------------------------------------------------------------------------


def text_lines(seen: Survey, windows: bool) -> list[str]:
    """The survey as lines of text; ``windows``: one line for each market, too."""
    facts = report(seen)
    times = f"{moment_text(seen.first_ts)} to {moment_text(seen.last_ts)}"
    markets = f"{len(seen.markets)} markets ({facts['resolved']} resolved)"
    lines = [
        f"{seen.path}: {seen.counts.lines} lines, {times}, {markets}",
        "  kinds: " + (", ".join(f"{name} {count}" for name, count in sorted(seen.kinds.items())) or "none"),
    ]
    if windows:
        lines += [f"  {_window_text(window)}" for window in facts["windows"]]
    lines += [f"  broken promise: {text}" for text in seen.broken]
    lines += [f"  problem {each.name}: {each.text}" for each in seen.problems()]
    return lines


def _window_text(window: Mapping[str, Any]) -> str:
    text = f"{window['slug']}: {window['messages']} messages, outcome {window['outcome'] or 'not on the tape'}"
    return f"{text}, longest silence {window['longest_silence_ms']} ms"
