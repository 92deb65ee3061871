"""``plugins enable``, ``disable``, ``set``, ``info``, ``release``, ``accept`` where no host runs, or none answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from polyhost.cli.main import main
from polyhost.configuration.choices import choices_of, choose
from polyhost.journal import JournalStore
from polyhost.model.records import PluginMoved
from polyhost.service.folder import DataFolder
from polyhost.service.operator_box import waiting

FILE = """\
plugin_paths = ["mine.py"]
[host]
data_dir = "data"
[plugins.mine]
trusted = true
[plugins.sentiment]
enabled = false
"""
MINE = """
from polyhost import *

class Mine(Plugin):
    name = "mine"
    description = "Mine."

    @hookimpl
    def signal(self, view):
        return None
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "polyhost.toml").write_text(FILE)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["plugins", *words])
    out, error = capsys.readouterr()
    return int(ended.value.code or 0), out, error


def report(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out, error = said(capsys, *words, "--json")
    assert code == 0, error
    found: dict[str, Any] = json.loads(out)
    return found


def test_plg_03_what_is_chosen_is_written_to_the_machines_file_and_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(capsys, "set", "exit_plan", "price=0.97", "age_min_s=30")
    assert (code, out.splitlines()) == (0, [
        "[plugins.exit_plan] price: not chosen -> 0.97", "[plugins.exit_plan] age_min_s: not chosen -> 30",
        "exit_plan is inline: no host runs; it holds from the next start",
    ])
    assert report(capsys, "disable", "mine")["changes"] == ["[plugins.mine] enabled: not chosen -> false"]
    code, out, _ = said(capsys, "disable", "mine")
    assert "nothing is another value than before" in out
    assert report(capsys, "set", "exit_plan", "price=")["changes"] == ["[plugins.exit_plan] price: 0.97 -> not chosen"]
    assert report(capsys, "enable", "kelly", "--with", "fraction=0.1")["state"] == "inline"
    assert choices_of(folder / "data").plugins == {
        "exit_plan": {"age_min_s": 30}, "mine": {"enabled": False}, "kelly": {"fraction": 0.1, "enabled": True},
    }
    assert (folder / "polyhost.toml").read_text() == FILE, "a person's file is never written"


def test_ops_08_what_is_done_while_no_host_runs_waits_to_be_journaled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report(capsys, "disable", "mine", "--why", "too loud")
    report(capsys, "disable", "mine")  # changes nothing
    report(capsys, "set", "exit_plan", "price=0.97")
    report(capsys, "accept", "mine")
    words = [(word.word, word.target, word.done) for _, word in waiting(folder / "data")]
    assert words == [("disable", "mine", True), ("set", "exit_plan", True), ("accept", "mine", True)]
    word = waiting(folder / "data")[0][1]
    assert re.fullmatch(r"too loud \(said 20\d\d-\d\d-\d\d [0-9:]{8} UTC, while no host ran\)", word.why)
    assert word.who


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["enable", "sentiment"], ["polyhost.toml:7 [plugins.sentiment] enabled", "always wins", "enabled = false`"]),
        (["set", "exit_plan", "price=7"], ["[plugins.exit_plan] price", "given 7"]),
        (["set", "exit_plan", "prise=0.9"], ["[plugins.exit_plan] prise", "'price'"]),
        (["set", "exit_plan", "price"], ["KEY=VALUE: names no value", "`polyhost plugins set exit_plan price=…`"]),
        (["set", "mine", "trusted=true"], ["trusted", "only a person"]),
        (["disable", "mien"], ["did you mean 'mine'"]),
        (["accept", "mien"], ["did you mean 'mine'"]),
        (["disable", "additive"], ["combiner"]),
        (["set", "", "a=1"], ["NAME: cannot be a plugin's name; given ''; allowed: letters, digits"]),
        (["set", "a.b", "c=1"], ["cannot be a plugin's name (did you mean 'a_b'?); given 'a.b'"]),
        (["enable", "My Plug"], ["did you mean 'my_plug'"]),
        (["accept", "../up"], ["cannot be a plugin's name"]),
    ],
)
def test_plg_03_what_is_refused_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], parts: list[str]
) -> None:
    code, _, error = said(capsys, *words)
    assert code == 2
    assert [part for part in parts if part not in error] == []
    assert choices_of(folder / "data").plugins == {}


