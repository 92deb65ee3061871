"""The log: what it never says (LOG-04), where a line goes (LOG-01), and that it costs trading nothing (LOG-02)."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from loguru import logger
from msgspec import structs

from polyhost import service
from polyhost.cli.main import main
from polyhost.errors import ConfigError
from polyhost.service import log_files, log_writer
from polyhost.service.last_words import Broke, ended, interrupted, last_words, of_loop
from polyhost.service.log_files import LogFiles
from polyhost.service.log_line import Line, as_text, window_name
from polyhost.service.log_writer import LogWriter, Target
from polyhost.service.logs import HIDDEN, REDACTOR, SPEAKS_FOR, Redactor, set_up, written
from polyhost.settings import LogTable

HORSE = "correct-horse-battery"
SLUG = "btc-updown-15m-1767714300"
WINDOW = "window_2026-01-06_15-45_btc-15m.log"
LINE = Line(1_767_714_300.0, "INFO", 20, "polyhost.a:1", "said")
WITHIN_S = 60.0
logs_module = Redactor.__module__


@pytest.fixture
def logging_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test sets up is gone after it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(log_writer, "END_S", WITHIN_S)
    monkeypatch.setattr(REDACTOR, "_secrets", [])
    yield
    logger.remove()
    logger.configure(patcher=lambda record: None)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def logs(tmp_path: Path, logging_put_back: None) -> Path:
    """The folder of a host's logs, being written to; ``said`` reads one."""
    set_up(tmp_path / "logs", to_stderr=False, accounts={"main": tmp_path / "logs", "b": tmp_path / "b"})
    return tmp_path / "logs"


def said(path: Path) -> str:
    """What stands there once all that was said is written."""
    written()
    return path.read_text(encoding="utf-8") if path.exists() else ""


def fails(text: str) -> None:
    raise ValueError(text)


def fails_because(text: str) -> None:
    try:
        fails(text)
    except ValueError as error:
        raise RuntimeError("the delivery failed") from error


def logged(act: Callable[[str], None], text: str) -> str:
    redactor = Redactor()
    redactor.add(HORSE, "")
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}", backtrace=True, diagnose=False)
    try:
        act(text)
    except Exception:
        logger.patch(redactor).exception("told with {}", text)
    finally:
        logger.remove(sink)
    return "".join(str(line) for line in lines)


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", [fails, fails_because])
def test_log_04_a_secret_is_neither_in_the_message_nor_in_the_traceback(act: Callable[[str], None]) -> None:
    said = logged(act, f"no answer from {HORSE}")
    assert HORSE not in said
    assert said.startswith(f"told with no answer from {HIDDEN} (")
    assert "traceback left out" in said


def test_log_04_what_a_line_is_bound_to_holds_no_secret(tmp_path: Path, logging_put_back: None) -> None:
    set_up(tmp_path, to_stderr=False, settings=LogTable(format="json"))
    REDACTOR.add(HORSE)
    logger.bind(order=HORSE, unknown=HORSE).warning("{} {}", "about", HORSE)
    assert HORSE not in said(tmp_path / "polyhost.log")
    assert json.loads(said(tmp_path / "polyhost.log"))["order"] == HIDDEN


def test_log_07_a_traceback_without_a_secret_is_whole() -> None:
    said = logged(fails_because, "no answer")
    assert "Traceback" in said
    assert "RuntimeError: the delivery failed" in said
    assert "left out" not in said


# --- where a line goes ------------------------------------------------------------------------------------------------


