"""The account: key, wallet and who holds the money, credentials, allowances, closed-only; and one order."""

from __future__ import annotations

import asyncio
from typing import Final

from polyhost.errors import ConfigError, VenueError
from polyhost.model import commands
from polyhost.model.events import CancelAnswered, Event, PostAnswered, Prepared, PrepareFailed, SweepDone
from polyhost.model.examination import Examination, Missing
from polyhost.model.gateway import OrderDraft
from polyhost.model.money import Micros, money_text, price_text, size_text
from polyhost.model.order_hash import NEG_RISK_EXCHANGE, STANDARD_EXCHANGE
from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.words import Action, OrderType
from polyhost.service.checkup.check import Check, Context, Depends, Fault, failed, ok, skipped, warning
from polyhost.service.relayer_source import source_of
from polyhost.service.relaying import described, lacks_a_key, relayer_key_of, remedy, why
from polyhost.venue.contract import Gateway

LOW: Final[Micros] = 10_000_000
"""A balance below this is told: 10.00."""
CONTRACTS: Final = {
    STANDARD_EXCHANGE.lower(): "the exchange",
    NEG_RISK_EXCHANGE.lower(): "the neg-risk exchange",
    "0xada100db00ca00073811820692005400218fce1f": "the adapter (merge, redeem)",
    "0xada2005600dec949baf300f4c6120000bdb6eaab": "the neg-risk adapter (merge, redeem)",
    "0x12121212006e4cd160d18e3f00711da5c3372600": "the router of protocol 2",
    "0xe3333700ca9d93003f00f0f71f8515005f6c00aa": "exchange 3",
    "0xdca4af75705dbb50f62437045aff9921947917d2": "perpetuals",
    "0xa1200000d0002264c9a1698e001292d00e1b00af": "the operator that redeems",
    "0x1000008dd9001b968442c1000017eae6e0da00ba": "protocol 2's binary module",
    "0x200000900045e3b6259600682756002200028933": "protocol 2's neg-risk module",
}
"""Names of the contracts that a wallet approves (polymarket-client 0.14.0, read 2026-11)."""
NAMED_MAX: Final = 4
"""Missing approvals named in one line; `polyhost setup approvals` names all."""
DEEP_TRIES: Final = 20
DEEP_PAUSE_S: Final = 0.1
"""An order's rest and its end are looked for so often, and with such pauses (wall seconds)."""
_WHOSE: Final = {
    WalletKind.EOA: "the key's own address (eoa)", WalletKind.PROXY: "its proxy wallet (e-mail and Magic accounts)",
    WalletKind.SAFE: "its Safe (browser wallets)", WalletKind.DEPOSIT: "its deposit wallet (new accounts)",
}


async def key(context: Context) -> Check:
    """There is a key, and it is one. Raises ConfigError."""
    subject = context.subject
    return ok("key", f"{subject.key_named}: address {await subject.address()}")


async def credentials(context: Context) -> Check:
    try:
        await context.way()
    except ConfigError as error:
        raise Depends(_blamed(error)) from error
    except VenueError as error:
        return failed(
            "credentials", f"the venue gives none: {error}",
            "see clock (requests are stamped), then ask again; a key that the venue has banned stays refused",
            Fault.VENUE,
        )
    return ok("credentials", "the venue gave API credentials for this key")


def _blamed(error: ConfigError) -> str:
    """The question that tells of a setting with which no way was opened."""
    named = error.key.partition(".")[0]
    return named if named in ("wallet", "relayer") else "key"


async def relayer(context: Context) -> Check:
    """A contract wallet has what its transactions are sent with. Raises ConfigError: it is not where it should be."""
    settings = context.subject.loaded.configuration
    if lacks_a_key(settings):
        text = f"approvals, merges, redemptions and splits will not work: {why(settings)}"
        return warning("relayer", text, remedy(settings))
    if source_of(settings) is None:
        return ok("relayer", "none is needed")
    try:
        # A host that starts leaves what is secret to its gateway process.
        await context.way() if context.subject.starting else relayer_key_of(settings)
    except ConfigError as error:
        if _blamed(error) == "relayer":
            raise
    except (VenueError, Depends):
        pass  # told by credentials, or by what that needs
    return await _taken(context, described(settings), remedy(settings))


