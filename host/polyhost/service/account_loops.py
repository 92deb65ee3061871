"""The loops of one account: each is started, watched, and started again (ORD-15)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from loguru import logger

from polyhost.errors import PolyhostError
from polyhost.service import live_file
from polyhost.service.banner import tell_loops
from polyhost.service.details import tell_details
from polyhost.service.journal_watch import CHECK_SILENT_S, JournalWatch
from polyhost.service.operator_box import POLL_S, hand_on, waiting
from polyhost.service.supervision import Beat, Supervisor
from polyhost.venue.gatekeeper.client import GatewayProcess
from polyhost.venue.polymarket.heartbeats import Heartbeats
from polyhost.venue.polymarket.venue_notices import VenueNotices

if TYPE_CHECKING:
    from polyhost.service.account import AccountRun

ALIVE_EVERY_S: Final = 60.0
"""One line of life a minute (LOG-08)."""
STATUS_EVERY_S: Final = 2.0
"""The liveness figures are written for ``polyhost status`` this often, wall seconds."""
KERNEL_SILENT_S: Final = 2.0
"""The timer goes round every 50 ms; silent for this long (wall seconds) it is started again."""
OPERATOR_SILENT_S: Final = 5.0
"""Looking for the operator's words, wall seconds of silence."""
CONTROL_SILENT_S: Final = 10.0
"""The control socket looks at itself every second; silent for so long, wall seconds, it is made anew."""
USER_SILENT_S: Final = 60.0
"""The loop of the stream of our orders, wall seconds: the longest pause between tries is 30 s."""
NOTICES_SILENT_S: Final = 90.0
"""Between two looks at the venue's notifications, wall seconds; one is every 20 s, and takes 20 s at most."""
HEARTBEAT_SILENT_S: Final = 8.0
"""None was taken for this long, wall seconds; two seconds later at the earliest the venue cancels all orders."""
EXITS_LATE_S: Final = 2.0
"""An obligation that should have been enforced this long ago (wall seconds) is neglected."""
JOURNAL_SILENT_S: Final = 5.0
"""A record waits for the disk this long, wall seconds."""
GATEWAY_DOWN_S: Final = 0.2
"""There is no gateway process for this long, wall seconds; it comes back by itself."""
GATEWAY_SILENT_S: Final = 30.0
"""No request was answered for this long, wall seconds; the balance is asked every 4 s."""
RECONCILING_S: Final = 60.0
"""A comparison with the venue takes this long, wall seconds."""
OUTBOX_SILENT_S: Final = 60.0
"""One notice is being delivered for this long, wall seconds."""


