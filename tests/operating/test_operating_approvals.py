"""Approvals are shown, asked about and given, and never silently (ORD-22, OPS-11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from polyhost.configuration import load_configuration
from polyhost.exchange.server import running
from polyhost.exchange.server.settings import Troubles
from polyhost.service.approvals import Setting, described, outcome, question, set_up
from polyhost.service.doctor import checks
from polyhost.service.patients import patient

from .doctor_setups import SPEED, WORLD

Ask = Callable[[Setting], bool]


def settings_of(folder: Path, wallet: str, ask: Ask) -> tuple[list[Setting], str]:
    """``setup approvals`` twice on an exchange where nothing is approved, and what the doctor says then."""

    async def twice() -> tuple[list[Setting], str]:
        unapproved = msgspec.structs.replace(WORLD, troubles=Troubles(unapproved=True))
        async with running(unapproved, speed=SPEED) as up:
            file = folder / "polyhost.toml"
            file.write_text(
                f'[host]\ndata_dir = "{folder / "data"}"\n[markets]\nsymbols = ["BTC"]\n'
                f'[venue]\nurl = "{up.url}"\nwallet = "{wallet}"\n'
            )
            async with patient(load_configuration(file, env={})) as subject:
                found = [await set_up(subject, ask) for _ in range(2)]
                (allowances,) = [each for each in await checks(subject) if each.name == "allowances"]
                return found, allowances.verdict.value

    return asyncio.run(twice())


def test_ops_11_a_plain_wallet_is_approved_end_to_end_after_a_yes(tmp_path: Path) -> None:
    asked: list[Setting] = []

    def yes(setting: Setting) -> bool:
        asked.append(setting)
        return True

    (first, second), doctor = settings_of(tmp_path, "eoa", yes)
    assert first.given is not None
    assert (first.given.done, first.left, doctor) == (True, (), "ok")
    assert [asked_of is first for asked_of in asked] == [True], "once: the second time nothing is missing"
    assert (second.missing, second.given, second.done) == ((), None, True)
    assert outcome(first) == [f"{first.wallet}: all {len(first.missing)} approvals are given"]
    assert outcome(second) == [f"{first.wallet}: every approval is there"]
    told = "\n".join(question(first))
    assert all(each.spender in told for each in first.missing)
    assert "POL" in told
    assert described(first)["done"]


def test_ord_22_without_a_yes_nothing_is_sent(tmp_path: Path) -> None:
    (first, second), doctor = settings_of(tmp_path, "eoa", lambda setting: False)
    assert (first.given, first.done, doctor) == (None, False, "failed")
    assert second.missing == first.missing != ()
    assert outcome(first) == ["nothing was sent"]


@pytest.mark.parametrize("wallet", ["proxy", "safe", "deposit"])
def test_ops_11_what_a_contract_wallet_cannot_do_without_a_relayer_key_is_told_with_the_way_by_hand(
    tmp_path: Path, wallet: str
) -> None:
    (first, second), doctor = settings_of(tmp_path, wallet, lambda setting: True)
    assert first.given is not None
    assert (first.given.done, first.done, doctor) == (False, False, "failed")
    assert "polymarket.com" in first.given.manual
    assert "relayer key" in first.given.problem
    assert first.given.problem in outcome(first)[0]
    assert "relayer" in "\n".join(question(first))
    assert second.missing == first.missing
