"""SEC-03: who may see the page, and what its answers carry."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from polyhost.errors import ConfigError
from polyhost.web.guard import REFUSED, Guard, policy
from polyhost.web.server import address, bound, is_loopback, token_of

TOKEN: Final = "a-token-of-enough-characters"
HERE: Final = ("host", "127.0.0.1:8710")
FROM_HERE: Final = ("origin", "http://127.0.0.1:8710")
PAGE: Final = b"<html><script>1</script><script type='module'>2</script><p>&lt;script&gt;</p></html>"


class Inside:
    """What is guarded: a page, and whether anybody came to it."""

    def __init__(self) -> None:
        self.visits = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.visits += 1
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        kind = b"text/html; charset=utf-8" if scope["path"] == "/" else b"text/css"
        headers = [(b"content-type", kind), (b"content-length", str(len(PAGE)).encode()), (b"cache-control", b"public")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE[:20], "more_body": True})
        await send({"type": "http.response.body", "body": PAGE[20:]})


class Door:
    """A guard with its inside; ``cookie`` is what the last answer set."""

    def __init__(self) -> None:
        self.inside = Inside()
        self.guard = Guard(self.inside, TOKEN, ("127.0.0.1", "localhost"), 8710)

    def ask(
        self, path: str = "/", query: str = "", *headers: tuple[str, str], method: str = "GET", kind: str = "http"
    ) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        scope = {
            "type": kind, "method": method, "path": path, "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": f"{kind}.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.guard(scope, receive, send))
        return sent

    def invited(self) -> tuple[str, str]:
        """The cookie of a first visit with the right token."""
        start = self.ask("/", f"token={TOKEN}", HERE)[0]
        assert (start["status"], header(start, "location")) == (303, "/")
        return "cookie", header(start, "set-cookie").partition(";")[0]


def header(start: dict[str, Any], name: str) -> str:
    return next((value.decode() for key, value in start["headers"] if key.decode() == name), "")


def refused(sent: Sequence[dict[str, Any]]) -> bool:
    """403, and the same words whatever was wrong."""
    return sent[0]["status"] == 403 and b"".join(part["body"] for part in sent[1:]) == REFUSED


def test_the_right_token_gives_a_cookie_and_an_address_without_it() -> None:
    door = Door()
    start = door.ask("/", f"token={TOKEN}", HERE)[0]
    cookie = header(start, "set-cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in str(start)
    assert header(start, "referrer-policy") == "no-referrer"
    assert door.ask("/", "", HERE, door.invited())[0]["status"] == 200
    assert door.inside.visits == 1


@pytest.mark.parametrize(
    ("path", "query", "more"),
    [
        ("/", "", ()),
        ("/", "token=", ()),
        ("/", f"token={TOKEN[:-1]}", ()),
        ("/", f"token={TOKEN}x", ()),
        ("/", "token=%ff%fe", ()),
        ("/assets/dashboard.css", f"token={TOKEN}", ()),
        ("/", "", (("cookie", "polyhost-8710=guessed"),)),
        ("/", "", (("cookie", f"polyhost-8710={TOKEN}"),)),
        ("/", "", (("cookie", "\x00;=;;"),)),
    ],
)
def test_sec_03_who_does_not_know_the_token_is_refused_in_the_same_words(
    path: str, query: str, more: tuple[tuple[str, str], ...]
) -> None:
    door = Door()
    assert refused(door.ask(path, query, HERE, *more))
    assert door.inside.visits == 0


@pytest.mark.parametrize("name", ["evil.example:8710", "127.0.0.1:8711", "127.0.0.1", ""])
def test_a_name_that_is_not_served_is_refused_with_token_and_cookie(name: str) -> None:
    """Another's name that was pointed at this machine (DNS rebinding)."""
    door = Door()
    cookie = door.invited()
    assert refused(door.ask("/", f"token={TOKEN}", ("host", name)))
    assert refused(door.ask("/", "", ("host", name), cookie))
    assert door.ask("/", "", ("host", "LOCALHOST:8710"), cookie)[0]["status"] == 200


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "https://127.0.0.1:8710", "http://localhost:8710"])
def test_what_acts_must_come_from_the_page_itself(origin: str | None) -> None:
    door = Door()
    cookie = door.invited()
    more = () if origin is None else (("origin", origin),)
    assert refused(door.ask("/", "", HERE, cookie, *more, method="POST"))
    closed = door.ask("/_nicegui_ws/socket.io", "", HERE, cookie, *more, kind="websocket")
    assert closed == [{"type": "websocket.close", "code": 1008}]
    assert door.inside.visits == 0
    assert door.ask("/", "", HERE, cookie, FROM_HERE, method="POST")[0]["status"] == 200
    assert door.ask("/ws", "", HERE, cookie, FROM_HERE, kind="websocket") == [{"type": "websocket.accept"}]


