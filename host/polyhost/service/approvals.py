"""``polyhost setup approvals``: what a wallet has not approved, and giving it once a person has said yes (ORD-22)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from polyhost.errors import VenueError
from polyhost.model.examination import Approving, Examination, Missing
from polyhost.model.wallet_kinds import WalletKind
from polyhost.service.checkup.account import missing_text
from polyhost.service.checkup.check import Subject
from polyhost.service.relaying import without_a_key
from polyhost.venue.polymarket.examination import MANUAL


class Setting(Struct):
    """What was found, and what came of it."""

    wallet: str
    kind: WalletKind
    missing: tuple[Missing, ...]
    """Before anything was done."""
    given: Approving | None = None
    """What came of sending them, or why they cannot be sent; None: nobody said yes."""
    left: tuple[Missing, ...] = ()
    """Still missing afterwards, by the venue's index (which may lag a little behind the chain)."""

    @property
    def done(self) -> bool:
        """Nothing is missing that has to be done."""
        return not self.missing or (self.given is not None and self.given.done)


async def set_up(subject: Subject, ask: Callable[[Setting], bool]) -> Setting:
    """Look, ask, give, and look again. Raises ConfigError or VenueError when the account cannot be looked at."""
    gateway = await subject.open_way()
    seen = await gateway.examine(())
    setting = Setting(seen.wallet, seen.kind, _known(seen))
    if setting.missing and (lacking := without_a_key(subject.loaded.configuration)):
        # Nobody is asked for a yes to what cannot be done.
        setting.given = Approving(False, lacking, MANUAL)
    elif setting.missing and ask(setting):
        setting.given = await gateway.approve()
        setting.left = (await gateway.examine(())).missing or ()
    return setting


def _known(seen: Examination) -> tuple[Missing, ...]:
    if seen.missing is None:
        raise VenueError(f"which approvals are missing was not read: {seen.problems.get('missing')}")
    return seen.missing


def question(setting: Setting) -> list[str]:
    """What is missing and what giving it means, before anybody says yes."""
    told = [f"{setting.wallet} ({setting.kind.name.lower()} wallet) has not approved:"]
    told += [f"  {missing_text(each)} ({each.spender})" for each in setting.missing]
    count = len(setting.missing)
    told.append(
        f"Giving these sends {count} transactions from that address, each for a little POL as gas, without a limit of "
        "amount: what trading, merging and redeeming at the venue needs, and what its website asks for."
        if setting.kind is WalletKind.EOA else
        f"Giving these sends one transaction for all {count} through the venue's relayer, without gas and without a "
        "limit of amount: what the venue's website asks for."
    )
    return told


def outcome(setting: Setting) -> list[str]:
    """How it ended, for a person."""
    if not setting.missing:
        return [f"{setting.wallet}: every approval is there"]
    if setting.given is None:
        return ["nothing was sent"]
    if not setting.given.done:
        return [f"the approvals were not given: {setting.given.problem}", f"by hand: {setting.given.manual}"]
    if setting.left:
        return [f"sent and mined; the venue's index still misses {len(setting.left)}: `polyhost doctor` tells when not"]
    return [f"{setting.wallet}: all {len(setting.missing)} approvals are given"]


def described(setting: Setting) -> dict[str, Any]:
    """The object of ``setup approvals --json``."""
    def rows(several: tuple[Missing, ...]) -> list[dict[str, Any]]:
        return [
            {"what": missing_text(each), "token": each.token, "spender": each.spender} for each in several
        ]

    return {
        "wallet": setting.wallet, "kind": setting.kind.name.lower(), "missing": rows(setting.missing),
        "sent": setting.given is not None, "done": setting.done, "left": rows(setting.left),
        "problem": "" if setting.given is None else setting.given.problem,
        "manual": "" if setting.given is None else setting.given.manual,
    }
