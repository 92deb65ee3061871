"""The parts of the page as markup: plain functions of the picture. Whatever comes from elsewhere is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from polyhost.web.log_tail import LogLine
from polyhost.web.picture import (
    BlockSeen,
    HostSeen,
    LoopSeen,
    NoticeSeen,
    OrderSeen,
    Picture,
    PluginSeen,
    PositionSeen,
    WindowSeen,
)
from polyhost.web.words import NONE, clock, moment, money, price, reference, safe, size, tone, until, window_name

COVERS = {
    "covered": ("good", "covered"), "held": ("calm", "held"), "closing": ("warn", "closing"),
    "open": ("warn", "not yet"), "unmanaged": ("bad", "UNMANAGED"),
}
HOST_TONES = {
    "trading": "good", "blocked": "warn", "starting": "calm", "stopping": "warn", "sealed": "bad", "stuck": "bad",
    "ended": "calm", "killed": "warn", "never": "calm",
}
PLUGIN_TONES = {
    "inline": "good", "process": "good", "restarting": "warn", "quarantined": "bad", "refused": "bad",
}
LABELS = {"enable": "Enable", "disable": "Disable", "release": "Release", "accept": "Accept"}


# --- small parts ------------------------------------------------------------------------------------------------------


def chip(text: str, tint: str = "", title: str = "") -> str:
    hint = f' title="{safe(title)}"' if title else ""
    return f'<span class="chip {safe(tint)}"{hint}>{safe(text)}</span>'


def asks(label: str, act: str, title: str = "", style: str = "link", **data: str) -> str:
    """A button that tells the server ``act`` with its data."""
    given = "".join(f' data-{name}="{safe(value)}"' for name, value in data.items())
    hint = f' title="{safe(title)}"' if title else ""
    return f'<button type="button" class="{style}" data-act="{act}"{given}{hint}>{label}</button>'


def table(name: str, heads: Sequence[tuple[str, str]], rows: Iterable[str], empty: str) -> str:
    """``heads``: (title, class) of each column; a class ``opt`` leaves it out on a narrow screen."""
    body = "".join(rows)
    if not body:
        return f'<p class="empty">{safe(empty)}</p>'
    head = "".join(f'<th class="{kind}">{safe(title)}</th>' for title, kind in heads)
    return f'<table data-testid="{name}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def cell(text: str, kind: str = "", title: str = "") -> str:
    hint = f' title="{safe(title)}"' if title else ""
    return f'<td class="{kind}"{hint}>{text}</td>'


def window_link(slug: str) -> str:
    what, when = window_name(slug)
    label = f"{safe(what)} <i>{safe(when)}</i>" if when else safe(what)
    return asks(label, "why", f"why: {slug}", kind="window", name=slug)


def probability(p_up: float | None) -> str:
    return NONE if p_up is None else f"{p_up:.3f}"


# --- parts of the page ------------------------------------------------------------------------------------------------


def head(picture: Picture) -> str:
    """Who runs, in what mode, and the market's clock."""
    host = picture.host
    parts = ['<span class="brand">polyhost</span>']
    if host.mode:
        parts.append(chip(host.mode.upper(), f"mode {host.mode}", f"run {host.run}, polyhost {host.version}"))
        parts.append(f'<span class="who">{safe(host.account)}</span>')
    word = "no host" if host.word in ("ended", "killed", "never") else host.word
    parts.append(f'<span data-testid="host">{chip(word, HOST_TONES[host.word], host.text)}</span>')
    if picture.now:
        speed = f" \N{MULTIPLICATION SIGN}{host.speed:g}" if host.running and host.speed != 1 else ""
        running = host.speed if host.word in ("trading", "blocked", "stopping") else 0
        parts.append(
            f'<span class="clock" id="clock" data-now="{picture.now}" data-speed="{running:g}" '
            f'title="market time">{clock(picture.now)} UTC{speed}</span>'
        )
    return "".join(parts)


