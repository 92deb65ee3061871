"""The plugins of the shipped configuration; their settings' defaults live in their own classes."""

from __future__ import annotations

from typing import Final

SHIPPED_PLUGINS: Final = (
    "binance_momentum",
    "polymarket_momentum",
    "additive",
    "entry_policy",
    "fixed_size",
    "exit_plan",
    "expiry_guard",
    "console_notify",
)
"""Enabled unless ``enabled = false``, in this order of precedence unless a file names them in another."""
