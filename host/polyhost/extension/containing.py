"""What a plugin raised, contained: whatever it is, its neighbours and the host do not notice.

A person's Ctrl-C is no answer of the plugin that happens to be running then, so it goes on to whoever waits for it. A
host with an event loop gets it as a signal, and a plugin's process ignores it; elsewhere Python raises
KeyboardInterrupt between two instructions of whatever code runs. A plugin that raises one itself does so by a raise
statement.
"""

from __future__ import annotations

import dis
from typing import Final

from polyhost.extension.answers import described

_RAISES: Final = (dis.opmap["RAISE_VARARGS"], dis.opmap["RERAISE"])


def contained(error: BaseException) -> str:
    """One line about what a plugin's code raised, for ``except BaseException`` around it. Raises a Ctrl-C again."""
    if isinstance(error, KeyboardInterrupt) and not _by_statement(error):
        raise error
    return described(error)


def _by_statement(error: BaseException) -> bool:
    """The error comes from a raise statement; what a signal raises comes from wherever the code was."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and at.tb_frame.f_code.co_code[at.tb_lasti] in _RAISES
