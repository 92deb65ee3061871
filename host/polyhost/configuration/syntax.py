"""Reading TOML: where a text is none, the line that is to blame and what to do about it."""

from __future__ import annotations

import tomllib
from typing import Any, Final

from polyhost.errors import ConfigError
from polyhost.model.secrecy import shown

LINES_TRIED_MAX: Final = 500
"""How far back the beginning of something left open is looked for; each step parses what is above it."""
USUAL_REMEDY: Final = "write KEY = VALUE, one on a line, below its [table]"
REMEDIES: Final = {
    "Invalid value": "a text stands in straight quotes; true, false and numbers (0.5, not .5) stand without",
    "Cannot overwrite a value": "the key stands there twice: take one of them out",
    "Cannot declare": "the table stands there twice: put its keys under one heading",
    "Expected ']'": "close the heading: [table]",
    "Expected '='": "write KEY = VALUE, with quotes around a key that has blanks or dots",
    "Expected newline": "write one setting on a line, and texts in quotes",
    "Unclosed array": "close the list with ]",
    "Unclosed inline table": "close the table with } on the same line, or give it a heading [table]",
    "Expected": "close the text with the quote that began it",
    "Illegal character '\\n'": "close the text with the quote that began it",
    "Unescaped": "write texts with backslashes in single quotes",
}
"""What the parser's message begins with → what to do."""


def parsed(text: str, file: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ConfigError with line and remedy; ``file`` is what it calls the text."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refusal(str(error), text, file) from None
    except RecursionError:
        raise ConfigError("is not TOML: nested too deeply", file=file, remedy="name a file of TOML") from None


def _refusal(said: str, text: str, file: str) -> ConfigError:
    """The parser's words with the line that they mean, quoted unless it could hold a secret."""
    lines = text.splitlines()
    problem, _, place = said.partition(" (at ")
    # "Cannot declare ('a', 'b') twice" as it stands in the file.
    problem = problem.replace("('", "[").replace("',)", "]").replace("')", "]").replace("', '", ".")
    number = place.removeprefix("line ").partition(",")[0]
    if not number.isdigit():
        number = str(_begun_on(lines))
        problem += f", begun on line {number}"
    line = lines[int(number) - 1].strip() if 0 < int(number) <= len(lines) else ""
    key = line.partition("=")[0]
    given = line if line and shown(key, line) == line else None
    return ConfigError(f"is not TOML: {problem}", file=f"{file}:{number}", value=given, remedy=_remedy(said))


def _remedy(said: str) -> str:
    return next((remedy for beginning, remedy in REMEDIES.items() if said.startswith(beginning)), USUAL_REMEDY)


def _begun_on(lines: list[str]) -> int:
    """Where that begins which the end of the document leaves open: the line after the last prefix that is whole."""
    for whole in range(len(lines) - 1, max(len(lines) - LINES_TRIED_MAX, 0), -1):
        try:
            tomllib.loads("\n".join(lines[:whole]))
        except tomllib.TOMLDecodeError:
            continue
        return whole + 1
    return 1 if len(lines) <= LINES_TRIED_MAX else len(lines)
