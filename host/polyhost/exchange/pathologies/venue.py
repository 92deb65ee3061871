"""What goes wrong inside the venue: settlement, matching, cancels, modes and ticks, as the exchange asks for it."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from polyhost.exchange import refusals
from polyhost.exchange.mood import Closure, Stages
from polyhost.exchange.pathologies.chance import Pathologies
from polyhost.model.market import Market
from polyhost.model.money import LOT, Micros, Ticks

RESTART_MS: Final = 5_000
"""How much of a ``post_only_restart`` nothing at all is taken."""
TICK_FINE: Final[Ticks] = 10


class VenueMood:
    """The answers to the exchange's questions, by the pathologies that are switched on."""

    def __init__(self, pathologies: Pathologies) -> None:
        self.pathologies = pathologies

    def stages(self, trade_id: str, usual: Stages) -> Stages:
        """Failing wins over settling late, that over a balance that lags."""
        chance = self.pathologies
        if chance.strikes("ghost_fill", trade_id):
            return structs.replace(usual, failed_ms=chance.between("ghost_fill", 5_000, 90_000, trade_id))
        if chance.strikes("settlement_late", trade_id):
            late = chance.between("settlement_late", 60_000, 600_000, trade_id)
            return Stages(usual.visible_ms + late, usual.mined_ms + late, usual.confirmed_ms + late)
        if chance.strikes("balance_lag", trade_id):
            lag = chance.between("balance_lag", 5_000, 30_000, trade_id)
            return structs.replace(usual, visible_ms=usual.mined_ms + lag)
        return usual

    def lock_ms(self, trade_id: str) -> int:
        if not self.pathologies.strikes("phantom_lock", trade_id):
            return 0
        return self.pathologies.between("phantom_lock", 60_000, 600_000, trade_id)

    def crosses(self, subject: str) -> bool:
        return self.pathologies.strikes("cross_match", subject)

    def rejects_rest(self, order_id: str) -> bool:
        return self.pathologies.strikes("partial_then_reject", order_id)

    def overtaken(self, order_id: str, left: Micros) -> Micros:
        """Everything, or half of it (whole lots) where that is something."""
        chance = self.pathologies
        if not chance.strikes("cancel_race", order_id):
            return 0
        half = left // 2 // LOT * LOT
        return half if half and chance.between("cancel_race", 0, 1, order_id) else left

    def closure(self, now: int) -> Closure | None:
        chance = self.pathologies
        restart = chance.episode("post_only_restart", now)
        if restart is not None and restart.start <= now < restart.end:
            if now < restart.start + RESTART_MS:
                return Closure(*refusals.RESTARTING, cancels=True, retry_after_s=1)
            left_s = -(-(restart.end - now) // 1_000)
            return Closure(
                *refusals.POST_ONLY_MODE, cancels=False, code=refusals.POST_ONLY_CODE, retry_after_s=left_s,
                post_only=True,
            )  # fmt: skip
        if chance.holds("http_425", now):
            return Closure(*refusals.RESTARTING, cancels=True, retry_after_s=1)
        if chance.holds("cancel_only", now):
            return Closure(*refusals.CANCEL_ONLY, cancels=False)
        return None

    def ticks(self, market: Market, since: int) -> list[tuple[int, Ticks]]:
        """To the fine tick in the middle third of the market's life, and back."""
        chance, subject = self.pathologies, market.condition_id
        if market.start is None or market.tick <= TICK_FINE or not chance.strikes("tick_flip", subject):
            return []
        life = market.end - market.start
        there = market.start + life // 3 + chance.between("tick_flip", 0, life // 3, "there", subject)
        back = there + chance.between("tick_flip", 5_000, 60_000, "back", subject)
        return [(at, tick) for at, tick in ((there, TICK_FINE), (back, market.tick)) if since < at < market.end]
