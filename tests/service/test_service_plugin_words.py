"""``polyhost plugins enable``, ``disable``, ``set``, ``list`` on a running host, and its replay to the byte."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from polyhost.cli.main import main
from polyhost.configuration import load_configuration
from polyhost.configuration.choices import choices_of
from polyhost.model.records import EntriesBlocked, OperatorSaid, OrderIntended, PluginMoved, Record
from polyhost.service.folder import DataFolder
from polyhost.service.session import Session

from .patient_host import be_patient
from .service_runs import eager_configuration, records

WITHIN_S = 240.0
EVALUATIONS = 20
"""Of the run after each change."""


class Story(NamedTuple):
    answers: dict[str, dict[str, Any]]
    records: list[Record]
    data: Path
    config: Path


def said(*words: object) -> dict[str, Any]:
    """One command line with ``--json``; its object."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([*(str(word) for word in words), "--json"])
    assert ended.value.code in (0, None), out.getvalue()
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


async def until(true: Callable[[], bool], run: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not true():
            assert not run.done(), run.exception()
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("words")
    config = eager_configuration(folder, folder / "data", "[exchange]\nspeed = 60.0\n")
    # In this process: on a busy machine an answer from another one may be late, and no replay knows of that.
    config.write_text(config.read_text().replace("[plugins.eager]", "[plugins.eager]\ntrusted = true"))
    answers: dict[str, dict[str, Any]] = {}

    async def scenario() -> None:
        with DataFolder(folder / "data") as place:
            session = Session(load_configuration(config), place)
            run = asyncio.create_task(session.run())
            (account,) = session.accounts

            async def more() -> None:
                wanted = account.kernel.evaluations + EVALUATIONS
                await until(lambda: account.kernel.evaluations >= wanted, run)

            await until(lambda: hasattr(account, "kernel") and bool(account.kernel.state.orders), run)
            for name, words in {
                "disable": ("disable", "eager", "--why", "too eager"), "set": ("set", "exit_plan", "price=0.98"),
                "enable": ("enable", "eager"), "list": ("list",),
            }.items():
                answers[name] = await asyncio.to_thread(said, "plugins", *words, "-c", config)
                await more()
            answers["pause"] = await asyncio.to_thread(said, "pause", "-c", config, "--why", "enough")
            session.stop("the test has seen enough")
            await run

    with pytest.MonkeyPatch.context() as patch:
        be_patient(patch.setattr)
        asyncio.run(scenario())
    return Story(answers, records(folder / "data"), folder / "data", config)


def moved(story: Story) -> list[PluginMoved]:
    return [record for record in story.records if isinstance(record, PluginMoved)]


def test_plg_03_changes_reach_the_running_host_and_are_journaled_with_who_and_why(story: Story) -> None:
    assert [(r.plugin, r.change, r.why) for r in moved(story)] == [
        ("eager", "disabled", "too eager"), ("exit_plan", "set", ""), ("eager", "enabled", ""),
    ]
    assert all("pid" in record.who for record in moved(story))
    assert all(story.answers[word]["durable"] for word in ("disable", "set", "enable"))
    assert story.answers["disable"]["state"] == "disabled"
    assert choices_of(story.data).plugins == {"eager": {"enabled": True}, "exit_plan": {"price": 0.98}}


def test_plg_03_a_plugin_that_is_off_enters_nothing_and_one_that_is_on_again_does(story: Story) -> None:
    off, on = (story.records.index(record) for record in moved(story) if record.plugin == "eager")
    entered = [
        index for index, record in enumerate(story.records)
        if isinstance(record, OrderIntended) and record.why.get("plugin") == "eager"
    ]
    assert [index for index in entered if index < off], "it traded before"
    assert [index for index in entered if off < index < on] == []


def test_plg_03_plugins_list_shows_strikes_and_time_used_of_the_running_host(story: Story) -> None:
    rows = {row["name"]: row for row in story.answers["list"]["plugins"]}
    assert (rows["eager"]["state"], rows["eager"]["strikes"]) == ("inline", 0)
    assert rows["exit_plan"]["asked"] >= EVALUATIONS
    assert rows["exit_plan"]["used_us"] >= rows["exit_plan"]["slowest_us"] >= 0, "none without a position to exit"
    assert rows["kelly"]["strikes"] in (None, 0)


def test_ops_08_an_operators_word_over_the_socket_is_journaled_with_who_and_why(story: Story) -> None:
    assert story.answers["pause"] == {"word": "pause", "target": "", "taken": True, "running": True}
    word, = (record for record in story.records if isinstance(record, OperatorSaid))
    assert (word.word, word.why) == ("pause", "enough")
    assert any(isinstance(record, EntriesBlocked) and record.name == "pause" for record in story.records)


def test_evd_04_a_run_whose_plugins_changed_is_replayed_to_the_byte(story: Story) -> None:
    report = said("replay", "-c", story.config)
    assert report["identical"], report["differences"]
    assert report["asked"] > 3 * EVALUATIONS