def alerts(picture: Picture) -> str:
    """What an operator has to know before anything else; empty: nothing."""
    rows = []
    if picture.problem:
        rows.append(_alert("bad", "cannot be read", picture.problem))
    if picture.host.word not in ("trading", "blocked"):
        rows.append(_alert(HOST_TONES[picture.host.word], _host_word(picture.host), picture.host.text))
    rows += [_block_alert(block) for block in picture.blocks]
    rows += [
        _alert("bad", "quarantined", f"{plugin.name}: {plugin.problem}", asks(
            "Release", "say", style="button", word="release", target=plugin.name))
        for plugin in picture.plugins if plugin.state == "quarantined"
    ]
    rows += [
        _alert("bad", "unmanaged", f"{size(each.size)} {each.side} of {each.slug}: {each.reason}")
        for each in picture.positions if each.cover == "unmanaged"
    ]
    if picture.funds.explanation:
        rows.append(_alert("warn", "low balance", picture.funds.explanation))
    return "".join(rows)


def _host_word(host: HostSeen) -> str:
    return "no host" if host.word in ("ended", "killed", "never") else host.word


def _alert(tint: str, word: str, text: str, button: str = "") -> str:
    return f'<div class="alert {tint}"><b>{safe(word)}</b><span>{safe(text)}</span>{button}</div>'


def _block_alert(block: BlockSeen) -> str:
    button = asks("Resume", "say", style="button", word="resume", target=block.name) if block.lasting else ""
    return (
        f'<div class="alert {"bad" if block.lasting else "warn"}" data-testid="block" data-name="{safe(block.name)}">'
        f"<b>{safe(block.name.replace('_', ' '))}</b><span>{safe(block.reason)} "
        f"<i>clears: {safe(block.clears.replace('`', ''))}</i></span>{button}</div>"
    )


def figures(picture: Picture) -> str:
    """Money in one row."""
    money_, funds = picture.money, picture.funds
    told = [
        ("Equity", money(money_.equity), "", "cash, unredeemed, and positions at the best bid"),
        ("Today", money(money_.today, signed=True), tone(money_.today), "closed positions of this day (UTC), fees in"),
        ("Realised", money(money_.realised, signed=True), tone(money_.realised), "all closed positions, fees included"),
        ("Unrealised", money(money_.unrealised, signed=True), tone(money_.unrealised),
         "what open positions would bring at the best bid, less what they cost"),
        ("Free", money(funds.free), "", "collateral that is free"),
        ("In orders", money(funds.in_orders), "", "reserved for open buys"),
        ("In positions", money(funds.in_positions), "", "what open positions cost, fees included"),
        ("Unredeemed", money(funds.unredeemed), "", "what decided markets pay and nobody has redeemed"),
    ]
    return "".join(
        f'<div class="figure" title="{safe(title)}"><span>{name}</span><b class="{tint}" '
        f'data-testid="{name.lower().replace(" ", "-")}">{value}</b></div>'
        for name, value, tint, title in told
    )


def windows(picture: Picture) -> str:
    heads = [
        ("Window", ""), ("Left", "num"), ("UP bid/ask", "num"), ("Strike", "num opt"), ("Spot", "num opt"),
        *((name, "num" + (" opt" if name != trading else "")) for name, trading in _combiners(picture.windows)),
        ("Gate", "opt"), ("P&L", "num"),
    ]
    rows = (_window(window, picture.now, _combiners(picture.windows)) for window in picture.windows)
    return table("windows", heads, rows, "No window yet.")


def _combiners(seen: Sequence[WindowSeen]) -> list[tuple[str, str]]:
    """(combiner, the one that trades), in order of appearance."""
    trading = next((window.trading for window in seen if window.trading), "")
    names = dict.fromkeys(name for window in seen for name in window.estimates)
    return [(name, trading) for name in sorted(names, key=lambda name: (name != trading, name))]