def test_plg_03_a_slip_of_a_name_switches_nothing_off_also_where_a_file_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that cannot be read may offer any name; whoever types `kely` believes that kelly is off."""
    (folder / "mine.py").write_text("class Mine(Plugin)\n")
    code, _, error = said(capsys, "disable", "kely")
    assert (code, "did you mean 'kelly'?" in error) == (2, True)
    assert choices_of(folder / "data").plugins == {}
    assert said(capsys, "disable", "mine")[0] == 0, "it is named: it can be switched off"


def test_plg_03_info_tells_where_each_setting_comes_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "set", "exit_plan", "price=0.97")
    code, out, _ = said(capsys, "info", "exit_plan")
    assert code == 0
    assert 'price = "0.97"  # choice data/choices.toml:7\n  Where the sell rests' in out, "as TOML has it"
    assert "age_min_s = 60.0  # default" in out
    assert report(capsys, "info", "mine")["hooks"] == ["signal"]
    assert report(capsys, "info", "kelly")["state"] == "disabled"


def test_sec_02_a_changed_plugin_is_told_and_accepted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(capsys, "accept", "mine")["accepted"] is True
    assert report(capsys, "accept", "mine")["accepted"] is False
    assert report(capsys, "accept", "exit_plan")["accepted"] is False
    (folder / "mine.py").write_text(MINE + "\n# more\n")
    rows = {row["name"]: row for row in report(capsys, "list")["plugins"]}
    assert rows["mine"]["state"] == "refused"
    assert "changed: mine.py" in rows["mine"]["problem"]
    code, out, _ = said(capsys, "accept", "mine")
    changed = "what differs from the one before: changed: mine.py"
    told = f"mine ({folder / 'mine.py'}) is accepted as it is now; {changed}; it runs from the next start\n"
    assert (code, out) == (0, told)
    assert report(capsys, "info", "mine")["state"] == "inline"


def test_plg_03_a_plugin_that_is_gone_blocks_nobody_and_is_switched_off(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file vanished, and a choice names another one that no longer exists."""
    (folder / "mine.py").unlink()
    choose(folder / "data", "old_one", True)
    rows = {row["name"]: row for row in report(capsys, "list")["plugins"]}
    assert (rows["mine"]["state"], rows["old_one"]["state"], rows["exit_plan"]["state"]) == (
        "refused", "refused", "inline"
    )
    assert "mine.py': there is no such file or folder" in rows["mine"]["problem"]
    assert report(capsys, "info", "old_one")["state"] == "refused"
    assert report(capsys, "disable", "exit_plan")["state"] == "disabled"
    assert report(capsys, "disable", "old_one")["changes"] == ["[plugins.old_one] enabled: true -> false"]
    assert report(capsys, "disable", "mine")["state"] == "disabled"
    rows = {row["name"]: row for row in report(capsys, "list")["plugins"]}
    assert (rows["mine"]["state"], rows["old_one"]["state"]) == ("disabled", "disabled")
    code, _, error = said(capsys, "enable", "mine")
    assert (code, "would not run: plugin 'mine': nothing offers this plugin any more" in error) == (2, True)


def test_cfg_02_list_and_info_need_no_secret_of_the_hosts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phone = '[plugins.apprise_notify.channels.phone]\nurls = [{ env = "PHONE_URL" }]\n'
    mine = '[plugins.mine]\ntoken = { env = "MINE_TOKEN" }\n'
    (folder / "polyhost.toml").write_text(FILE.replace("[plugins.mine]\ntrusted = true\n", mine) + phone)
    rows = {row["name"]: row for row in report(capsys, "list")["plugins"]}
    for name, variable, state in (("apprise_notify", "PHONE_URL", "inline"), ("mine", "MINE_TOKEN", "process")):
        text = f"secret not set here: the environment variable {variable} is not set; the host needs it when it starts"
        assert rows[name]["state"] == state
        assert rows[name]["notes"] == [text]
        assert text in said(capsys, "info", name)[1]
        assert f"\n  {text}\n" in said(capsys, "list")[1]
    assert rows["apprise_notify"]["hooks"] == ["start", "notify"]
    assert rows["apprise_notify"]["settings"]["channels"]["phone"]["urls"] == [{"env": "PHONE_URL"}]


def test_plg_05_a_quarantine_is_shown_from_the_journal_and_released_by_the_next_start(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(capsys, "release", "mine")
    assert (code, out) == (0, "mine is not quarantined\n")
    (folder / "data").mkdir(exist_ok=True)
    store = JournalStore(folder / "data" / "journal.db", "main")
    store.commit([PluginMoved(5, "mine", "quarantined", why="no answer")])
    store.close()
    rows = {row["name"]: row for row in report(capsys, "list")["plugins"]}
    assert (rows["mine"]["state"], rows["mine"]["problem"]) == ("quarantined", "no answer")
    assert "mine is let in again, by the next start" in said(capsys, "release", "mine", "--why", "mended")[1]
    *_, (_, word) = waiting(folder / "data")
    assert (word.word, word.target, word.why) == ("release", "mine", "mended")


def test_ops_08_a_host_that_does_not_answer_finds_the_word_as_a_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with DataFolder(folder / "data"):
        assert report(capsys, "disable", "mine", "--why", "later")["running"] is True
        assert report(capsys, "accept", "mine")["running"] is True
        assert report(capsys, "release", "mine")["changed"] is True
    words = [(word.word, word.target, word.why) for _, word in waiting(folder / "data")]
    assert words == [("disable", "mine", "later"), ("accept", "mine", ""), ("release", "mine", "")]
    assert choices_of(folder / "data").plugins == {"mine": {"enabled": False}}