def test_a_websocket_without_the_cookie_is_closed_before_it_opens() -> None:
    door = Door()
    closed = door.ask("/_nicegui_ws/socket.io", f"token={TOKEN}", HERE, FROM_HERE, kind="websocket")
    assert closed == [{"type": "websocket.close", "code": 1008}]
    assert door.inside.visits == 0


def test_a_page_may_fetch_from_nowhere_else_and_runs_only_its_own_scripts() -> None:
    door = Door()
    cookie = door.invited()
    start, body = door.ask("/", "", HERE, cookie)
    told = header(start, "content-security-policy")
    nonce = told.partition("'nonce-")[2].partition("'")[0]
    assert told == policy(nonce)
    assert "'unsafe-inline'" not in told.partition("script-src")[2].partition(";")[0]
    assert "http" not in told
    assert body["body"].count(f'<script nonce="{nonce}"'.encode()) == 2
    assert b"&lt;script&gt;" in body["body"]
    assert int(header(start, "content-length")) == len(body["body"])
    assert header(start, "cache-control") == "no-store"
    assert header(start, "x-frame-options") == "DENY"
    again, _ = door.ask("/", "", HERE, cookie)
    assert header(again, "content-security-policy") != told
    style, *_ = door.ask("/assets/dashboard.css", "", HERE, cookie)
    assert header(style, "cache-control") == "public"
    assert header(style, "x-content-type-options") == "nosniff"


def test_a_cookie_of_an_earlier_start_is_worth_nothing() -> None:
    assert refused(Door().ask("/", "", HERE, Door().invited()))


def test_the_token_is_new_each_time_or_comes_from_where_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, new), (second, _) = token_of(), token_of()
    assert new
    assert first != second
    assert len(first) >= 43
    kept = tmp_path / "token"
    kept.write_text(f"{TOKEN}\n")
    kept.chmod(0o600)
    assert token_of(file=str(kept)) == (TOKEN, False)
    monkeypatch.setenv("DASH", TOKEN)
    assert token_of(env="DASH") == (TOKEN, False)
    monkeypatch.setenv("DASH", "short")
    for source in ({"env": "DASH"}, {"env": "NOBODY"}, {"env": "A", "file": "B"}):
        with pytest.raises(ConfigError) as wrong:
            token_of(**source)
        assert "short" not in str(wrong.value)


def test_it_listens_on_this_machine_only_unless_told() -> None:
    assert all(is_loopback(name) for name in ("127.0.0.1", "localhost", "::1", "127.9.9.9"))
    assert not any(is_loopback(name) for name in ("0.0.0.0", "192.168.1.5", "::", "example.org"))
    listening = bound("127.0.0.1", 0)
    port = listening.getsockname()[1]
    listening.listen()
    with pytest.raises(ConfigError, match="choose another --port"):
        bound("127.0.0.1", port)
    listening.close()
    assert address("::1", 5, "t/t") == "http://[::1]:5/?token=t%2Ft"