def test_log_01_a_line_goes_to_the_master_its_window_its_account_and_an_error_to_the_errors(logs: Path) -> None:
    logger.info("of nobody")
    logger.bind(market=SLUG).warning("of a window")
    logger.bind(market="will-it rain?").info("of another market")
    SPEAKS_FOR.set("b")
    logger.bind(market=SLUG, order="o000001").error("of an account's order")
    SPEAKS_FOR.set("")
    try:
        fails_because("no answer")
    except RuntimeError:
        logger.exception("it failed")
    texts = {"of nobody", "of a window", "of another market", "of an account's order", "it failed"}

    def told(path: Path) -> set[str]:
        return {text for text in texts if text in said(path)}

    assert told(logs / "polyhost.log") == texts
    assert told(logs / "windows" / WINDOW) == {"of a window", "of an account's order"}
    assert told(logs / "windows" / "market_will-it-rain-.log") == {"of another market"}
    assert told(logs.parent / "b" / "account_b.log") == {"of an account's order"}
    assert told(logs / "account_main.log") == set()
    assert told(logs / "errors.log") == {"of an account's order", "it failed"}
    trace = said(logs / "errors.log")
    assert "ValueError: no answer" in trace
    assert 'raise RuntimeError("the delivery failed") from error' in trace


@pytest.mark.parametrize(
    ("slug", "name"),
    [
        (SLUG, "2026-01-06_15-45_btc-15m"),
        ("eth-updown-5m-1767714300", "2026-01-06_15-45_eth-5m"),
        ("bitcoin-up-or-down-may-27-2026-3pm-et", "2026-05-27_19-00_btc-1h"),
        ("bitcoin-up-or-down-on-may-27-2026", "2026-05-26_16-00_btc-1d"),
        ("will-it-rain", ""),
        ("", ""),
    ],
)
def test_log_01_a_window_s_log_is_named_by_its_start_symbol_and_length(slug: str, name: str) -> None:
    assert window_name(slug) == name


def test_log_01_json_lines_have_what_they_are_about_as_keys(tmp_path: Path, logging_put_back: None) -> None:
    set_up(tmp_path, to_stderr=False, settings=LogTable(format="json"))
    SPEAKS_FOR.set("main")
    logger.bind(market=SLUG, side="UP", order="o000001", purpose="hedge").info("bought\nit")
    SPEAKS_FOR.set("")
    logger.opt(exception=ValueError("no answer")).error("half a letter: \ud800")
    first, second = (json.loads(line) for line in said(tmp_path / "polyhost.log").splitlines())
    assert {name: first[name] for name in first.keys() - {"at", "from"}} == {
        "level": "INFO", "text": "bought\nit", "account": "main", "market": SLUG, "side": "UP", "purpose": "hedge",
        "order": "o000001", "window": WINDOW.removeprefix("window_").removesuffix(".log"),
    }
    assert second["traceback"].endswith("ValueError: no answer")
    assert (second["text"], "order" in second) == ("half a letter: \ud800", False)


class Wall:
    """A clock of the test's own."""

    def __init__(self) -> None:
        self.at = 1_767_714_300.0

    def __call__(self) -> float:
        return self.at


def about(slug: str, text: str = "said") -> Line:
    return structs.replace(LINE, text=text, bound={"market": slug, "window": window_name(slug)})


def open_files() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one with which the list was read
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_log_01_no_file_stays_open_and_a_late_line_of_a_settled_window_reaches_its_file(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, {}, LogTable())
    for number in range(40):
        files.write([about(f"btc-updown-5m-{1_767_714_300 + 300 * number}")])
    assert not [path for path in open_files() if path.startswith(str(tmp_path))]
    files.write([about("btc-updown-5m-1767714300", "late")])
    assert (tmp_path / "windows" / "window_2026-01-06_15-45_btc-5m.log").read_text().count("\n") == 2
    assert len(list((tmp_path / "windows").iterdir())) == 40


def test_log_01_without_an_error_the_error_log_is_there_and_empty(logs: Path) -> None:
    logger.info("all is well")
    assert "all is well" in said(logs / "polyhost.log")
    assert (logs / "errors.log").read_text() == ""


