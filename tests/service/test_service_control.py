"""The control socket: who may speak, what is bounded, and that a word is in the journal when it is answered."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import stat
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from polyhost.cli import kill, operator
from polyhost.cli.main import main
from polyhost.errors import ConfigError
from polyhost.files import PATH_BYTES_MAX, short_path
from polyhost.journal import JournalStore
from polyhost.kernel.state import fold
from polyhost.model.events import Operator
from polyhost.model.records import EntriesBlocked, Record, RunEnded
from polyhost.service import control, control_client, live_file
from polyhost.service.control import ControlServer, Word
from polyhost.service.control_client import (
    REQUEST_BYTES_MAX,
    SOCKET,
    TOKEN,
    NoAnswerError,
    RefusedError,
    Request,
    ask,
)
from polyhost.service.control_words import OperatorWords
from polyhost.service.folder import DataFolder
from polyhost.service.live_file import Live
from polyhost.service.operator_box import leave, waiting
from polyhost.service.order_words import OrderWords
from polyhost.service.plugin_life import CHANGES, plugin_words
from polyhost.service.word_targets import means_nothing

TIMEOUT_S = 100.0
"""Wall seconds: whatever is awaited has happened by then."""
NEVER_S = 3_600.0
"""Wall seconds: who waited for this would not be there in time."""
LIVE = Live("run-1", 5, True, "", {}, [])


class Host:
    """A run that takes words; its disk has everything at once."""

    def __init__(self) -> None:
        self.halted = False
        self.broken: Exception | None = None
        self.heard: list[Operator] = []
        self.on_disk = True

    def record_seq(self) -> int:
        return len(self.heard)

    def durable_seq(self) -> int:
        return len(self.heard) if self.on_disk else 0


def words_of(
    host: Host, cannot: dict[str, str] | None = None, pointless: Callable[[str, str], str] | None = None
) -> dict[str, Word]:
    return OperatorWords(host, host.heard.append, lambda: LIVE, "run-1", cannot, pointless).table()


def served(
    folder: Path, body: Callable[[], Awaitable[None]], words: dict[str, Word] | None = None, host: Host | None = None
) -> Host:
    """A server on ``folder`` while ``body`` runs."""
    host = host or Host()

    async def scenario() -> None:
        server = ControlServer(folder, words if words is not None else words_of(host))
        beats: list[None] = []
        running = asyncio.create_task(server.run(lambda: beats.append(None)))
        async with asyncio.timeout(TIMEOUT_S):
            while not beats:
                await asyncio.sleep(0.001)
            await body()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
    return host


def said(folder: Path, do: str, args: dict[str, Any] | None = None, **more: Any) -> Awaitable[dict[str, Any]]:
    return asyncio.to_thread(ask, folder, do, args, **more)


async def raw(folder: Path, data: bytes) -> list[dict[str, Any]]:
    """What comes back for these bytes until the server closes the connection."""
    with short_path(folder, SOCKET) as path:
        reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    writer.write_eof()
    answered = await reader.read()
    writer.close()
    return [json.loads(line) for line in answered.splitlines()]


def test_set_03_a_word_that_the_account_cannot_do_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    """A contract wallet without a relayer key."""

    async def body() -> None:
        with pytest.raises(RefusedError, match="no redeem: no relayer key; make one") as refused:
            await said(tmp_path, "redeem", {"window": ""})
        assert refused.value.exit_code == 1
        assert (await said(tmp_path, "close", {"window": "w"}))["taken"]

    host = Host()
    served(tmp_path, body, words_of(host, {"redeem": "no relayer key; make one"}), host)
    assert [word.word for word in host.heard] == ["close"]


@pytest.mark.parametrize(
    ("word", "args", "says"),
    [
        ("close", {"window": "btc-updown-5m-1"}, "no position is open in 'btc-updown-5m-1'; open: none"),
        ("redeem", {"window": "btc-updown-5m-1"}, "no market of this account is called"),
        ("merge", {"window": "btc-updown-5m-1"}, "no market of this account is called"),
        ("resume", {"breaker": "drawdwon"}, "'drawdwon' blocks nothing; what does: drawdown"),
        ("resume", {"breaker": "low_balance"}, "ends by itself with the funds; no word clears it"),
    ],
)
def test_ops_08_a_word_about_nothing_is_refused_with_what_it_may_be_about(
    tmp_path: Path, word: str, args: dict[str, str], says: str
) -> None:
    """A mistyped window is not closed by being taken."""
    state = fold([EntriesBlocked(1, "drawdown", True, "test")])

    async def body() -> None:
        with pytest.raises(RefusedError, match=re.escape(says)) as refused:
            await said(tmp_path, word, args)
        assert refused.value.exit_code == 1
        for fine in ("close", "resume"):
            await said(tmp_path, fine)
        await said(tmp_path, "resume", {"breaker": "drawdown"})

    host = Host()
    served(tmp_path, body, words_of(host, pointless=partial(means_nothing, state)), host)
    assert [each.word for each in host.heard] == ["close", "resume", "resume"]


def test_ops_08_a_word_over_the_socket_reaches_the_kernel_with_who_and_why(tmp_path: Path) -> None:
    async def body() -> None:
        told = await said(tmp_path, "resume", {"breaker": "drawdown"}, who="ann", why="looked at it")
        assert told == {"taken": True, "record": 1, "durable": True}
        await said(tmp_path, "kill", {"all": True, "flatten": True}, who="ann")

    assert served(tmp_path, body).heard == [
        Operator("resume", "drawdown", "ann", why="looked at it"), Operator("kill", "all", "ann", flatten=True),
    ]


def test_ops_01_a_host_that_cannot_write_its_figures_is_asked_for_them(tmp_path: Path) -> None:
    """Its disk is full, and it lives: nobody is to take it for dead, and end it."""
    # Said in an hour: it does not grow old while the test runs.
    young = msgspec.structs.replace(LIVE, wall=time.time_ns() // 1_000_000 + 3_600_000, phase="trading")

    async def body() -> None:
        for old in (None, msgspec.structs.replace(LIVE, wall=5)):
            if old is not None:
                live_file.write(tmp_path, old)
            assert await asyncio.to_thread(live_file.newest, tmp_path) == young
        live_file.write(tmp_path, written := msgspec.structs.replace(young, phase="settling"))
        assert await asyncio.to_thread(live_file.newest, tmp_path) == written, "it was not asked"

    host = Host()
    words = OperatorWords(host, host.heard.append, lambda: young, "run-1").table()
    served(tmp_path, body, words, host)
    live_file.write(tmp_path, LIVE)
    assert live_file.newest(tmp_path) == LIVE, "nobody answers: what was said last"


def test_sec_03_only_this_user_reaches_the_socket_and_only_with_the_token(tmp_path: Path) -> None:
    async def body() -> None:
        for name in (SOCKET, TOKEN):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name
        answer, = await raw(tmp_path, b'{"id":7,"token":"guess","do":"kill"}\n{"id":8,"token":"guess","do":"kill"}\n')
        assert (answer["id"], answer["ok"], answer["error"]["exit_code"]) == (7, False, 2)
        (tmp_path / TOKEN).write_text("guess")
        with pytest.raises(RefusedError, match="wrong token"):
            await said(tmp_path, "kill")

    assert served(tmp_path, body).heard == []


@pytest.mark.parametrize(
    ("do", "args", "words"),
    [
        ("pasue", {}, "unknown word 'pasue'; known: hello, live, pause"),
        ("pause", {"window": "x"}, "unknown argument 'window'; known: none"),
        ("kill", {"flatten": "yes"}, "flatten must be bool, it is str"),
    ],
)
def test_sec_03_what_is_not_understood_changes_nothing(
    tmp_path: Path, do: str, args: dict[str, Any], words: str
) -> None:
    async def body() -> None:
        with pytest.raises(RefusedError, match=words) as refused:
            await said(tmp_path, do, args)
        assert refused.value.exit_code == 2

    assert served(tmp_path, body).heard == []


@pytest.mark.parametrize("line", [b"no json", b'{"id":1}', b'{"id":1,"token":"","do":"pause","more":1}', b"\xff\xfe"])
def test_sec_03_what_is_no_request_is_refused_and_the_server_lives_on(tmp_path: Path, line: bytes) -> None:
    async def body() -> None:
        answer, = await raw(tmp_path, line + b"\n")
        assert (answer["ok"], answer["error"]["exit_code"]) == (False, 2)
        assert (await said(tmp_path, "hello"))["protocol"] == 1

    served(tmp_path, body)


def test_sec_03_requests_are_bounded_on_both_sides(tmp_path: Path) -> None:
    async def body() -> None:
        answer, = await raw(tmp_path, b"x" * (REQUEST_BYTES_MAX + 1))
        assert "a request of more than 65536 bytes" in answer["error"]["message"]
        with pytest.raises(RefusedError, match="at most 65536"):
            await said(tmp_path, "pause", why="x" * REQUEST_BYTES_MAX)
        await said(tmp_path, "pause", who="w" * 600, why="x" * 600)

    word, = served(tmp_path, body).heard
    assert (len(word.who), len(word.why)) == (500, 500)


def test_a_client_too_many_is_told_so_and_the_others_go_on(tmp_path: Path) -> None:
    async def body() -> None:
        with short_path(tmp_path, SOCKET) as path:
            held = [await asyncio.open_unix_connection(path) for _ in range(control.CONNECTIONS_MAX)]
            with pytest.raises(RefusedError, match="clients are connected already"):
                await said(tmp_path, "hello")
        held[0][1].close()
        while True:
            with suppress(RefusedError):  # the server has not noticed it yet
                assert (await said(tmp_path, "hello"))["run"] == "run-1"
                break
        for _, writer in held:
            writer.close()

    served(tmp_path, body)


def test_a_word_that_hangs_or_fails_is_answered_and_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "DONE_WITHIN_S", 0.05)

    async def hangs(request: Request) -> dict[str, Any]:
        await asyncio.sleep(3_600)
        return {}

    async def fails(request: Request) -> dict[str, Any]:
        raise ValueError("no such thing")

    async def refuses(request: Request) -> dict[str, Any]:
        raise ConfigError("is wrong", key="x")

    async def body() -> None:
        slow = asyncio.ensure_future(said(tmp_path, "hangs"))
        with pytest.raises(RefusedError, match="fails failed: ValueError: no such thing"):
            await said(tmp_path, "fails")
        with pytest.raises(RefusedError, match="x: is wrong") as refused:
            await said(tmp_path, "refuses")
        assert refused.value.exit_code == 2
        with pytest.raises(RefusedError, match="not done within"):
            await slow

    served(tmp_path, body, {"hangs": hangs, "fails": fails, "refuses": refuses})


def test_a_silent_client_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_S", 0.05)

    async def body() -> None:
        with short_path(tmp_path, SOCKET) as path:
            reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.read() == b""
        writer.close()

    served(tmp_path, body)


def test_a_record_that_does_not_reach_the_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyhost.service.control_words.DURABLE_WITHIN_S", 0.02)
    host = Host()
    host.on_disk = False

    async def body() -> None:
        assert (await said(tmp_path, "pause"))["durable"] is False

    served(tmp_path, body, host=host)


def test_a_run_that_is_over_takes_no_word(tmp_path: Path) -> None:
    host = Host()
    host.halted = True

    async def body() -> None:
        with pytest.raises(RefusedError, match="the run is over"):
            await said(tmp_path, "pause")

    assert served(tmp_path, body, host=host).heard == []


def test_a_deleted_socket_is_made_anew_and_both_files_go_with_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LOOK_EVERY_S", 0.01)

    async def body() -> None:
        (tmp_path / SOCKET).unlink()
        while not (tmp_path / SOCKET).exists():
            await asyncio.sleep(0.005)
        assert (await said(tmp_path, "hello"))["run"] == "run-1"

    served(tmp_path, body)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_too_deep_for_an_address_is_reached_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["deep" * 10] * 4)
    deep.mkdir(parents=True)
    assert len(str(deep)) > PATH_BYTES_MAX

    async def body() -> None:
        assert (await said(deep, "hello"))["run"] == "run-1"

    served(deep, body)


# --- the end of the host ----------------------------------------------------------------------------------------------


def test_ord_17_a_host_that_ends_answers_the_kill_that_ends_it_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ANSWERED_WITHIN_S", NEVER_S)

    async def scenario() -> None:
        doing, go = asyncio.Event(), asyncio.Event()

        async def kill(request: Request) -> dict[str, Any]:
            doing.set()
            await go.wait()
            return {"taken": True}

        beats: list[None] = []
        running = asyncio.create_task(ControlServer(tmp_path, {"kill": kill}).run(lambda: beats.append(None)))
        while not beats:
            await asyncio.sleep(0.001)
        with short_path(tmp_path, SOCKET) as path:
            silent, held = await asyncio.open_unix_connection(path)
            answer, saying = await asyncio.open_unix_connection(path)
        token = (tmp_path / TOKEN).read_text().strip()
        saying.write(json.dumps({"id": 3, "token": token, "do": "kill"}).encode() + b"\n")
        await doing.wait()
        running.cancel()
        assert await silent.read() == b"", "who asks nothing is let go at once"
        assert not running.done()
        go.set()
        assert json.loads(await answer.readline()) == {"id": 3, "ok": True, "result": {"taken": True}}
        assert await answer.read() == b"", "and then it is let go: no more requests are read"
        await asyncio.gather(running, return_exceptions=True)
        for writer in (held, saying):
            writer.close()

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


def test_a_host_that_ends_waits_for_no_answer_that_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWERED_WITHIN_S", 0.02)

    async def scenario() -> None:
        doing = asyncio.Event()

        async def hangs(request: Request) -> dict[str, Any]:
            doing.set()
            await asyncio.sleep(3_600)
            return {}

        beats: list[None] = []
        running = asyncio.create_task(ControlServer(tmp_path, {"hangs": hangs}).run(lambda: beats.append(None)))
        while not beats:
            await asyncio.sleep(0.001)
        asked = asyncio.ensure_future(said(tmp_path, "hangs"))
        await doing.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        with pytest.raises(NoAnswerError, match="without an answer"):
            await asked

    asyncio.run(asyncio.wait_for(scenario(), TIMEOUT_S))


class Lost:
    """A host that takes the connection away and is gone: at once, or once the word lies there as a file."""

    def __init__(self, folder: DataFolder, records: list[Record], *, at_once: bool) -> None:
        self.folder = folder
        self.records = records
        self.at_once = at_once

    def end(self) -> None:
        if self.records:
            store = JournalStore(self.folder.journal, "main")
            store.commit(self.records)
            store.close()
        self.folder.__exit__(None, None, None)

    def ask(self, *args: object, **more: object) -> dict[str, Any]:
        if self.at_once:
            self.end()
        raise NoAnswerError("the connection was closed without an answer")

    def leave(self, data_dir: Path, word: Operator) -> Path:
        assert not self.at_once or word.word == "pause", "nothing is written for a host that is known to be gone"
        left = leave(data_dir, word)
        if not self.at_once:
            self.end()
        return left


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("words", "ended_by", "code", "says", "kept"),
    [
        (["kill"], "kill", 0, "kill: the host took it and has ended; nothing is left for the next one", []),
        (["kill"], "SIGINT", 1, "kill: the host ended before it answered (it ended by: SIGINT); nothing is left", []),
        (["kill"], "", 1, "kill: the host ended before it answered (the journal has no end of its run)", []),
        (["close", "--all"], "kill", 1, "close: the host ended before it answered (it ended by: kill)", []),
        (["pause"], "kill", 0, "pause: no host runs on ", ["pause"]),
    ],
)
def test_ord_17_a_word_that_a_host_ends_over_is_not_left_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at_once: bool,
    words: list[str], ended_by: str, code: int, says: str, kept: list[str],
) -> None:
    monkeypatch.setattr(operator, "TAKEN_WITHIN_S", NEVER_S)
    monkeypatch.setattr(kill, "FILE_TAKEN_S", NEVER_S)
    monkeypatch.chdir(tmp_path)
    lost = Lost(DataFolder(tmp_path).__enter__(), [RunEnded(5, "run-1", ended_by)] if ended_by else [], at_once=at_once)
    monkeypatch.setattr(control_client, "ask", lost.ask)
    monkeypatch.setattr("polyhost.service.operator_box.leave", lost.leave)
    with pytest.raises(SystemExit) as ended:
        main([*words, "--data-dir", str(tmp_path)])
    out, error = capsys.readouterr()
    assert (int(ended.value.code or 0), says in out + error) == (code, True), out + error
    assert [word.word for _, word in waiting(tmp_path)] == kept


# --- a configuration that cannot be read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "folder", "option"),
    [
        ("[limits", "named", True),
        ("[limits", "polyhost-data", False),
        ('[host]\ndata_dir = "mine"  # here\n[limits', "mine", False),
        ("[host]\nrecord = 7\n", "polyhost-data", False),
    ],
)
def test_ops_08_a_running_host_is_reached_beside_a_broken_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str, folder: str,
    option: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    # Who gave up would leave a file, and then signal the process of this test.
    monkeypatch.setattr(operator, "TAKEN_WITHIN_S", NEVER_S)
    monkeypatch.setattr(kill, "KILL_ANSWER_S", NEVER_S)
    monkeypatch.setattr(kill, "FILE_TAKEN_S", NEVER_S)
    (tmp_path / "polyhost.toml").write_text(file)
    more = ["--data-dir", folder] if option else []

    def say(*words: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        return int(ended.value.code or 0)

    async def body() -> None:
        for words in (["pause"], ["resume"], ["close", "--all"], ["kill", "--flatten"]):
            assert await asyncio.to_thread(say, *words) == 0, words
            out, error = capsys.readouterr()
            assert "taken by the host" in out
            assert "the configuration cannot be read: polyhost.toml" in error
            assert f"the host that runs on {folder} is asked all the same" in error
        assert await asyncio.to_thread(say, "status") == 1, "nothing was ever run there"
        assert capsys.readouterr().out.startswith(f"{folder}: ")

    with DataFolder(Path(folder)):
        heard = served(Path(folder), body).heard
    assert [(word.word, word.flatten) for word in heard] == [
        ("pause", False), ("resume", False), ("close", False), ("kill", True),
    ]
    for words in (["pause"], ["kill"], ["status"]):
        assert say(*words) == 2, "no host runs: what is wrong with the configuration is the answer"
        assert "polyhost.toml" in capsys.readouterr().err
    assert waiting(Path(folder)) == []


def test_without_a_host_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(NoAnswerError, match="no host answers"):
        ask(tmp_path, "hello")
    (tmp_path / TOKEN).write_text("old")
    left = socket.socket(socket.AF_UNIX)
    with short_path(tmp_path, SOCKET) as path:
        left.bind(path)
    left.close()
    with pytest.raises(NoAnswerError, match="no host answers"):
        ask(tmp_path, "hello")


def test_the_page_has_every_word_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "control.md").read_text(encoding="utf-8").partition("## Words")[2]
    life: Any = None
    words = [*(words_of(Host()) | OrderWords(life, life, life, life).table()), *plugin_words(life)]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == words
    assert set(CHANGES) <= set(words)