def _window(window: WindowSeen, now: int, combiners: Sequence[tuple[str, str]]) -> str:
    left = {
        "running": until(window.ends_at, now), "ended": "ended", "settled": "settled",
        "upcoming": f"in {until(window.opens_at or now, now)}",
    }[window.phase]
    over = window.phase in ("settled", "upcoming")
    quote = NONE if over or (window.bid is None and window.ask is None) else (
        f"{price(window.bid)}<i>/</i>{price(window.ask)}"
    )
    result = f"{chip(window.winner, window.winner.lower())} " if window.winner else ""
    pnl = f'<span class="{tone(window.pnl)}">{money(window.pnl, signed=True)}</span>' if window.pnl is not None else ""
    cells = [
        cell(window_link(window.slug), "name"), cell(left, "num"), cell(quote, "num"),
        cell(reference(window.strike), "num opt"), cell(_spot(window), "num opt"),
        *(
            cell(_opinion(window.estimates.get(name), over), "num" + (" opt" if name != trading else ""))
            for name, trading in combiners
        ),
        cell("" if over else safe(window.gate), "opt gate", window.gate_text),
        cell(f"{result}{pnl}" or ("open" if window.busy else ""), "num result"),
    ]
    kind = f"{window.phase}{' busy' if window.busy else ''}"
    return f'<tr class="{kind}" data-slug="{safe(window.slug)}">{"".join(cells)}</tr>'


def _opinion(opinion: object, over: bool) -> str:
    p_up = None if over else getattr(opinion, "p_up", None)
    if p_up is None:
        return NONE
    side = "up" if p_up > 0.5 else "down" if p_up < 0.5 else ""
    return f'<span class="{side}">{probability(p_up)}</span>'


def _spot(window: WindowSeen) -> str:
    if window.spot is None or window.phase in ("settled", "upcoming"):
        return NONE
    side = "" if window.strike is None else "up" if window.spot >= window.strike else "down"
    return f'<span class="{side}">{reference(window.spot)}</span>'


def positions(picture: Picture) -> str:
    heads = [
        ("Position", ""), ("Side", ""), ("Shares", "num"), ("Entry", "num opt"), ("Bid", "num opt"), ("P&L now", "num"),
        ("Cover", ""), ("Exit or reason", "opt"), ("Until", "num opt"),
    ]
    return table("positions", heads, (_position(each) for each in picture.positions), "No open position.")


def _position(each: PositionSeen) -> str:
    result = None if each.worth is None else each.worth - each.cost
    tint, word = COVERS[each.cover]
    what, when = window_name(each.slug)
    name = asks(f"{safe(what)} <i>{safe(when)}</i>", "why", f"why: {each.slug} {each.side}",
                kind="position", name=each.slug, side=each.side)
    return "<tr>" + "".join((
        cell(name, "name"), cell(chip(each.side, each.side.lower())), cell(size(each.size), "num"),
        cell(price(each.average), "num opt", f"with fees; cost {money(each.cost)}"), cell(price(each.bid), "num opt"),
        cell(f'<span class="{tone(result)}">{money(result, signed=True)}</span>', "num"),
        cell(chip(word, tint, each.reason)), cell(_linked(each), "opt reason", each.reason),
        cell(clock(each.due), "num opt", "closed or declared held by then"),
    )) + "</tr>"


def _linked(each: PositionSeen) -> str:
    """The reason; the exits that rest lead to their own."""
    if each.cover != "covered" or not each.exits:
        return safe(each.reason)
    return ", ".join(f"{size(exit.size)} at {price(exit.price)} {_order_link(exit.ref)}" for exit in each.exits)


def _order_link(ref: str) -> str:
    return asks(safe(ref), "why", f"why: order {ref}", kind="order", name=ref)


def orders(picture: Picture) -> str:
    """Open ones, then those that ended last."""
    heads = [
        ("Order", ""), ("Window", "opt"), ("For", "opt"), ("What", ""), ("Matched", "num"), ("State", ""),
        ("At", "num opt"),
    ]
    rows = [_order(each, "") for each in picture.orders] + [_order(each, "over") for each in picture.ended[:12]]
    return table("orders", heads, rows, "No order yet.")


