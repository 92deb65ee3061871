"""A run with errors, and afterwards every place that something can be written to, looked through for planted secrets.

LOG-04, SEC-01, SEC-03: private key and relayer key are nowhere but in the gateway process; API credentials nowhere but
there; a plugin's token nowhere but in the owner's file. The venue repeats in its errors whatever it knows, the gateway
process is killed, a plugin raises, logs and tells its token.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import random
import signal
import socket
import sys
import tarfile
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, quote_plus
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from polyhost.cli import main as front
from polyhost.journal import read_journal
from polyhost.model.records import NoticeRaised
from polyhost.service.logs import REDACTOR
from polyhost.web import markup
from polyhost.web.log_tail import tail
from polyhost.web.reading import Reading

from .service_runs import Started, eager_configuration, exchange, wait_for
from .spilling_venue import MARK, SpillingVenue

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
VARIABLE: Final = "PLANTED_KEY_OF_THE_ACCOUNT"
KEY: Final = "0x" + hashlib.sha256(b"planted").hexdigest()
TOKEN: Final = 'tok/3n+of the=plugin"\\5f2c'
"""With what every encoding writes in another way."""
RELAYER: Final = "0197b2c4-11d2-7f00-9c55-1f2e3d4c5b6a"
CREDENTIALS: Final = ("the API secret", "the passphrase", "the relayer key")
"""The host has them nowhere, not even in its memory: it reads no file of keys."""
GATEWAY: Final = b"polyhost.venue.gatekeeper"
LATER_S: Final = 240.0
"""Whatever is waited for has happened by then, on a busy machine too."""
SPILLER: Final = """
from polyhost import Notice, Plugin, Secret, Settings, hookimpl

class Spiller(Plugin):
    name = "spiller"
    description = "Says its token wherever it can."
    class Settings(Settings):
        token: Secret
    @hookimpl
    def on_market(self, market, at):
        token = self.settings.token.reveal()
        self.log.error("spiller has " + token)
        return [Notice("spiller tells " + token, "warning")]
    @hookimpl
    def signal(self, view):
        raise ValueError("spiller raises " + self.settings.token.reveal())