def test_log_01_a_file_that_was_moved_away_or_deleted_is_made_anew(tmp_path: Path) -> None:
    files = LogFiles(tmp_path / "logs", {}, LogTable())
    files.write([LINE])
    (tmp_path / "logs").replace(tmp_path / "taken")
    files.write([structs.replace(LINE, text="after")])
    assert (tmp_path / "logs" / "polyhost.log").read_text() == as_text(structs.replace(LINE, text="after"))


def test_log_01_a_large_file_is_ended_and_the_oldest_ended_ones_go(tmp_path: Path) -> None:
    """Each line ends its file; the size that all may have together is three of them."""
    size = len(as_text(LINE)) / log_files.MEGABYTE
    wall = Wall()
    files = LogFiles(tmp_path, {}, LogTable(rotate_mb=size, keep_mb=3.5 * size), now=wall)
    for number in range(7):
        files.write([LINE])
        for path in tmp_path.glob("polyhost.2*.log"):
            if path.stat().st_mtime > wall.at + 10:  # written just now, by the clock of the machine
                os.utime(path, (wall.at,) * 2)
        wall.at += number % 2
    there = sorted(path.name for path in tmp_path.glob("polyhost*"))
    assert there == ["polyhost.20260106-154502-2.log", "polyhost.20260106-154502.log", "polyhost.20260106-154503.log"]


def test_log_01_files_of_windows_and_ended_ones_go_after_their_days_and_no_others(tmp_path: Path) -> None:
    wall = Wall()
    files = LogFiles(tmp_path, {"b": tmp_path / "b"}, LogTable(keep_days=2), now=wall)
    (tmp_path / "b").mkdir()
    (tmp_path / "windows").mkdir()
    old = ["polyhost.20260101-000000.log", "errors.20260101-000000-2.log", "windows/window_2026-01-01_00-00_btc-5m.log"]
    old += ["b/account_b.20260101-000000.log"]
    kept = ["polyhost.log", "errors.log", "exchange.log", "windows/window_2026-01-05_00-00_btc-5m.log", "mine.txt"]
    for name in (*old, *kept):
        (tmp_path / name).write_text("x")
        days = 1.9 if "01-05" in name else 2.1
        os.utime(tmp_path / name, (wall.at - days * log_files.DAY_S,) * 2)
    files.tidy()
    assert [name for name in (*old, *kept) if (tmp_path / name).exists()] == kept
    (tmp_path / old[0]).write_text("x")
    os.utime(tmp_path / old[0], (0, 0))
    files.tidy()
    assert (tmp_path / old[0]).exists(), "not looked for at every line"
    wall.at += log_files.TIDY_S
    files.tidy()
    assert not (tmp_path / old[0]).exists()


# --- it breaks nothing, and keeps nobody waiting ----------------------------------------------------------------------


class Slow(Target):
    """Writes when it is let."""

    name = "the slow one"

    def __init__(self) -> None:
        self.let = threading.Event()
        self.began = threading.Event()
        self.texts: list[str] = []
        self.failure: Exception | None = None
        self.tidied = 0

    def write(self, lines: list[Line]) -> tuple[int, str]:
        self.began.set()
        assert self.let.wait(WITHIN_S)
        if self.failure is not None:
            raise self.failure
        self.texts += [line.text for line in lines]
        return 0, ""

    def tidy(self) -> None:
        self.tidied += 1


def test_log_02_nobody_waits_for_a_disk_that_hangs_and_what_is_too_much_is_lost_and_counted(
    logging_put_back: None,
) -> None:
    told: list[str] = []
    logger.add(lambda message: told.append(str(message)), format="{message}", diagnose=False)
    target = Slow()
    writer = LogWriter(target, waiting_max=10)
    writer.put(LINE)
    assert target.began.wait(WITHIN_S)
    for number in range(25):
        writer.put(structs.replace(LINE, text=str(number)))  # returns, although nothing is written
    assert (writer.lost, target.texts) == (15, [])
    target.let.set()
    writer.close()
    assert target.texts == ["said", *map(str, range(10))]
    assert told == ["the slow one is written again; 15 of its lines were lost\n"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), ValueError("closed file"), RuntimeError()])