def _order(each: OrderSeen, kind: str) -> str:
    what, when = window_name(each.slug)
    action = "buy" if each.action == "BUY" else "sell"
    told = (
        f'<span class="{action}">{safe(each.action)}</span> {size(each.size)} {chip(each.side, each.side.lower())} '
        f"at {price(each.price)} <i>{safe(each.kind)}</i>"
    )
    scoring = {True: chip("scoring", "good"), False: chip("not scoring"), None: ""}[each.scoring]
    state = each.cause.replace("_", " ") if kind and each.cause else each.state
    return f'<tr class="{kind}" data-ref="{safe(each.ref)}">' + "".join((
        cell(f'{_order_link(each.ref)}<div class="under">{safe(what)} {safe(when)}</div>', "name"),
        cell(f"{safe(what)} <i>{safe(when)}</i>", "opt", each.slug),
        cell(f"{safe(each.purpose.replace('_', ' '))} <i>{safe(each.plugin)}</i>", "opt"), cell(told, "what"),
        cell(size(each.matched), "num"), cell(f"{safe(state)} {scoring}", "state"), cell(clock(each.at), "num opt"),
    )) + "</tr>"


def plugins(picture: Picture) -> str:
    heads = [
        ("Plugin", ""), ("State", ""), ("Strikes", "num opt"), ("Mean time", "num opt"), ("", "num"),
    ]
    return table("plugins", heads, (_plugin(each) for each in picture.plugins), "No plugin was ever loaded here.")


def _plugin(each: PluginSeen) -> str:
    buttons = " ".join(
        asks(LABELS[word], "say", style="button small", word=word, target=each.name) for word in each.words
    )
    problem = f'<div class="problem">{safe(each.problem)}</div>' if each.problem else ""
    return f'<tr data-plugin="{safe(each.name)}">' + "".join((
        cell(f"{safe(each.name)}{problem}", "plugin"), cell(chip(each.state, PLUGIN_TONES.get(each.state, "calm"))),
        cell(f'<span class="{"loss" if each.strikes else ""}">{each.strikes}</span>', "num opt"),
        cell(f"{each.mean_us:,} µs" if each.asked else NONE, "num opt",
             f"{each.asked:,} evaluations, the slowest {each.slowest_us / 1_000:,.1f} ms"), cell(buttons, "num"),
    )) + "</tr>"


def loops(picture: Picture) -> str:
    if not picture.loops:
        return '<p class="empty">No host tells of its loops.</p>'
    return "".join(_loop(each) for each in sorted(picture.loops, key=lambda each: (each.alive, not each.safety)))


def _loop(each: LoopSeen) -> str:
    restarts = f" · {each.restarts} restarts" if each.restarts else ""
    tint = "ok" if each.alive else "down"
    title = f"{'a safety loop; ' if each.safety else ''}limit {each.limit_s:g} s"
    reason = f" · {safe(each.reason)}" if each.reason and not each.alive else ""
    mark = " safety" if each.safety else ""
    return f'<span class="loop {tint}{mark}" title="{title}">{safe(each.name)}{restarts}{reason}</span>'


def notices(picture: Picture) -> str:
    rows = "".join(_notice(each) for each in picture.notices)
    return rows or '<p class="empty">No notice yet.</p>'


def _notice(each: NoticeSeen) -> str:
    return (
        f'<div class="line {safe(each.level)}"><time>{moment(each.at)}</time><b>{safe(each.topic)}</b>'
        f"<span>{safe(each.text)}</span></div>"
    )


def log(lines: Sequence[LogLine]) -> str:
    rows = "".join(
        f'<div class="line {safe(line.level.lower())}"><time>{safe(line.time)}</time><b>{safe(line.level[:4])}</b>'
        f"<span>{safe(line.text)}</span></div>"
        for line in reversed(lines)
    )
    return rows or '<p class="empty">Nothing of this level.</p>'
