"""Approvals are shown, asked about and given, and never silently (ORD-22, OPS-11)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from polyhost.configuration import load_configuration
from polyhost.exchange.server import relayer as relayer_routes
from polyhost.exchange.server import running
from polyhost.exchange.server.http import HttpError
from polyhost.exchange.server.settings import Troubles
from polyhost.service.approvals import Setting, described, outcome, question, set_up
from polyhost.service.doctor import checks
from polyhost.service.patients import patient

from .doctor_setups import SPEED, WORLD

Ask = Callable[[Setting], bool]


LIVE = '[accounts.main]\nmode = "live"\nkey = {{ file = "{}" }}\n'
"""A real account, which is given nothing to throw away."""


def settings_of(
    folder: Path, wallet: str, ask: Ask, account: str = ""
) -> tuple[list[Setting], dict[str, tuple[str, str, str]]]:
    """``setup approvals`` twice on an exchange where nothing is approved, and what the doctor says then."""

    async def twice() -> tuple[list[Setting], dict[str, tuple[str, str, str]]]:
        unapproved = msgspec.structs.replace(WORLD, troubles=Troubles(unapproved=True))
        async with running(unapproved, speed=SPEED) as up:
            file = folder / "polyhost.toml"
            file.write_text(
                f'[host]\ndata_dir = "{folder / "data"}"\n[markets]\nsymbols = ["BTC"]\n'
                f'[venue]\nurl = "{up.url}"\nwallet = "{wallet}"\n{account}'
            )
            loaded = load_configuration(file, env={})
            async with patient(loaded.for_account("main") if account else loaded) as subject:
                found = [await set_up(subject, ask) for _ in range(2)]
                said = {each.name: (each.verdict.value, each.text, each.remedy) for each in await checks(subject)}
                return found, said

    return asyncio.run(twice())


def yes(setting: Setting) -> bool:
    return True


def kept(folder: Path, name: str, secret: str) -> Path:
    """A secret in a file of our own."""
    path = folder / name
    path.write_text(secret)
    path.chmod(0o600)
    return path


def test_ops_11_a_plain_wallet_is_approved_end_to_end_after_a_yes(tmp_path: Path) -> None:
    asked: list[Setting] = []

    def noted(setting: Setting) -> bool:
        asked.append(setting)
        return True

    (first, second), doctor = settings_of(tmp_path, "eoa", noted)
    assert first.given is not None
    assert (first.given.done, first.left, doctor["allowances"][0]) == (True, (), "ok")
    assert doctor["relayer"][:2] == ("ok", "none is needed")
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
    assert (first.given, first.done, doctor["allowances"][0]) == (None, False, "failed")
    assert second.missing == first.missing != ()
    assert outcome(first) == ["nothing was sent"]


@pytest.mark.parametrize("wallet", ["proxy", "deposit"])
def test_ops_11_a_contract_wallet_is_approved_end_to_end_at_a_simulated_exchange(tmp_path: Path, wallet: str) -> None:
    """With a relayer key to throw away, as with the private key."""
    (first, second), doctor = settings_of(tmp_path, wallet, yes)
    assert first.given is not None
    assert (first.given.done, first.left, doctor["allowances"][0]) == (True, (), "ok"), first.given
    assert (second.missing, second.done) == ((), True)
    assert doctor["relayer"][:2] == ("ok", "the simulator's throwaway key; the relayer takes it")
    assert "relayer" in "\n".join(question(first))


def test_ops_11_a_contract_wallet_is_approved_with_the_relayer_key_of_its_account(tmp_path: Path) -> None:
    key, relayer = kept(tmp_path, "key", "0x" + "33" * 32), kept(tmp_path, "relayer", "a-relayer-key")
    account = LIVE.format(key) + f'relayer = {{ key = {{ file = "{relayer}" }} }}\n'
    (first, _), doctor = settings_of(tmp_path, "safe", yes, account)
    assert first.given is not None
    assert (first.given.done, doctor["allowances"][0], doctor["relayer"][0]) == (True, "ok", "ok")
    assert doctor["relayer"][1] == f'relayer key {{ file = "{relayer}" }}; the relayer takes it'
    assert "a-relayer-key" not in str(doctor)


def test_ops_11_what_a_contract_wallet_cannot_do_without_a_relayer_key_is_told_with_what_mends_it(
    tmp_path: Path,
) -> None:
    asked: list[Setting] = []
    account = LIVE.format(kept(tmp_path, "key", "0x" + "44" * 32))
    (first, second), doctor = settings_of(tmp_path, "proxy", lambda setting: bool(asked.append(setting)), account)
    assert asked == [], "nobody is asked for a yes to what cannot be done"
    assert first.given is not None
    assert (first.given.done, first.done, doctor["allowances"][0]) == (False, False, "failed")
    assert "polymarket.com" in first.given.manual
    for told in (first.given.problem, doctor["relayer"][2]):
        assert "polymarket.com, Settings, API Keys" in told
        assert '[accounts.main] relayer = { key = { file = "PATH" } }' in told
    assert doctor["relayer"][0] == "warning"
    assert first.given.problem in outcome(first)[0]
    assert second.missing == first.missing != ()


def test_set_03_a_relayer_key_that_the_relayer_does_not_take_is_found_before_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(request: object) -> str:
        raise HttpError(401, "invalid authorization")

    monkeypatch.setattr(relayer_routes, "_authorized", nobody)
    (first, _), doctor = settings_of(tmp_path, "safe", yes)
    assert first.given is not None
    assert not first.given.done
    assert "invalid authorization; the relayer does not take the key of [accounts.NAME] relayer" in first.given.problem
    assert doctor["relayer"][0] == "warning"
    assert "the venue's relayer does not take it for 0x" in doctor["relayer"][1]
    assert "polymarket.com, Settings, API Keys" in doctor["relayer"][2]


def test_set_03_a_relayer_key_that_is_not_where_the_configuration_says_is_named_and_hides_nothing_else(
    tmp_path: Path,
) -> None:
    account = LIVE.format(kept(tmp_path, "key", "0x" + "55" * 32)) + 'relayer = { key = { env = "NOWHERE_TO_BE" } }\n'

    async def looked() -> dict[str, tuple[str, str]]:
        async with running(WORLD, speed=SPEED) as up:
            file = tmp_path / "polyhost.toml"
            file.write_text(
                f'[host]\ndata_dir = "{tmp_path / "data"}"\n[markets]\nsymbols = ["BTC"]\n'
                f'[venue]\nurl = "{up.url}"\nwallet = "safe"\n{account}'
            )
            async with patient(load_configuration(file, env={}).for_account("main")) as subject:
                return {each.name: (each.verdict.value, each.text) for each in await checks(subject)}

    doctor = asyncio.run(looked())
    assert doctor["relayer"][0] == "failed"
    assert "[accounts.main] relayer.key: the environment variable NOWHERE_TO_BE is not set" in doctor["relayer"][1]
    assert doctor["credentials"] == ("skipped", "not asked: see relayer")
    assert doctor["key"][0] == "ok"