def test_log_02_whatever_a_target_raises_costs_these_lines_only_and_is_told_once(
    failure: Exception, logging_put_back: None
) -> None:
    told: list[str] = []
    logger.add(lambda message: told.append(str(message)), format="{message}", diagnose=False)
    target = Slow()
    target.let.set()
    target.failure = failure
    writer = LogWriter(target)
    for _ in range(2):
        target.began.clear()
        writer.put(LINE)
        assert target.began.wait(WITHIN_S)
        wait_for(lambda: writer.lost >= 1)
    wait_for(lambda: writer.lost == 2)
    target.failure = None
    writer.put(structs.replace(LINE, text="after"))
    writer.close()
    assert target.texts == ["after"]
    assert [line.partition(" (")[0].strip() for line in told] == [
        "the slow one cannot be written", "the slow one is written again; 2 of its lines were lost"
    ]  # fmt: skip


def wait_for(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WITHIN_S / 0.005)):
        if true():
            return
        pause.wait(0.005)
    raise AssertionError("it never was")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is injected with /dev/full")
def test_log_02_a_full_disk_costs_its_lines_the_other_files_are_written(tmp_path: Path, logging_put_back: None) -> None:
    (tmp_path / "polyhost.log").symlink_to("/dev/full")
    screen = io.StringIO()
    logger.remove()
    files = LogFiles(tmp_path, {}, LogTable())
    assert files.write([about(SLUG), about(SLUG)]) == (2, "[Errno 28] No space left on device")
    assert (tmp_path / "windows" / WINDOW).read_text().count("said") == 2
    logger.add(screen, format="{message}", diagnose=False)
    writer = LogWriter(files)
    writer.put(LINE)
    writer.close()
    assert screen.getvalue().startswith("the log cannot be written ([Errno 28] No space left on device): its lines ")


def test_log_02_text_that_is_no_utf_8_is_written_as_numbers(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, {}, LogTable())
    assert files.write([structs.replace(LINE, text="half a letter: \ud800"), LINE]) == (0, "")
    assert "half a letter: \\ud800\n" in (tmp_path / "polyhost.log").read_text()


def test_log_02_half_a_line_on_a_full_disk_does_not_spoil_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        full = True

        def write(self, data: object) -> int:
            if Full.full and self.tell() >= whole:
                raise OSError(28, "No space left on device")
            return super().write(bytes(data)[:10] if Full.full else bytes(data))  # type: ignore[call-overload]

    files = LogFiles(tmp_path, {}, LogTable())
    files.write([LINE])
    whole = len(as_text(LINE)) + 10
    monkeypatch.setattr(Path, "open", lambda path, mode, buffering: Full(path, mode))
    assert files.write([LINE])[0] == 1
    Full.full = False
    files.write([LINE])
    monkeypatch.undo()
    assert (tmp_path / "polyhost.log").read_text() == as_text(LINE) * 2


