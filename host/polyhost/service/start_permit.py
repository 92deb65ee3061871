"""What must be true before real money trades: a passed doctor, and at the very first start a person who was told.

An account section and a key source are the configuration's own rules (configuration/rules.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from polyhost.configuration import Loaded
from polyhost.configuration.difference import LOSSES, losses
from polyhost.errors import ConfigError, PolyhostError
from polyhost.journal import journal_status, read_journal
from polyhost.model.money import size_text
from polyhost.model.records import RunStarted

if TYPE_CHECKING:
    from polyhost.service.patients import Reached


ONLY_ENTRIES: Final = frozenset({
    "disk", "clock", "geoblock", "relayer", "balance", "allowances", "closed-only", "markets",
    "market stream", "user stream", "reference prices", "spot prices",
})
"""What the doctor may find wrong while an exit still can be tried: no reason to leave positions to themselves. A wrong
wallet is none of it: the positions would be looked for where they never were."""


class NotWellError(ConfigError):
    """The doctor found something: live does not start. ``exit_code`` is the doctor's: only what a person has to change
    (2) keeps a service manager from trying again."""

    def __init__(self, problem: str, exit_code: int) -> None:
        super().__init__(problem, remedy="polyhost doctor tells all of it")
        self.exit_code = exit_code  # type: ignore[misc]


async def well(loaded: Loaded, account: Reached, *, guarding: bool = False) -> dict[str, str]:
    """Have this account examined as ``polyhost doctor`` does, by its own gateway process.

    Raises NotWellError when anything fails. Only where ``guarding`` (orders or positions of an earlier run are open,
    which nobody else watches) and what fails leaves exits possible, that is returned instead (the doctor's line → what
    it says): the account starts, and enters nothing. Empty: all is well.
    """
    # Only a live start needs them.
    from polyhost.service import doctor, patients

    with suppress(PolyhostError):  # what is wrong with it is the doctor's to say; how long it loads is no symptom
        await account.reach()
    async with patients.patient(loaded, account) as subject:
        found = await doctor.checks(subject)
    bad = {
        each.name: each.text + (f" ({each.remedy})" if each.remedy else "") for each in found if each.failed
    }
    if bad and not (guarding and ONLY_ENTRIES.issuperset(bad)):
        told = "; ".join(f"{name}: {text}" for name, text in bad.items())
        raise NotWellError(f"live does not start, the doctor found: {told}", doctor.exit_code(found))
    return bad


def may_begin(
    live: Mapping[str, tuple[Loaded, Path]], *, yes: bool, ask: Callable[[str], str] = input,
    tell: Callable[[str], object] = lambda line: print(line, file=sys.stderr), terminal: bool | None = None,
) -> None:
    """At the first start of live accounts (name → configuration and journal): tell what can be lost, and have it said.

    ``yes``: it was said already (``--yes``). ``terminal`` None: whether standard input is one. Raises ConfigError:
    nobody said it.
    """
    first = {name: loaded for name, (loaded, journal) in live.items() if not begun_live(journal)}
    if not first:
        return
    for name, loaded in first.items():
        for line in can_be_lost(name, loaded):
            tell(line)
    if yes:
        return
    names = ", ".join(first)
    if not (sys.stdin.isatty() if terminal is None else terminal):
        raise ConfigError(
            f"the first live start of {names} needs a person", key="--yes",
            remedy="start it once with --yes, or from a terminal",
        )
    if ask(f"Type the account's name to trade with real money ({names}): ").strip() != names:
        raise ConfigError(f"the first live start of {names} was not confirmed", key="--yes")


def begun_live(journal: Path) -> bool:
    """Has the account traded live before?"""
    return journal_status(journal).exists and any(
        isinstance(record, RunStarted) and record.mode == "live" for _, record in read_journal(journal)
    )


def can_be_lost(name: str, loaded: Loaded) -> Iterator[str]:
    """What an account's configuration lets be lost, in lines; collateral."""
    settings = loaded.configuration
    yield f"account {name} begins to trade live, with real money. By its configuration it can lose:"
    found = {LOSSES[key]: amount for key, amount in losses(settings).items()}
    found["everything at risk at one time"] = size_text(int(settings.limits.total))
    width = max(len(text) for text in found)
    for text, amount in found.items():
        yield f"  {text.ljust(width)}  {amount}"
    yield "  Limits count what is paid and reserved; a venue that does not pay what it owes is on top of that."
