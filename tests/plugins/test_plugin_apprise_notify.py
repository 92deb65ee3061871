"""Notices to other services (NOT-01), told to servers on this machine; addresses that nobody ever shows."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from polyhost import NoticeRaised
from polyhost.errors import ConfigError
from polyhost.extension.delivery import channels_of
from polyhost.extension.discovery import discover
from polyhost.settings import Configuration
from polyhost_plugins.apprise_notify import AppriseNotify

# The library looks for a module of the standard library that Python 3.13 drops.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Server:
    """Takes what is told, or refuses it."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.status = 200
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if server.status == 200:
                    server.told.append(json.loads(body))
                self.send_response(server.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"json://user:hunter2@127.0.0.1:{self._http.server_port}?rto=60&cto=60"

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    pair = Server(), Server()
    for name, server in zip(("PHONE", "DESK"), pair, strict=True):
        monkeypatch.setenv(f"POLYHOST_{name}", server.url)
    yield pair
    for server in pair:
        server.close()


def made(**channels: dict[str, Any]) -> AppriseNotify:
    table = {"plugins": {"apprise_notify": {"channels": channels}}}
    (plugin,) = [p for p in discover(Configuration.model_validate(table)) if p.name == "apprise_notify"]
    assert isinstance(plugin.instance, AppriseNotify)
    plugin.instance.log = logger
    return plugin.instance


def channel(*names: str, **more: Any) -> dict[str, Any]:
    return {"urls": [{"env": f"POLYHOST_{name}"} for name in names], **more}


def notice(text: str = "rain", level: str = "warning", topic: str = "exits", ident: str = "n1") -> NoticeRaised:
    return NoticeRaised(1_000, ident, level, topic, text)


def test_not_01_a_notice_is_told_with_level_topic_and_id(servers: tuple[Server, Server]) -> None:
    plugin = made(phone=channel("PHONE"))
    plugin.start()
    plugin.notify(notice(), "phone")
    (told,) = servers[0].told
    assert (told["title"], told["message"], told["type"]) == ("polyhost warning: exits", "rain [n1]", "warning")


@pytest.mark.parametrize(("level_min", "count"), [("info", 3), ("warning", 2), ("critical", 1)])
def test_not_01_a_channel_has_a_least_level(servers: tuple[Server, Server], level_min: str, count: int) -> None:
    plugin = made(phone=channel("PHONE", level_min=level_min))
    for level in ("info", "warning", "critical"):
        plugin.notify(notice(level=level), "phone")
    assert len(servers[0].told) == count


def test_not_01_an_unknown_level_is_told(servers: tuple[Server, Server]) -> None:
    made(phone=channel("PHONE", level_min="critical")).notify(notice(level="alarm"), "phone")
    assert len(servers[0].told) == 1


def test_not_01_a_channel_has_topics_of_its_own(servers: tuple[Server, Server]) -> None:
    plugin = made(phone=channel("PHONE", topics=["funds"]), desk=channel("DESK"))
    for name in plugin.channels:
        for topic in ("exits", "funds"):
            plugin.notify(notice(topic=topic, ident=topic), name)
    assert [len(server.told) for server in servers] == [1, 2]


def test_not_02_each_channel_is_a_channel_of_the_host(servers: tuple[Server, Server]) -> None:
    table = {"plugins": {"apprise_notify": {"channels": {"phone": channel("PHONE"), "desk": channel("DESK")}}}}
    found = [plugin for plugin in discover(Configuration.model_validate(table)) if plugin.name == "apprise_notify"]
    assert channels_of(found) == ("apprise_notify:phone", "apprise_notify:desk")


def test_not_02_an_address_that_took_a_notice_is_not_told_again_when_another_is_retried(
    servers: tuple[Server, Server],
) -> None:
    phone, desk = servers
    plugin = made(both=channel("PHONE", "DESK"))
    desk.status = 503
    with pytest.raises(RuntimeError, match="1 of 2 addresses") as refused:
        plugin.notify(notice(), "both")
    assert "hunter2" not in str(refused.value)
    desk.status = 200
    plugin.notify(notice(), "both")
    assert (len(phone.told), len(desk.told)) == (1, 1)


def test_not_01_without_the_library_it_says_what_to_install(
    servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = made(phone=channel("PHONE"))
    monkeypatch.setitem(sys.modules, "apprise", None)
    for call in (plugin.start, lambda: plugin.notify(notice(), "phone")):
        with pytest.raises(RuntimeError, match=r"pip install 'polyhost\[notify\]'"):
            call()


def test_not_01_an_address_nobody_understands_is_told_at_the_start_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POLYHOST_PHONE", "nowhere://hunter2")
    with pytest.raises(RuntimeError, match=r"channels.phone.urls\[0\]") as refused:
        made(phone=channel("PHONE")).start()
    assert "hunter2" not in str(refused.value)


def test_cfg_02_an_address_in_the_file_itself_is_refused_and_not_repeated() -> None:
    for wrong in ("json://hunter2@host", {"plain": "json://hunter2@host"}, {"env": "A", "file": "hunter2"}, {}):
        with pytest.raises(ConfigError) as refused:
            made(phone={"urls": [wrong]})
        assert "hunter2" not in str(refused.value)
    with pytest.raises(ConfigError, match="a secret has no place"):
        made(phone={"urls": ["json://hunter2@host"]})
    with pytest.raises(ConfigError) as refused:
        made(phone={"urls": [{"env": "A"}], "url": "json://hunter2@host"})
    assert "hunter2" not in str(refused.value)


def test_cfg_02_a_secret_that_is_not_there_stops_the_start_with_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("POLYHOST_PHONE", raising=False)
    with pytest.raises(ConfigError, match="POLYHOST_PHONE is not set"):
        made(phone=channel("PHONE"))
    with pytest.raises(ConfigError, match="cannot be read"):
        made(phone={"urls": [{"file": str(tmp_path / "none")}]})
    (tmp_path / "empty").touch(mode=0o600)
    with pytest.raises(ConfigError, match="is empty"):
        made(phone={"urls": [{"file": str(tmp_path / "empty")}]})


def test_cfg_02_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "phone"
    file.write_text("json://user:hunter2@127.0.0.1\n")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        made(phone={"urls": [{"file": str(file)}]})
    file.chmod(0o600)
    plugin = made(phone={"urls": [{"file": str(file)}]})
    assert plugin.settings.channels["phone"].urls[0].reveal() == "json://user:hunter2@127.0.0.1"


def test_log_04_a_secret_is_in_no_dump_and_no_text(servers: tuple[Server, Server]) -> None:
    table = {"plugins": {"apprise_notify": {"channels": {"phone": channel("PHONE")}}}}
    (plugin,) = [p for p in discover(Configuration.model_validate(table)) if p.name == "apprise_notify"]
    assert plugin.instance is not None
    settings = plugin.instance.settings
    shown = (json.dumps(plugin.described()), repr(plugin), str(settings), repr(settings))
    assert not any("hunter2" in text for text in shown)
    assert plugin.settings["channels"]["phone"]["urls"] == [{"env": "POLYHOST_PHONE"}]
    assert plugin.secrets() == [servers[0].url], "for the redactor of the logs"
