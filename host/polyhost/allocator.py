"""How a process that runs for months asks the system for memory, so that what is free again does not stay with it.

Python keeps its small objects in arenas of its own; everything larger (messages, a snapshot, what SQLite and zlib work
in) is the C library's, and glibc is made for speed: an arena for each thread, a threshold that grows with every large
block that was freed, up to 32 MB, below which nothing is given back, and never a page from between two blocks in use.
In a run of four symbols and two lengths of windows the host had 25 MB in use there and kept 27 MB more after four
hours, its gateway process 15, the simulated exchange 8, and all of it grew (measured 2026-11; the figures after that
stand in docs/operations.md).
"""

from __future__ import annotations

import os
from typing import Any, Final

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
ARENAS: Final = 1
"""Threads here wait for each other in the interpreter anyway; what one gave back another one uses."""
LARGE_BYTES: Final = 1 << 20
"""A block of this size is mapped by itself, and so much free room at the end of the heap goes back. With less, every
read of a socket would cost two calls of the system and its pages anew, 10 microseconds: asyncio takes 256 kB for each.
"""
GIVE_BACK_EVERY_S: Final = 15.0
"""Free pages between blocks in use are looked for this often, wall seconds; it takes 1 ms."""


def save_memory() -> bool:
    """Have glibc keep little of what is free; at the start of a process, before it has threads.

    False on another C library, which is left as it is, and where the operator has set glibc up by its own variables.
    """
    library = _glibc()
    if library is None:
        return False
    settings = ((M_ARENA_MAX, ARENAS), (M_MMAP_THRESHOLD, LARGE_BYTES), (M_TRIM_THRESHOLD, LARGE_BYTES))
    taken = [library.mallopt(name, value) == 1 for name, value in settings]
    return all(taken)


async def give_back() -> None:
    """Give free pages back now and then, beside the event loop, until cancelled. Ends at once where that is not ours.
    """
    import asyncio  # here: the keeper of a key has no loop, and stays small

    library = _glibc()
    while library is not None:
        await asyncio.sleep(GIVE_BACK_EVERY_S)
        await asyncio.to_thread(library.malloc_trim, 0)


def _glibc() -> Any:
    """The C library, if it is glibc and nobody else has set it up; None: it is another one's matter."""
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return None
    import ctypes  # here: commands that only print have no use for it

    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return None
    library.malloc_trim.argtypes = [ctypes.c_size_t]
    return library