async def _taken(context: Context, key: str, remedy: str) -> Check:
    """Whether the venue's relayer takes the key; trading does not hang on it."""
    try:
        seen = await context.examination()
    except Depends as other:
        return ok("relayer", f"{key}; not shown to the relayer: see {other}")
    if seen.relayer is False:
        return warning("relayer", f"{key}: the venue's relayer does not take it for {seen.owner}", remedy)
    if seen.relayer:
        return ok("relayer", f"{key}; the relayer takes it")
    if problem := seen.problems.get("relayer"):
        return warning("relayer", f"{key}; whether the relayer takes it was not read: {problem}", "ask again")
    return ok("relayer", f"{key}; whether the relayer takes it shows with the first transaction")


async def wallet(context: Context) -> Check:
    """The configured wallet is the one with the money; else the line to change is named."""
    subject = context.subject
    try:
        seen = await context.examination()
    except Depends:
        return await _why_no_wallet(context)
    text = f"{seen.wallet} is {_WHOSE[seen.kind]}"
    if seen.holdings is None:
        return warning("wallet", f"{text}; the key's other wallets were not read: {seen.problems.get('holdings')}")
    richer = [each for each in seen.holdings if each.kind is not seen.kind and each.collateral > 0]
    others = "; ".join(
        f"{_WHOSE[each.kind]} {each.address} holds {money_text(each.collateral)}" for each in richer
    )
    if richer and (seen.collateral or 0) < subject.least:
        best = max(richer, key=lambda each: each.collateral)
        return failed(
            "wallet", f"{text} and holds {money_text(seen.collateral or 0)}; {others}",
            f'the kind of wallet is wrong: write {subject.wallet_line} = "{best.kind.name.lower()}"; or send the funds '
            f"to {seen.wallet}", Fault.CONFIGURATION,
        )
    return ok("wallet", f"{text}; {others or 'no other wallet of the key holds anything'}")


async def _why_no_wallet(context: Context) -> Check:
    try:
        await context.way()
    except ConfigError as error:
        if error.key == "wallet":
            kinds = ", ".join(f'"{kind.name.lower()}"' for kind in WalletKind if kind is not context.subject.kind)
            return failed(
                "wallet", error.problem, f"{context.subject.wallet_line} is one of {kinds} for this key",
                Fault.CONFIGURATION,
            )
    except (VenueError, Depends):
        pass  # told by credentials, or by what that needs
    raise Depends("credentials")


async def balance(context: Context) -> Check:
    seen, subject = await context.examination(), context.subject
    if seen.collateral is None:
        return failed("balance", f"not read: {seen.problems.get('collateral')}", "ask again", Fault.VENUE)
    text = f"{money_text(seen.collateral)} of collateral at {seen.wallet}"
    if seen.collateral >= max(subject.least, LOW):
        return ok("balance", text)
    if seen.collateral >= subject.least:
        return warning("balance", text, "little is left: send pUSD to that address")
    if any(each.collateral > 0 for each in seen.holdings or ()):
        return skipped("balance", f"{text}, and more elsewhere: see wallet")
    return failed(
        "balance", f"{text}; nothing is entered below {money_text(subject.least)} ([safety] balance_min)",
        f"send pUSD (Polygon) to {seen.wallet}; USDC is none until it is deposited through polymarket.com",
    )


async def allowances(context: Context) -> Check:
    seen = await context.examination()
    if seen.exchanges_may_spend is None:
        return failed("allowances", f"not read: {seen.problems.get('collateral')}", "ask again", Fault.VENUE)
    remedy = "polyhost setup approvals"
    if not seen.exchanges_may_spend:
        return failed("allowances", f"the exchanges may not move this wallet's collateral{_named(seen)}", remedy)
    if seen.missing is None:
        return warning("allowances", f"orders can be paid; the rest was not read: {seen.problems.get('missing')}")
    if seen.missing:
        return warning("allowances", f"orders can be paid{_named(seen)}", remedy)
    return ok("allowances", "every contract that trading needs may move collateral and shares")


