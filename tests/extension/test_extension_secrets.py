"""CFG-02: where secrets are kept, how they reach the one plugin whose settings name them, and where they never show."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import extension_builders as make
import pytest
from loguru import logger
from pydantic import ValidationError

from polyhost import Secret
from polyhost.errors import ConfigError
from polyhost.extension import Runner, process
from polyhost.extension.handing import MASKED_BYTES_MIN, handed_over, masked
from polyhost.extension.protocol import Build
from polyhost.model.secrecy import shown
from polyhost.secret import BYTES_MAX, Handed, Unresolved, references_in

HORSE = "correct-horse-battery"


def resolved(**place: str) -> str:
    secret = Secret.model_validate(place)
    secret.resolve()
    return secret.reveal()


def why_not(**place: str) -> str:
    with pytest.raises(Unresolved) as caught:
        resolved(**place)
    assert HORSE not in str(caught.value)
    return f"{caught.value}: {caught.value.remedy}"


def kept(tmp_path: Path, text: str = HORSE, mode: int = 0o600) -> Path:
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(mode)
    return file


# --- places -----------------------------------------------------------------------------------------------------------


def test_cfg_02_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", f" {HORSE}\n")
    assert resolved(env="TOKEN") == HORSE
    monkeypatch.delenv("TOKEN")
    assert why_not(env="TOKEN") == "the environment variable TOKEN is not set: export TOKEN=… before the start"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_cfg_02_a_secret_of_a_file_that_only_we_may_read(tmp_path: Path, mode: int) -> None:
    assert resolved(file=str(kept(tmp_path, HORSE + "\n", mode))) == HORSE


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o644])
def test_cfg_02_a_file_that_others_may_touch_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    file = kept(tmp_path, mode=mode)
    assert why_not(file=str(file)) == f"others may read or write {file}: chmod 600 {file}"


def test_cfg_02_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, me = kept(tmp_path), os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert why_not(file=str(file)) == f"{file} belongs to another user (id {me}): sudo chown {me + 1} {file}"


def test_cfg_02_a_file_that_is_none_or_holds_none_is_told_as_such(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in why_not(file=str(tmp_path / "absent"))
    assert "cannot be read: Is a directory" in why_not(file=str(tmp_path))
    assert "no regular file" in why_not(file=os.devnull)
    assert "is empty: write the secret into it" in why_not(file=str(kept(tmp_path, " \n")))
    assert "larger than" in why_not(file=str(kept(tmp_path, "x" * (BYTES_MAX + 1))))
    file = kept(tmp_path)
    file.write_bytes(b"\xff\xfe")
    assert "it is no text" in why_not(file=str(file))


class KeyringError(Exception):
    pass


class NoKeyringError(KeyringError):
    pass


def keyring(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """The library, as it is when there is a backend, none, or a locked one."""
    library = ModuleType("keyring")

    def get_password(service: str, name: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer.get((service, name))

    library.get_password = get_password  # type: ignore[attr-defined]
    library.errors = SimpleNamespace(KeyringError=KeyringError, NoKeyringError=NoKeyringError)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", library)


def test_cfg_02_a_secret_of_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring(monkeypatch, {("polyhost", "phone"): HORSE, ("a/b", "c"): HORSE})
    assert resolved(keyring="polyhost/phone") == HORSE
    assert resolved(keyring="a/b/c") == HORSE
    assert why_not(keyring="polyhost/desk").endswith("no entry polyhost desk: keyring set polyhost desk")


def test_cfg_02_without_library_or_backend_the_keyring_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert "pip install 'polyhost[keyring]'" in why_not(keyring="polyhost/phone")
    keyring(monkeypatch, NoKeyringError("install keyrings.alt"))
    assert "no keyring that can be used" in why_not(keyring="polyhost/phone")
    assert "{ file = … }" in why_not(keyring="polyhost/phone")
    keyring(monkeypatch, KeyringError(HORSE))
    assert "unlock it" in why_not(keyring="polyhost/phone")


@pytest.mark.parametrize(
    "wrong",
    [
        HORSE, 7, {}, {"env": "A", "file": "B"}, {"env": "A", "keyring": "B/C"}, {"en": HORSE},
        {"env": HORSE}, {"env": "1A"},
        {"env": HORSE.upper()}, {"keyring": HORSE}, {"keyring": f"/{HORSE}"}, {"keyring": f"{HORSE}/"},
    ],
)
def test_cfg_02_what_is_no_reference_is_refused_and_not_repeated(wrong: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        Secret.model_validate(wrong)
    assert HORSE not in str(caught.value).lower()


@pytest.mark.parametrize("trusted", [True, False])
def test_cfg_02_a_secret_pasted_as_the_name_of_its_variable_is_shown_nowhere(tmp_path: Path, trusted: bool) -> None:
    make.plugin_file(tmp_path, "keeper", KEEPER)
    with pytest.raises(ConfigError) as caught:
        make.load(tmp_path, {"keeper": {"token": {"env": HORSE}, "trusted": trusted}})
    message = str(caught.value)
    assert "[plugins.keeper] token: names no environment variable: capital letters, digits and underscores" in message
    assert HORSE not in message
    assert shown("token_place", {"env": HORSE}) == {"env": "(hidden)"}
    assert shown("place", {"env": "PHONE_2"}) == {"env": "PHONE_2"}


def test_log_04_a_resolved_secret_is_in_no_text_and_no_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", HORSE)
    secret = Secret(env="TOKEN")
    secret.resolve()
    assert HORSE not in f"{secret} {secret!r} {secret.model_dump()} {secret.model_dump_json()} {Handed(HORSE)!r}"


# --- handing over -----------------------------------------------------------------------------------------------------


def test_cfg_02_references_are_found_however_deep_and_nothing_else_is_one() -> None:
    table = {
        "a": {"env": "A"}, "b": [{"file": "B"}, 3], "c": {"d": {"keyring": "C/c"}},
        "no": [{"env": 7}, {"env": "A", "file": "B"}, {"envy": "E"}, {}, "env", {"env": ""}],
    }
    assert [secret.reference for secret in references_in(table)] == ["env A", "file B", "keyring C/c"]


def test_cfg_02_what_cannot_be_handed_over_is_told_to_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", HORSE)
    monkeypatch.delenv("ABSENT", raising=False)
    handed = handed_over({"a": {"env": "TOKEN"}, "b": {"env": "ABSENT"}})
    assert handed["env TOKEN"] == Handed(HORSE)
    assert "ABSENT is not set" in handed["env ABSENT"].problem
    for reference, words in (("ABSENT", "ABSENT is not set"), ("OTHER", "nobody handed it over")):
        with pytest.raises(Unresolved, match=words):
            Secret(env=reference).resolve(handed)


def test_cfg_02_a_masked_message_is_the_same_message_without_the_secret() -> None:
    secret, short = "x" * MASKED_BYTES_MIN, "y" * (MASKED_BYTES_MIN - 1)
    message = f"a {secret} b {short}".encode()
    assert masked(message, [secret, short, ""]) == f"a {'*' * len(secret)} b {short}".encode()


KEEPER = """
class Settings(Settings):
    token: Secret
    labels: dict[str, str] = {}
