"""Liquidity rewards as the venue's notifications tell them.

No stream tells of a payout; a notification of type 5 does, with the transaction that paid. It is told again at every
look as long as the venue shows it: whoever keeps the books takes each transaction once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from loguru import logger

from polyhost.model.events import RewardPaid
from polyhost.model.money import parse_fixed

REWARD: Final = 5
"""The kind of notification."""
MS_SINCE: Final = 100_000_000_000
"""A timestamp above this is in ms (it would be the year 5138 in seconds)."""


def payout_of(row: Mapping[str, Any]) -> RewardPaid | None:
    """The payout that a notification tells of; None for other kinds, and (told) for one that cannot be understood."""
    if row.get("type") != REWARD:
        return None
    payload = row.get("payload")
    try:
        if not isinstance(payload, dict) or not payload.get("txnHash"):
            raise ValueError("no transaction")
        amount = parse_fixed(str(payload["reward"]), 6, "reward")
        return RewardPaid(str(payload["txnHash"]), amount, _moment_ms(row.get("timestamp")))
    except (KeyError, ValueError) as error:
        logger.warning("a payout of rewards that cannot be understood: {}", error)
        return None


def _moment_ms(value: object) -> int:
    """Seconds, ms or ISO text. Raises ValueError."""
    text = str(value)
    if text.isascii() and text.isdigit():
        return int(text) if int(text) > MS_SINCE else int(text) * 1_000
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
