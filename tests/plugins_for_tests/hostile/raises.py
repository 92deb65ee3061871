"""Raises while it is imported."""

from __future__ import annotations

from typing import Any

from polyhost import Plugin, View, hookimpl

raise RuntimeError("this module wants the host to end")


class Raises(Plugin):
    name = "raises"
    description = "Raises while it is imported."

    @hookimpl
    def propose(self, view: View) -> Any:
        return None