"""


# --- what is looked for -----------------------------------------------------------------------------------------------


def spellings(secret: str, raw: bytes = b"") -> dict[str, bytes]:
    """How a secret may be written; ``raw``: the number that it stands for, where it does."""
    text = secret.encode()
    found = {
        "as it is": text, "upper case": text.upper(), "lower case": text.lower(),
        "JSON": json.dumps(secret)[1:-1].encode(), "repr": repr(secret)[1:-1].encode(),
        "url-encoded": quote(secret, safe="").encode(), "url-encoded path": quote(secret).encode(),
        "form-encoded": quote_plus(secret).encode(), "every byte url-encoded": b"".join(b"%%%02X" % c for c in text),
        "hex of the text": text.hex().encode(), "UTF-16": secret.encode("utf-16-le"),
    }
    for name, value in (("text", text), ("number", raw)):
        if value:
            found |= {f"base64 of the {name}, {how}": part for how, part in based(value)}
    if raw:
        found |= {
            "the bytes": raw, "hex": raw.hex().encode(), "HEX": raw.hex().upper().encode(),
            "decimal": str(int.from_bytes(raw, "big")).encode(),
        }
    return found


def based(value: bytes) -> Iterator[tuple[str, bytes]]:
    """In base64, wherever in a longer text it begins: without the characters that its neighbours have a part in."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + value)
        part = whole[-(-before * 8 // 6): (before + len(value)) * 8 // 6]
        yield f"at {before}", part
        yield f"for URLs at {before}", part.replace(b"+", b"-").replace(b"/", b"_")


def found_in(texts: Mapping[str, bytes], wanted: Mapping[str, Mapping[str, bytes]]) -> list[str]:
    """What was found where; never how it reads."""
    return [
        f"{secret} ({spelling}) in {where}"
        for where, text in texts.items() for secret, ways in wanted.items() for spelling, way in ways.items()
        if way in text
    ]


# --- the run ----------------------------------------------------------------------------------------------------------


class Process(NamedTuple):
    pid: int
    command: bytes
    environment: bytes


def family(pid: int) -> list[Process]:
    """A process and all that descend from it."""
    found = [Process(pid, Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/environ").read_bytes())]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread or a child that has just ended
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def memory(pid: int) -> bytes:
    """What a process could write to: its heap, its stacks and its data; nothing where the system keeps that closed."""
    parts: list[bytes] = []
    if not os.access(f"/proc/{pid}/mem", os.R_OK):
        return b""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            borders, rights = line.split()[:2]
            if rights.startswith("rw"):
                start, end = (int(border, 16) for border in borders.split("-"))
                with suppress(OSError):  # it was let go of since
                    file.seek(start)
                    parts.append(file.read(end - start))
    return b"\0".join(parts)


@dataclass(frozen=True, repr=False)
class Ended:
    """A run that is over."""

    config: Path
    data: Path
    """The account's folder."""
    host: Started
    wanted: Mapping[str, Mapping[str, bytes]]
    meanwhile: Mapping[str, Mapping[str, bytes]]
    """Place → what was there while the host ran."""
    processes: list[Process]
    """Of every kind, from before and after the errors."""
    memory: bytes
    """Of the host after the errors."""


def configured(folder: Path, url: str, port: int) -> Path:
    (folder / "spiller.py").write_text(SPILLER)
    kept = folder / "token"
    kept.write_text(TOKEN)
    kept.chmod(0o600)
    relayer = folder / "relayer"
    relayer.write_text(RELAYER)
    relayer.chmod(0o600)
    config = eager_configuration(folder, folder / "data", f"""
[venue]
url = "{url}"
[accounts.main]
wallet = "safe"
key = {{ env = "{VARIABLE}" }}
relayer = {{ key = {{ file = "{relayer}" }} }}
[metrics]
port = {port}
[plugins.spiller]
token = {{ file = "{kept}" }}
""")
    text = config.read_text().replace('eager.py"]', f'eager.py", "{folder / "spiller.py"}"]')
    config.write_text(text.replace("[plugins.eager]\n", "[plugins.eager]\ntrusted = true\n"))
    return config


def free_port() -> int:
    """Below those that the system gives out: nobody else gets it before the host listens on it."""
    while True:
        port = random.randint(20_000, 30_000)
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def answers(port: int, when: str) -> dict[str, bytes]:
    """What the host serves to whoever asks on this machine, a refusal too."""
    found = {}
    wait_for(lambda: listens(port), LATER_S)
    for path in ("metrics", "health", "ready"):
        try:
            with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=LATER_S) as answer:
                found[f"{path} {when}"] = answer.read()
        except HTTPError as refusal:
            found[f"{path} {when}"] = refusal.read()
            refusal.close()
    return found


def databases(data: Path) -> dict[str, bytes]:
    """The files themselves, with what was not merged into them yet."""
    found = {}
    for path in data.iterdir():
        with suppress(FileNotFoundError):  # a writer's own, gone with what it was for
            found |= {path.name: path.read_bytes()} if ".db" in path.name else {}
    return found


def commanded(config: Path, *words: str) -> bytes:
    """What a command prints."""
    return CliRunner().invoke(front.app, [*words, "-c", str(config), "--account", "main"]).output.encode()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    folder = tmp_path_factory.mktemp("planted")
    data = folder / "data" / "main"
    with (
        # Few events: what is shown here does not depend on how lively the books are.
        exchange(folder, eager_configuration(folder, folder / "none", "[exchange]\ndensity = 3.0\n"), 30) as served,
        SpillingVenue(served.url) as venue,
    ):
        port = free_port()
        config = configured(folder, venue.url, port)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(VARIABLE, KEY)
            host = Started("run", "-c", config, "--verbose", cwd=folder)
        with host:
            host.says(": bought", within_s=LATER_S)
            processes, served_there = family(host.process.pid), answers(port, "before the errors")
            given = dict(venue.credentials)
            venue.spills_requests = True
            wait_for(lambda: sum(venue.spilled.values()) >= 8, LATER_S)
            served_there |= answers(port, "amid them")
            venue.spills_requests, venue.spills_sockets = False, True
            worker = [each.pid for each in processes if GATEWAY in each.command][-1]
            said = len(host.err)
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: sum(n for way, n in venue.spilled.items() if " " not in way) >= 2, LATER_S)
            wait_for(lambda: venue.spilled["the relayer"] > 0, LATER_S)
            venue.spills_sockets = False
            host.says("user stream up again", within_s=LATER_S, after=said)
            processes += family(host.process.pid)
            held = memory(host.process.pid)
            meanwhile = {
                "metrics": served_there | answers(port, "after them"), "databases": databases(data),
                "commands": {"status": commanded(config, "status", "--json")}, "dashboard": drawn(data),
            }
            assert host.stop() in (0, 1), host.told()
    wanted = {
        "the private key": spellings(KEY[2:], bytes.fromhex(KEY[2:])),
        "the API secret": spellings(given["secret"], base64.urlsafe_b64decode(given["secret"])),
        "the passphrase": spellings(given["passphrase"], bytes.fromhex(given["passphrase"])),
        "the plugin's token": spellings(TOKEN), "the relayer key": spellings(RELAYER, uuid.UUID(RELAYER).bytes),
    }
    return Ended(config, data, host, wanted, meanwhile, processes, held)


# --- the places -------------------------------------------------------------------------------------------------------


def unpacked(path: Path) -> bytes:
    """A file's content; of a compressed one what it holds."""
    raw = path.read_bytes()
    return zlib.decompressobj(31).decompress(raw) if path.suffix == ".gz" else raw


def folder_of_the_host(ended: Ended) -> dict[str, bytes]:
    top = ended.data.parent
    return {str(path.relative_to(top)): unpacked(path) for path in top.rglob("*") if path.is_file()}


def logs(ended: Ended) -> dict[str, bytes]:
    return {name: text for name, text in folder_of_the_host(ended).items() if ".log" in name}


def exceptions(ended: Ended) -> dict[str, bytes]:
    """What was raised stands in the log of errors, and on the terminal."""
    told = {name: text for name, text in logs(ended).items() if "error" in name}
    return told | {"standard error": "\n".join(ended.host.err).encode()}


def database_files(ended: Ended) -> dict[str, bytes]:
    before = {f"{name} (while it ran)": text for name, text in ended.meanwhile["databases"].items()}
    return before | databases(ended.data)


def journal(ended: Ended) -> dict[str, bytes]:
    """Decoded: whatever the database does to the bytes."""
    return {f"record {seq}": repr(record).encode() for seq, record in read_journal(ended.data / "journal.db")}


def recordings(ended: Ended) -> dict[str, bytes]:
    return {name: text for name, text in folder_of_the_host(ended).items() if "recordings" in name}


def notices(ended: Ended) -> dict[str, bytes]:
    told = [each for _, each in read_journal(ended.data / "journal.db") if isinstance(each, NoticeRaised)]
    return {f"notice {each.notice_id}": each.text.encode() for each in told}


def bundled(ended: Ended) -> dict[str, bytes]:
    """What leaves the machine; made in this process, which then knows the plugin's secrets."""
    out, kept = ended.config.parent / "out.tar.gz", list(REDACTOR._secrets)
    try:
        printed = commanded(ended.config, "bundle", "--out", str(out))
    finally:
        REDACTOR._secrets[:] = kept
    with gzip.open(out) as whole, tarfile.open(fileobj=whole) as archive:
        members = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {"said": printed} | {name: file.read() for name, file in members.items() if file is not None}


def commands(ended: Ended) -> dict[str, bytes]:
    asked = (("status",), ("why", "order", "o000001"), ("plugins", "info", "spiller"))
    told = {" ".join(words): commanded(ended.config, *words) for words in asked}
    told |= {f"{name} (while it ran)": text for name, text in ended.meanwhile["commands"].items()}
    shown = CliRunner().invoke(front.app, ["config", "show", "-c", str(ended.config), "--origin"])
    return told | {"config show": shown.output.encode(), "run": "\n".join(ended.host.out).encode()}


def dashboard(ended: Ended) -> dict[str, bytes]:
    before = {f"{name} (while it ran)": text for name, text in ended.meanwhile["dashboard"].items()}
    return before | drawn(ended.data)


def metrics(ended: Ended) -> dict[str, bytes]:
    return dict(ended.meanwhile["metrics"])


def drawn(data: Path) -> dict[str, bytes]:
    """Every part of the dashboard's page."""
    picture = Reading(data).look()
    parts = (
        markup.head, markup.alerts, markup.figures, markup.windows, markup.positions, markup.orders, markup.plugins,
        markup.loops, markup.notices,
    )
    told = {f"log {path.name}": markup.log(tail(path, "DEBUG")) for path in data.parent.rglob("*.log")}
    told |= {part.__name__: part(picture) for part in parts}
    return {name: text.encode() for name, text in {"picture": repr(picture), **told}.items()}


def environments(ended: Ended) -> dict[str, bytes]:
    return {f"{each.pid} {each.command!r}": each.environment for each in ended.processes}


def command_lines(ended: Ended) -> dict[str, bytes]:
    return {str(each.pid): each.command for each in ended.processes}


REPEATED: Final = MARK.encode() + b": {'secret': '***"
"""What the host heard of what the venue said."""
PLACES: Final[Mapping[str, tuple[Callable[[Ended], dict[str, bytes]], bytes]]] = {
    "every file of the host's folder": (folder_of_the_host, REPEATED),
    "logs": (logs, REPEATED),
    "exceptions": (exceptions, b"spiller raises (hidden)"),
    "database files": (database_files, b"spiller"),
    "journal": (journal, b"spiller"),
    "recordings": (recordings, b"btc-updown"),
    "notices": (notices, b"spiller tells ***"),
    "bundle": (bundled, b"spiller"),
    "commands": (commands, b"spiller"),
    "dashboard": (dashboard, b"spiller"),
    "metrics, health, readiness": (metrics, b"polyhost_"),
    "process environments": (environments, b"PATH="),
    "command lines": (command_lines, GATEWAY),
}
"""Where is looked; with a text that stands there, so that something was looked at."""


@pytest.mark.parametrize("place", PLACES)
def test_log_04_sec_03_after_a_run_with_errors_no_secret_is_in(ended: Ended, place: str) -> None:
    look, witness = PLACES[place]
    texts = look(ended)
    assert any(witness in text for text in texts.values()), f"{place} is not what was looked at: {sorted(texts)}"
    assert found_in(texts, ended.wanted) == []


def test_sec_01_the_venue_has_repeated_the_relayer_key(ended: Ended) -> None:
    """Else what is looked for could not be found."""
    told = b"".join(logs(ended).values())
    assert b"RELAYER_API_KEY" in told.upper().replace(b"-", b"_")


def test_sec_01_the_api_credentials_are_not_even_in_the_hosts_memory(ended: Ended) -> None:
    if not ended.memory:
        pytest.skip("this system lets nobody read the memory of a process")
    assert b"spiller" in ended.memory
    told = {name: {"as it is": ways["as it is"]} for name, ways in ended.wanted.items() if name in CREDENTIALS}
    assert len(told) == len(CREDENTIALS)
    assert found_in({"the host's memory": ended.memory}, told) == []


@pytest.mark.parametrize("before", ["", "x", "xy", "long before it "])
def test_what_looks_for_a_secret_finds_it_however_it_is_written(before: str) -> None:
    """Were the search broken, the tests above could not fail."""
    raw = bytes.fromhex(KEY[2:])
    wanted = {"key": spellings(KEY[2:], raw), "token": spellings(TOKEN)}
    for secret, number in ((KEY[2:], raw), (TOKEN, b"")):
        text = secret.encode()
        written = [
            KEY.encode() if number else text, base64.b64encode(before.encode() + text + b" and more"),
            base64.urlsafe_b64encode(before.encode() + (number or text) + b" and more"), quote(secret).encode(),
            json.dumps({"said": before + secret}).encode(), repr(before + secret).encode(), text.hex().encode(),
        ]
        for way in written:
            assert found_in({"a place": b"..." + way + b"..."}, wanted), way
    assert found_in({"a place": before.encode() + KEY[2:60].encode()}, wanted) == []
