"""What a click does: a word to the running host over its control socket, else the command of that name.

The commands know every other way (a file, a signal, the venue itself when no host runs). They are processes of their
own, as is ``why``, which reads the whole journal: the page goes on meanwhile, and what they took they give back.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from polyhost.service.control_client import ANSWER_S, NoAnswerError, RefusedError, ask
from polyhost.service.folder import running_pid
from polyhost.service.operator_box import said_by
from polyhost.web.picture import Picture

PLUGIN_WORDS: Final = ("enable", "disable", "release", "accept")
WORDS: Final = ("pause", "resume", "kill", *PLUGIN_WORDS)
KILL_ANSWER_S: Final = 3.0
"""A host that has not answered a kill by then, wall seconds, gets it by the command: as a file, or a signal."""
COMMAND_S: Final = 60.0
"""A command has ended by then, wall seconds."""
COMMANDS_MAX: Final = 2
"""At once."""
WHY_CHARACTERS_MAX: Final = 500
"""A reason's length, as the control socket takes it."""
TEXT_MAX: Final = 200_000
"""Of a command's answer that is shown, characters."""


class Said(Struct, frozen=True):
    """What became of a word."""

    ok: bool
    text: str


class Wish(Struct, frozen=True):
    """A word with what it is about, checked before anything is done."""

    word: str
    target: str = ""
    """A breaker for ``resume`` (empty: all), a plugin for its words."""
    flatten: bool = False
    everything: bool = False
    """``kill``: a person's orders, too."""
    why: str = ""

    def problem(self, picture: Picture) -> str:
        """Why it is no word of this page; empty: it is one."""
        if self.word not in WORDS:
            return "there is no such word"
        if self.word in PLUGIN_WORDS and self.target not in {plugin.name for plugin in picture.plugins}:
            return "there is no such plugin"
        if self.word == "resume" and self.target and self.target not in {block.name for block in picture.blocks}:
            return "it blocks nothing any more"
        if self.word in ("pause", "kill") and self.target:
            return "it has no target"
        return "" if len(self.why) <= WHY_CHARACTERS_MAX else f"a reason has at most {WHY_CHARACTERS_MAX} characters"


class Operator:
    """Speaks for the person at the page to one account. ``place``: the options of a command that name its folder."""

    def __init__(self, folder: Path, place: tuple[str, ...]) -> None:
        self._folder = folder
        self._place = place
        self._turns = asyncio.Semaphore(COMMANDS_MAX)

    async def say(self, wish: Wish) -> Said:
        """Say it, and what became of it."""
        if running_pid(self._folder) is not None:
            try:
                answer = await asyncio.to_thread(self._asked, wish)
            except RefusedError as error:
                return Said(False, str(error))
            except NoAnswerError:
                pass  # stuck, half-broken, or about to end: the command knows what to do then
            else:
                return Said(True, _told(wish, answer))
        return await self._command(*_words(wish), *(("--why", wish.why) if wish.why else ()))

    def _asked(self, wish: Wish) -> dict[str, Any]:
        within = KILL_ANSWER_S if wish.word == "kill" else ANSWER_S
        who = f"{said_by()} at the dashboard"
        return ask(self._folder, wish.word, _arguments(wish), who=who, why=wish.why, within_s=within)

    async def why(self, kind: str, *names: str) -> Said:
        """The chain of causes of an order, a position or a window, as ``polyhost why`` tells it."""
        return await self._command("why", kind, *names)

    async def _command(self, *words: str) -> Said:
        async with self._turns:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "polyhost", *words, *self._place, stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )
            try:
                out, err = await asyncio.wait_for(process.communicate(), COMMAND_S)
            except TimeoutError:
                process.kill()
                await process.wait()
                return Said(False, f"`polyhost {words[0]}` did not end within {COMMAND_S:.0f} s")
        told = out.decode(errors="replace").strip(), err.decode(errors="replace").strip()
        text = "\n".join(part for part in told if part) or f"it ended with exit code {process.returncode}"
        return Said(process.returncode == 0, text[:TEXT_MAX])


def _arguments(wish: Wish) -> dict[str, Any]:
    """Of the control socket's word."""
    if wish.word == "kill":
        return {"all": wish.everything, "flatten": wish.flatten}
    if wish.word == "resume":
        return {"breaker": wish.target}
    return {"plugin": wish.target} if wish.word in PLUGIN_WORDS else {}


def _words(wish: Wish) -> tuple[str, ...]:
    """Of the command."""
    if wish.word == "kill":
        return ("kill", *(("--flatten",) if wish.flatten else ()), *(("--all",) if wish.everything else ()))
    if wish.word == "resume":
        return ("resume", *(("--breaker", wish.target) if wish.target else ()))
    return ("plugins", wish.word, wish.target) if wish.word in PLUGIN_WORDS else (wish.word,)


def _told(wish: Wish, answer: dict[str, Any]) -> str:
    """The host's answer for a person."""
    notes = [str(note) for note in answer.get("notes", ())]
    if wish.word in PLUGIN_WORDS:
        done = f"{wish.target} is {answer.get('state', wish.word + 'd')}"
        return "; ".join([done if answer.get("changed", True) else f"{done} already", *notes])
    name = f"{wish.word} {wish.target}".rstrip()
    return f"{name}: taken by the host" + ("" if answer.get("durable", True) else ", not on the disk yet")