class AccountLoops:
    """What goes round while an account trades."""

    def __init__(self, account: AccountRun) -> None:
        self._account = account
        self._reconciling_since: float | None = None
        self._reconnecting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start and watch them all. Once."""
        account, watched = self._account, self._account.supervisor
        engine, gateway, journal = account.engine, account.gateway, account.journal
        watched.task("kernel", engine.run_timer, KERNEL_SILENT_S, safety=True)
        watched.task("operator", self._listen, OPERATOR_SILENT_S, safety=True)
        watched.task("control socket", account.control().run, CONTROL_SILENT_S)
        if account.paper is not None:
            watched.task("user stream", account.paper.run, USER_SILENT_S, safety=True)
        if account.process is not None:
            self._watch_process(watched, account.process)
        noticed = VenueNotices(gateway.notifications, gateway.drop_notifications, engine.event, engine)
        watched.task("venue notices", noticed.run, NOTICES_SILENT_S)
        watched.task("sign of life", self._alive, ALIVE_EVERY_S + OPERATOR_SILENT_S)
        watched.task("status file", self._publish, STATUS_EVERY_S + OPERATOR_SILENT_S)
        if account.settings.safety.dead_man and account.settings.host.mode != "shadow":
            watched.task("heartbeat", Heartbeats(gateway.heartbeat).run, HEARTBEAT_SILENT_S, safety=True)
        watched.watch("exits", self._exits_late_s, EXITS_LATE_S, lambda: None, safety=True)
        looking = JournalWatch(account.folder.journal, engine.event, lambda: engine.sealed is not None)
        watched.task("journal check", looking.run, CHECK_SILENT_S)
        watched.watch("journal", journal.behind_s, JOURNAL_SILENT_S, journal.revive, safety=True)
        watched.watch("gateway", self._gateway_silent_s, GATEWAY_SILENT_S, self._reconnect_soon, safety=True)
        watched.watch("reconciliation", self._reconciling_s, RECONCILING_S, engine.turn, safety=True)
        watched.watch("outbox", engine.outbox_age_s, OUTBOX_SILENT_S, engine.deliver_anew)
        watched.watch("analysis", account.analysis.dead_s, 0.0, account.analysis.revive)
        account.extra.supervise(watched)
        if account.recorder is not None:
            watched.watch("recorder", account.recorder.dead_s, 0.0, lambda: None)
        tell_loops(watched.all_loops())

    def _watch_process(self, watched: Supervisor, process: GatewayProcess) -> None:
        """It comes back by itself; meanwhile nothing that adds exposure leaves, and who asks finds it by this name."""
        watched.watch("gateway process", process.down_s, GATEWAY_DOWN_S, None, safety=True)
        watched.watch(
            "user stream", lambda: process.silent_s("user stream"), USER_SILENT_S, process.restart, safety=True
        )

    # --- figures ------------------------------------------------------------------------------------------------------

    def _exits_late_s(self) -> float:
        """Wall seconds by which the oldest obligation that nobody sees to is overdue."""
        clock = self._account.clock
        return clock.wall_seconds(self._account.kernel.overdue_ms(clock.now()))

    def _gateway_silent_s(self) -> float:
        """While there is no gateway process that is told by a loop of its own, and no connection can be made anew."""
        process = self._account.process
        if process is not None and process.down_s():
            return 0.0
        return time.monotonic() - self._account.engine.answered_at

    def _reconciling_s(self) -> float:
        """For how long the comparison with the venue that is under way has been."""
        if not self._account.kernel.reconciling():
            self._reconciling_since = None
            return 0.0
        now = time.monotonic()
        self._reconciling_since = self._reconciling_since or now
        return now - self._reconciling_since

    def _reconnect_soon(self) -> None:
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = self._account.engine.start(self._reconnect())

    async def _reconnect(self) -> None:
        try:
            await self._account.gateway.reconnect()
        except PolyhostError as error:
            logger.warning("the gateway's connections could not be made anew: {}", error)

    # --- loops --------------------------------------------------------------------------------------------------------

    async def _publish(self, beat: Beat) -> None:
        """Keep the liveness figures where ``status`` finds them."""
        account, failing = self._account, False
        while True:
            beat()
            try:
                await asyncio.to_thread(live_file.write, account.folder.path, account.live())
                failing = False
            except OSError as error:
                # On a full disk this is every time: told once.
                logger.log("DEBUG" if failing else "WARNING", "figures for `polyhost status` not written: {}", error)
                failing = True
            await asyncio.sleep(STATUS_EVERY_S)

    async def _listen(self, beat: Beat) -> None:
        """Take the operator's words as they come."""
        account = self._account
        while True:
            beat()
            if account.settings.accounts:
                hand_on(account.folder.path.parent)
            for path, word in waiting(account.folder.path):
                account.hear(word)
                path.unlink(missing_ok=True)
            await asyncio.sleep(POLL_S)

    async def _alive(self, beat: Beat) -> None:
        account = self._account
        while True:
            beat()
            await asyncio.sleep(ALIVE_EVERY_S)
            kernel, state = account.kernel, account.kernel.state
            open_positions = sum(p.size > 0 and not state.markets[p.condition_id].settled
                                 for p in state.positions.values())
            late = max(account.engine.lateness, default=0.0)
            logger.info(
                "alive: {} markets, {} {} positions, {} open orders, {} evaluations, worst timer lag {:.3f} s; {}",
                len(kernel.followed()), open_positions, account.settings.host.mode,
                sum(len(refs) for refs in state.open_refs.values()),
                kernel.evaluations, late / 1_000, account.supervisor.said(),
            )
            tell_details(kernel, account.clock.now())