def __init__(self, settings):
    super().__init__(settings)
    self.log.warning("built with " + settings.token.reveal())
@hookimpl
def signal(self, view):
    if view.view_seq == 2:
        raise ValueError("refused: " + self.settings.token.reveal())
    known = {**os.environ, **self.settings.labels}
    reason = f"{len(self.settings.token.reveal())} {sorted(known)} {self.settings.labels}"
    return Signal(0.5, 0.5, reason, {self.settings.token.reveal(): 1.0})
"""
OTHER = "@hookimpl\ndef signal(self, view): return Signal(0.5, 0.5, ' '.join(sorted(os.environ)))"


@pytest.mark.alone
def test_cfg_02_plg_07_a_plugins_process_is_handed_its_own_secrets_and_no_other_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And whatever it says with them, the host hears it without."""
    monkeypatch.setenv("TOKEN", HORSE)
    monkeypatch.setenv("LABEL", "not-a-secret")
    sent: list[Build] = []

    def spy(message: Any) -> bytes:
        sent.extend([message] if isinstance(message, Build) else [])
        return encode(message)

    encode = process.ENCODE
    monkeypatch.setattr(process, "ENCODE", spy)
    make.plugin_file(tmp_path, "keeper", KEEPER)
    make.plugin_file(tmp_path, "other", OTHER)
    tables = {"keeper": {"token": {"env": "TOKEN"}, "labels": {"env": "LABEL"}}, "other": {}}
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="DEBUG")
    found = make.load(tmp_path, tables)
    runner = Runner(found, "none", make.PATIENT)
    try:
        runner.start()
        good, bad = (runner.evaluate_inline(make.view(seq)) for seq in (1, 2))
    finally:
        runner.stop()
        logger.remove(sink)
    assert found[0].secrets() == [HORSE], "for the redactor of the host's own logs"
    said = dict(good.signals)["keeper"]
    assert said.reason.startswith(f"{len(HORSE)} ")
    assert "TOKEN" not in said.reason, "its environment stays empty"
    assert "{'env': 'LABEL'}" in said.reason
    assert bad.used[0].problem.startswith("SecretError: ValueError: refused: (hidden)")
    assert list(said.features) == ["*" * len(HORSE)]
    assert any(line.startswith("built with (hidden)") for line in lines)
    everything = f"{found} {good} {bad} {lines} {sent} {runner.take_struck()}"
    assert HORSE not in everything
    assert {message.name: message.secrets.get("env TOKEN") for message in sent} == {
        "keeper": Handed(HORSE), "other": None,
    }


@pytest.mark.alone
def test_cfg_02_a_process_plugins_secret_that_is_not_there_stops_the_start_as_anyones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    make.plugin_file(tmp_path, "keeper", KEEPER)
    with pytest.raises(ConfigError) as caught:
        make.load(tmp_path, {"keeper": {"token": {"env": "ABSENT"}}})
    message = str(caught.value)
    assert message.startswith("polyhost.toml [plugins.keeper] token: the environment variable ABSENT is not set; given")
    assert message.endswith("export ABSENT=… before the start")


def test_log_04_a_plugin_of_this_process_that_raises_with_its_secret_is_told_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", HORSE)
    make.plugin_file(tmp_path, "keeper", KEEPER)
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}")
    runner = Runner(make.load(tmp_path, {"keeper": {"token": {"env": "TOKEN"}, "trusted": True}}), "none")
    logger.remove(sink)
    assert lines == ["built with (hidden)\n"], "its own log, from its first line on"
    runner.start()
    (used,) = runner.evaluate_inline(make.view(2)).used
    assert used.problem == "SecretError: ValueError: refused: (hidden)"