def test_log_02_a_closed_stream_and_a_terminal_without_our_letters(
    monkeypatch: pytest.MonkeyPatch, logging_put_back: None
) -> None:
    buffer = io.BytesIO()
    narrow = io.TextIOWrapper(buffer, encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stderr", narrow)
    set_up(None)
    logger.info("caf\u00e9 \ud800")
    written()
    assert buffer.getvalue().endswith(b"INFO     caf\\xe9 \\ud800\n")
    set_up(None)
    narrow.close()
    logger.info("to nobody")
    logger.error("to nobody")
    written()


def test_log_02_a_reader_of_standard_error_that_stands_still_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, logging_put_back: None
) -> None:
    """A pipe holds 64 kB; much more is said, from the thread that would trade."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            monkeypatch.setattr(sys, "stderr", pipe)
            set_up(None)
            for number in range(2_000):
                logger.info("{} {}", number, "x" * 100)
            drained = threading.Thread(target=lambda: lines.extend(reader.read().splitlines()))
            lines: list[bytes] = []
            drained.start()
            written()
        drained.join(WITHIN_S)
    assert len(lines) == 2_000


# --- nothing dies unseen ----------------------------------------------------------------------------------------------


def test_log_07_what_nobody_caught_reaches_the_errors_with_traceback_and_no_values(logs: Path) -> None:
    def work() -> None:
        private = "0xfeedbeef" + "00" * 3
        fails_because(f"{len(private)} letters")

    class Odd:
        def __del__(self) -> None:
            fails("on the way out")

    async def forgotten() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(of_loop)
        loop.call_soon(fails, "in a callback")
        await asyncio.sleep(0)

    before = threading.excepthook, sys.unraisablehook
    with last_words():
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
        del thread
        Odd()
        asyncio.run(forgotten())
    assert (threading.excepthook, sys.unraisablehook) == before
    told = said(logs / "errors.log")
    for words in (
        "the thread worker died", "ValueError: 16 letters", "RuntimeError: the delivery failed", "in work",
        "ValueError: on the way out", "in the event loop: Exception in callback fails", "ValueError: in a callback",
    ):
        assert words in told, words
    assert told.count("Traceback (most recent call last):") >= 4
    assert "0xfeedbeef" not in told


def test_log_07_the_end_of_a_run_by_an_error_of_any_kind_stands_in_the_errors(logs: Path) -> None:
    REDACTOR.add(HORSE)
    with pytest.raises(ConfigError), last_words():
        raise ConfigError("no such window")
    with pytest.raises(Broke) as broke, last_words():
        fails(f"no answer from {HORSE}")
    with pytest.raises(Broke), last_words():
        fails("something else")
    with pytest.raises(KeyboardInterrupt), last_words():
        raise KeyboardInterrupt
    interrupted("SIGTERM", "the run is stopped gracefully")
    ended(0)
    ended(4)
    assert str(broke.value) == f"ValueError: no answer from {HIDDEN}; logs/errors.log has the traceback"
    assert broke.value.exit_code == 1
    told = said(logs / "errors.log")
    for words in (
        "the run ended with exit code 2: no such window", "the run ended with exit code 1: something else",
        "ValueError: something else", "the run was ended: KeyboardInterrupt", "SIGTERM: the run is stopped gracefully",
        "the run ended with exit code 4",
    ):
        assert words in told, words
    assert HORSE not in told
    assert "exit code 0" not in told
    assert "exit code 0" in said(logs / "polyhost.log")


# --- one logger -------------------------------------------------------------------------------------------------------


def test_log_09_a_library_s_logger_is_routed_redacted_and_never_raises(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    REDACTOR.add(HORSE)
    root = logging.getLogger()  # without pytest's handlers, which raise
    monkeypatch.setattr(root, "handlers", [each for each in root.handlers if type(each).__module__ == logs_module])
    library = logging.getLogger("some.library")
    library.warning("slow: %s", HORSE)
    library.warning("too %d", "many", "values")
    library.warning("braces {} stay")
    library.info("not of interest")
    told = said(logs / "polyhost.log")
    assert f"slow: {HIDDEN}" in told
    assert "'too %d' (its values do not fit" in told
    assert "braces {} stay" in told
    assert "not of interest" not in told


def test_log_09_no_sink_shows_the_values_of_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    found = 0
    for path in Path(service.__file__).parents[1].rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)) if "logger.add" in source else ():
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "logger.add":
                found += 1
                assert "diagnose=False" in ast.unparse(node), f"{path}:{node.lineno}"
    assert found >= 5
    monkeypatch.setenv("LOGURU_DIAGNOSE", "1")
    with pytest.raises(SystemExit):
        main(["--version"])
    assert os.environ["LOGURU_DIAGNOSE"] == "NO", "loguru's own first sink, before ours are set up"
