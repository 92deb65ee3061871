"""The in-process gateway of a venue that misbehaves: what it is told and asked goes through ``Faults``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from polyhost.exchange import api
from polyhost.exchange.core import Exchange
from polyhost.exchange.gateway import InProcessGateway
from polyhost.exchange.pathologies.catalogue import BY_NAME
from polyhost.exchange.pathologies.chance import Episode, Pathologies
from polyhost.exchange.pathologies.faults import Faults
from polyhost.exchange.pathologies.venue import VenueMood
from polyhost.model.events import Event, StreamChanged
from polyhost.model.gateway import OrderRequest
from polyhost.model.times import NEVER, MarketMs

EPISODIC: Final = ("ws_gap", "heartbeat_lost")
"""Episodes whose beginning or end is something that happens, not just a state."""


class FaultyGateway(InProcessGateway):
    """One account's way to an in-process exchange that misbehaves, in virtual time.

    Use it as an ``InProcessGateway`` and call ``advance(now)`` at ``next_due`` too. ``execute`` and ``events_of`` give
    what arrives at once. The caller lets the exchange run (``exchange.advance``, ``World.advance``) and hands every
    output to ``events_of``; what the public channels show of them is in ``take_public()``.
    """

    def __init__(
        self,
        exchange: Exchange,
        address: str,
        api_key: str,
        seed: int,
        pathologies: Pathologies,
        private_key: bytes | None = None,
        streams: tuple[str, ...] = ("user",),
    ) -> None:
        """``streams``: which of ``user`` and ``market`` may freeze and break. A break of ``market`` is told by
        ``StreamChanged`` too, and the caller has to show its books anew after it."""
        super().__init__(exchange, address, api_key, seed, private_key)
        self.pathologies = pathologies
        self.faults = Faults(pathologies, streams)
        self.epochs = {"market": 1, "user": 1}
        """Epoch of each stream: the caller may set where it stands at the start."""
        self._public: list[api.Output] = []
        self._now = exchange.now
        self._down = False
        self._boundaries = [name for name in EPISODIC if pathologies.on(name)]
        exchange.afflict(VenueMood(pathologies))

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def next_due(self) -> int:
        """Market ms at which ``advance`` has something to do; NEVER when nothing is held back or planned."""
        due = self.faults.next_due
        if self._down and not self.pathologies.holds("ws_gap", self._now):
            return self._now  # switched off meanwhile: the streams come back at once
        for name in self._boundaries:
            due = min(due, self._boundary(name))
        return due

    def advance(self, now: MarketMs) -> list[Event]:
        """What was held back until now, streams that broke or came back, and what lost heartbeats did."""
        found: list[Event] = []
        while (due := self.next_due) <= now:
            self._now = due
            found += self._streams(due)
            found += self._heartbeats(due)
            found += self._told(self.faults.due(due))
        self._now = max(self._now, now)
        return found

    def take_public(self) -> list[api.Output]:
        """What the public channels have shown since the last call: books, prints, ticks, markets, prices. In order."""
        public, self._public = self._public, []
        return public

    # --- the wire -----------------------------------------------------------------------------------------------------

    def events_of(self, outputs: list[api.Output]) -> list[Event]:
        """What outputs mean for this account at the exchange's present time, as far as they arrive at once."""
        return self._told(self.faults.after([output for output in outputs if self._concerns(output)], self._at))

    def _send(self, request: api.Request, now: MarketMs) -> list[Event]:
        request, refusal = self.faults.before(request)
        outputs = self.exchange.handle(request, now) if refusal is None else [refusal]
        self.outputs += outputs
        return self.events_of(outputs)

    def post_many(self, requests: Sequence[OrderRequest], now: MarketMs) -> list[Event]:
        """One request: what refuses it, or loses its answer, does so for every order in it."""
        posts = [api.PostOrder(self._ask("post", request.order_id), self._order(request)) for request in requests]
        _, refusal = self.faults.before(posts[0])
        outputs: list[api.Output] = []
        for post in posts:
            if isinstance(refusal, api.Posted):
                outputs.append(structs.replace(refusal, request_id=post.request_id, order_id=post.order.order_id))
            else:
                outputs += self.exchange.handle(post, now)
        self.outputs += outputs
        return self._told(self.faults.after_batch([output for output in outputs if self._concerns(output)], self._at))

    @property
    def _at(self) -> int:
        return max(self._now, self.exchange.now)

    def _told(self, outputs: list[api.Output]) -> list[Event]:
        self._public += [output for output in outputs if not _is_private(output)]
        return super().events_of(outputs)

    def _concerns(self, output: api.Output) -> bool:
        match output:
            case api.UserOrder() | api.UserTrade():
                return output.owner == self.api_key
            case api.RewardPaid():
                return output.account == self.address
            case _ if _is_private(output):
                return getattr(output, "request_id", None) in self._asked
            case _:
                return True

    # --- episodes -----------------------------------------------------------------------------------------------------

    def _boundary(self, name: str) -> int:
        """The first moment after the present one at which an episode begins or ends, or a new period does."""
        episode = self.pathologies.episode(name, self._now)
        if episode is not None:
            for moment in (episode.start, episode.end):
                if moment > self._now:
                    return moment
        period = BY_NAME[name].period_ms
        return (self._now // period + 1) * period if period else NEVER

    def _streams(self, now: int) -> list[Event]:
        if "ws_gap" not in self._boundaries or self.pathologies.holds("ws_gap", now) == self._down:
            return []
        self._down = not self._down
        found: list[Event] = []
        for stream in self.faults.streams:
            self.epochs[stream] += 0 if self._down else 1
            reason = "the connection broke" if self._down else "connected again"
            found.append(StreamChanged(stream, not self._down, self.epochs[stream], reason))
        return found

    def _heartbeats(self, now: int) -> list[Event]:
        if "heartbeat_lost" not in self._boundaries:
            return []
        episode: Episode | None = self.pathologies.episode("heartbeat_lost", now)
        if episode is None or episode.start != now:
            return []
        return self.events_of(self.exchange.cancel_all(self.api_key, MarketMs(now)))


def _is_private(output: api.Output) -> bool:
    """Is it an answer, or an event of one key's own stream?"""
    return isinstance(
        output,
        api.UserOrder | api.UserTrade | api.Posted | api.Canceled | api.OrderReply | api.OrdersReply | api.TradesReply
        | api.BalanceReply | api.Refused | api.Done | api.TransactionReply | api.AutoRedeemed
        | api.RewardPaid,
    )
