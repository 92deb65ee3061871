"""``polyhost doctor``: every question about a set-up asked at once, each with a limit; one failing hides no other.

``checks`` is what a host asks before it trades with real money; ``examined`` does the same for a command, with whatever
has to be opened for it. The questions are in ``service/checkup``; docs/operations.md tells what each answer means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from loguru import logger

from polyhost import __version__
from polyhost.errors import ConfigError, PolyhostError, VenueError
from polyhost.service.checkup import account, machine, venue
from polyhost.service.checkup.check import Check, Context, Depends, Fault, Question, Subject, Verdict, failed, skipped

WITHIN_S: Final = 30.0
"""Every question has its answer by then, wall seconds: requests and sockets below have shorter limits."""
QUESTIONS: Final[Mapping[str, Question]] = {
    "configuration": machine.configuration,
    "client": machine.client,
    "disk": machine.disk,
    "database": machine.database,
    "lease": machine.lease,
    "loops": machine.loops,
    "venue": venue.venue,
    "clock": venue.clock,
    "version": venue.version,
    "geoblock": venue.geoblock,
    "key": account.key,
    "credentials": account.credentials,
    "relayer": account.relayer,
    "wallet": account.wallet,
    "balance": account.balance,
    "allowances": account.allowances,
    "closed-only": account.closed_only,
    "markets": venue.markets,
    "market stream": venue.market_stream,
    "user stream": venue.user_stream,
    "reference prices": venue.reference_prices,
    "spot prices": venue.spot_prices,
}
"""In the order of the report."""
DEEP: Final[Mapping[str, Question]] = {"order": account.order}
"""Asked last, and only by ``--deep``."""
CODES: Final = {Fault.CONFIGURATION: 2, Fault.VENUE: 3, Fault.HOST: 1}
"""Exit code of a report whose failures are of this kind; of several the first that occurs here."""


async def checks(subject: Subject, *, deep: bool = False) -> list[Check]:
    """Every question's answer, in the order of ``QUESTIONS``. Raises nothing for what is wrong: it is told."""
    context = Context(subject)
    try:
        found = list(await asyncio.gather(*(_asked(name, ask, context) for name, ask in QUESTIONS.items())))
        for name, ask in (DEEP if deep else {}).items():
            found.append(await _asked(name, ask, context))
        return found
    finally:
        await context.close()


async def _asked(name: str, ask: Question, context: Context) -> Check:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await ask(context)
    except Depends as other:
        return skipped(name, f"not asked: see {other}")
    except ConfigError as error:
        remedy = error.remedy or "see the table of settings in docs/settings.md"
        return failed(name, _without(error), remedy, Fault.CONFIGURATION)
    except VenueError as error:
        return failed(name, str(error), venue.NETWORK, Fault.VENUE)
    except TimeoutError:
        return failed(name, f"no answer within {WITHIN_S:g} s", venue.NETWORK, Fault.VENUE)
    except PolyhostError as error:
        return failed(name, str(error), "see the message")
    except Exception as error:  # a fault of the doctor's own must not hide the other answers
        logger.opt(exception=error).error("the question about {} failed", name)
        return failed(name, f"could not be looked at: {type(error).__name__}: {error}", "report this")


def unreadable(error: ConfigError) -> list[Check]:
    """The report on a configuration that cannot be read: nothing else can be asked without one."""
    remedy = error.remedy or "`polyhost config check` tells more; docs/settings.md has every key"
    return [failed("configuration", _without(error), remedy, Fault.CONFIGURATION)]


def _without(error: ConfigError) -> str:
    """The error's text without its remedy, which is told apart."""
    text = str(error)
    return text.removesuffix(f"; {error.remedy}") if error.remedy else text


def exit_code(found: Sequence[Check]) -> int:
    """0: nothing failed; 2: something in the configuration did; 3: the venue; 1: anything else."""
    faults = {check.fault for check in found if check.verdict is Verdict.FAILED}
    return next((code for fault, code in CODES.items() if fault in faults), 0)


def described(subject: Subject | None, found: Sequence[Check]) -> dict[str, Any]:
    """The object of ``doctor --json``. ``subject`` None: the configuration does not tell whom."""
    return {
        "version": __version__, "account": subject and subject.account, "mode": subject and subject.mode,
        "data_dir": subject and str(subject.folder), "ok": exit_code(found) == 0,
        "checks": [
            {"name": each.name, "verdict": each.verdict.value, "text": each.text, "remedy": each.remedy}
            for each in found
        ],
    }


def lines(found: Sequence[Check]) -> list[str]:
    """The report for a person: what is wrong has its remedy below it."""
    told = []
    for check in found:
        told.append(f"{check.verdict.value:8} {check.name}: {check.text}")
        if check.remedy and check.verdict is not Verdict.OK:
            told.append(f"{'':8} -> {check.remedy}")
    count = {verdict: sum(check.verdict is verdict for check in found) for verdict in Verdict}
    told.append(", ".join(f"{number} {verdict.value}" for verdict, number in count.items() if number))
    return told
