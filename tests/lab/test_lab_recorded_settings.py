"""A recorded run carries its configuration, and replays with it whatever the files say now (EVD-04)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from polyhost.configuration import Loaded, load_configuration, recorded
from polyhost.errors import ConfigError
from polyhost.journal import Recorder
from polyhost.journal.retention import prune_recordings
from polyhost.lab.replay import Replayed, compare_answers
from polyhost.model.events import Evaluated, PluginUse

CONDITION = "0x" + "5e" * 32
FILE = """\
plugin_paths = ["mine.py"]
[host]
data_dir = "here"
[markets]
slugs = ["CONDITION"]
[limits]
window = "12.5"
[plugins.fixed_size]
stake = "11"
[plugins.apprise_notify]
[plugins.apprise_notify.urls.phone]
url = { env = "PHONE_URL" }
[plugins.entry_policy]
market = "CONDITION"
""".replace("CONDITION", CONDITION)


def loaded_from(folder: Path, text: str = FILE) -> Loaded:
    (folder / "polyhost.toml").write_text(text)
    return load_configuration(folder / "polyhost.toml", {"exchange.speed": 60.0}, env={})


def kept(folder: Path, loaded: Loaded) -> Path:
    run = folder / "run"
    run.mkdir()
    (run / recorded.FILE).write_bytes(recorded.told(loaded))
    return run


def test_evd_04_a_run_has_its_own_configuration_when_the_file_is_another_now(tmp_path: Path) -> None:
    then = loaded_from(tmp_path)
    run = kept(tmp_path, then)
    now = load_configuration(None, {"host.data_dir": "elsewhere"}, env={})
    found = recorded.of_run(run, now)
    assert found is not None
    assert found.config_hash == then.config_hash != now.config_hash
    wanted = then.configuration.model_dump()
    wanted["host"]["data_dir"] = "elsewhere"
    wanted["plugin_paths"] = (str((tmp_path / "mine.py").resolve()),)
    wanted["plugins"]["entry_policy"]["market"] = "(hidden)"
    assert found.configuration.model_dump() == wanted
    assert list(found.configuration.plugins) == list(then.configuration.plugins)


def test_sec_03_no_secret_stands_beside_a_recording_and_todays_is_taken(tmp_path: Path) -> None:
    then = loaded_from(tmp_path)
    run = kept(tmp_path, then)
    content = json.loads((run / recorded.FILE).read_text())
    assert content["configuration"]["plugins"]["entry_policy"] == {"market": "(hidden)"}
    found = recorded.of_run(run, then)
    assert found is not None
    assert found.configuration.plugins == then.configuration.plugins


def test_evd_04_an_older_recording_has_none(tmp_path: Path) -> None:
    assert recorded.of_run(tmp_path, load_configuration(None, env={})) is None


@pytest.mark.parametrize("change", [
    lambda content: content.pop("configuration"),
    lambda content: content["configuration"].pop("host"),
    lambda content: content["configuration"]["limits"].update(window="much"),
    lambda content: content.update(configuration=3),
])
def test_evd_04_a_damaged_one_is_told_with_the_remedy(tmp_path: Path, change: Any) -> None:
    run = kept(tmp_path, loaded_from(tmp_path))
    content = json.loads((run / recorded.FILE).read_text())
    change(content)
    (run / recorded.FILE).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"configuration\.json.*-c FILE"):
        recorded.of_run(run, load_configuration(None, env={}))


def test_evd_04_it_goes_with_the_last_recording_of_its_run(tmp_path: Path) -> None:
    for name in ("old", "new"):
        recorder = Recorder(tmp_path, name, beside={"configuration.json": b"{}"})
        recorder.close()
    folder = tmp_path / "recordings"
    keep = folder / "new" / "0001.jsonl.gz"
    prune_recordings(folder, 24.0, 0.0, keep, 0.0)
    assert sorted(path.name for path in folder.rglob("*")) == ["0001.jsonl.gz", "configuration.json", "new"]


USE = PluginUse("mine", 40)


@pytest.mark.parametrize(("then", "now", "differ", "away"), [
    ((USE,), (USE,), 0, 0),
    ((USE,), (PluginUse("mine", 40, "signal", "raised"),), 1, 0),
    ((PluginUse("mine", 0, "signal", "no answer within 50 ms", away=True),), (USE,), 0, 1),
    ((USE,), (PluginUse("mine", 0, "signal", "its process is not ready", away=True),), 0, 1),
])
def test_evd_04_what_a_late_process_did_not_answer_is_no_difference_of_the_code(
    then: tuple[PluginUse, ...], now: tuple[PluginUse, ...], differ: int, away: int
) -> None:
    found = Replayed("run")
    compare_answers(found, Evaluated(1, 1, 1, "0x1", used=then), Evaluated(1, 1, 1, "0x1", used=now))
    assert (found.answers_differ, found.answers_away, found.identical) == (differ, away, not differ)
