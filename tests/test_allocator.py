"""B8: what is free in a long-running process goes back to the system."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import sys
from typing import Any

import pytest

from polyhost import allocator

FREED: str = """
import gc
from pathlib import Path
from polyhost.allocator import _glibc, save_memory

def held():
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")) / 1024

assert save_memory()
before = held()
blocks = [bytes(20_000) for _ in range(3_000)]
kept = blocks[::100]
full = held()
del blocks
_glibc().malloc_trim(0)
print(full - before, held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is free")
def test_b8_pages_between_blocks_in_use_are_given_back() -> None:
    """60 MB are taken, one block in a hundred stays: without the call nearly all would."""
    ran = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True, timeout=200)
    taken, left = map(float, ran.stdout.split())
    assert taken > 50
    assert left < 10


class Library:
    """A C library that notes what it is told."""

    def __init__(self) -> None:
        self.trims: list[int] = []

    def malloc_trim(self, pad: int) -> int:
        self.trims.append(pad)
        return 1


def test_b8_it_goes_round_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(allocator, "_glibc", lambda: library)
    monkeypatch.setattr(allocator, "GIVE_BACK_EVERY_S", 0.0)

    async def some() -> None:
        task = asyncio.create_task(allocator.give_back())
        while len(library.trims) < 3:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(some())
    assert library.trims[:3] == [0, 0, 0]


def test_b8_an_operators_own_settings_and_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not allocator.save_memory()
    asyncio.run(asyncio.wait_for(allocator.give_back(), 60))
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    other: Any = object()
    monkeypatch.setattr("ctypes.CDLL", lambda name: other)
    assert not allocator.save_memory()
