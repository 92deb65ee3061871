"""How the key gets into the gateway process and nowhere else: read once, wiped where it was, closed to other eyes."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import Final

PR_SET_DUMPABLE: Final = 4


def close_to_others() -> None:
    """No core file, and no look into this process's memory or environment by others of the same user (Linux).

    A process with the right to trace any (root) sees it all the same.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def wipe_environment(name: str) -> None:
    """Take a variable out of this process's environment, and out of the memory that ``/proc/PID/environ`` shows."""
    if name not in os.environ:
        return
    if sys.platform == "linux":
        getenv = ctypes.CDLL(None).getenv
        getenv.restype, getenv.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
        found = getenv(name.encode())
        if found:
            ctypes.memset(found, 0, len(ctypes.string_at(found)))
    os.environ.pop(name, None)