def _named(seen: Examination) -> str:
    missing = [missing_text(each) for each in seen.missing or ()]
    more = f" and {len(missing) - NAMED_MAX} more" if len(missing) > NAMED_MAX else ""
    return f"; missing: {', '.join(missing[:NAMED_MAX])}{more}" if missing else ""


def missing_text(missing: Missing) -> str:
    """One missing approval for a person."""
    name = CONTRACTS.get(missing.spender.lower(), missing.spender)
    return f"{'shares' if missing.shares else 'collateral'} for {name}"


async def closed_only(context: Context) -> Check:
    seen = await context.examination()
    if seen.closed_only is None:
        return warning("closed-only", f"not read: {seen.problems.get('closed_only')}", "ask again")
    if seen.closed_only:
        return failed(
            "closed-only", "the venue lets this account close positions and open none",
            "look at the account on polymarket.com; the host keeps exiting, and tries to enter again every 10 minutes",
        )
    return ok("closed-only", "the account may open positions")


# --- one order --------------------------------------------------------------------------------------------------------


async def order(context: Context) -> Check:
    """Place a post-only order far from the market, see it at the venue, cancel it, and see that it is gone."""
    subject = context.subject
    if subject.endpoints.live:
        return skipped("order", "only on a simulated exchange: no order is placed at the live venue for a test")
    if subject.running is not None:
        return skipped("order", "a host runs on this account, and would take the order for somebody else's: stop it")
    seen = await context.examination()
    if not seen.exchanges_may_spend or not seen.collateral:
        raise Depends("balance" if seen.exchanges_may_spend else "allowances")
    market = await context.needs("markets", context.market())
    if market is None:
        raise Depends("markets")
    draft = OrderDraft(
        "doctor", market.up, Action.BUY, OrderType.GTC, market.tick, market.min_size, market.tick, market.neg_risk,
        post_only=True,
    )
    what = f"BUY {size_text(draft.size)} UP of {market.slug} at {price_text(draft.price)}, post-only"
    return await _through(await context.way(), draft, what)


async def _through(way: Gateway, draft: OrderDraft, what: str) -> Check:
    prepared = await way.execute(commands.Prepare(draft))
    if not isinstance(prepared[0], Prepared):
        reason = prepared[0].reason if isinstance(prepared[0], PrepareFailed) else "no answer"
        return failed("order", f"{what} was not signed: {reason}", "see client and wallet")
    request = prepared[0].request
    posted = await way.execute(commands.Post(request))
    answer = posted[0]
    if not isinstance(answer, PostAnswered) or answer.outcome != "accepted":
        text = answer.text if isinstance(answer, PostAnswered) else "no answer"
        await way.execute(commands.Cancel(request.order_id))
        return failed("order", f"{what} was not taken: {text}", "docs/order-outcomes.md explains it", Fault.VENUE)
    seen = await _until(way, request.order_id, rests=True)
    cancelled = await way.execute(commands.Cancel(request.order_id))
    gone = await _until(way, request.order_id, rests=False)
    if seen and gone:
        return ok("order", f"{what}: taken, seen at the venue, cancelled, and gone")
    said = cancelled[0].text if cancelled and isinstance(cancelled[0], CancelAnswered) else ""
    problem = "was never seen among the open orders" if gone else f"still rests after its cancel ({said or 'why?'})"
    return failed("order", f"{what} {problem} ({request.order_id})", "polyhost kill --all cancels it", Fault.VENUE)


async def _until(way: Gateway, order_id: str, *, rests: bool) -> bool:
    """Whether it comes to rest (or is gone) within some looks at the open orders."""
    for _ in range(DEEP_TRIES):
        if _rests(await way.execute(commands.Sweep("", 0)), order_id) == rests:
            return True
        await asyncio.sleep(DEEP_PAUSE_S)
    return False


def _rests(answers: list[Event], order_id: str) -> bool | None:
    """Among the open orders; None: nobody knows."""
    for answer in answers:
        if isinstance(answer, SweepDone) and answer.complete:
            return any(row.order_id.lower() == order_id.lower() for row in answer.orders)
    return None
