"""One run of the host: the market data that all share, and each account beside it, from the locks to the summary.

Order at start: journals (folded), the exchange (if it is ours), each account's way to the venue, plugins, feeds. At the
end in reverse. One account's failure ends that account's part; the others trade on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from loguru import logger

from polyhost.allocator import give_back
from polyhost.collecting import rarely_collecting
from polyhost.configuration import Loaded
from polyhost.errors import PolyhostError
from polyhost.service.account import AccountRun
from polyhost.service.accounts_report import Failed, together
from polyhost.service.early import Begun
from polyhost.service.folder import DataFolder
from polyhost.service.gateway_launch import key_variables, share_of
from polyhost.service.left_open import unfinished
from polyhost.service.logs import REDACTOR, SPEAKS_FOR
from polyhost.service.market_data import MarketData
from polyhost.service.presence import Condition
from polyhost.service.reference_prices import ReferencePrices
from polyhost.service.start_permit import well
from polyhost.venue.gatekeeper.secrecy import wipe_environment

if TYPE_CHECKING:
    from polyhost.service.metrics import Metrics


def new_run_id() -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{time.time_ns() // 1_000_000 % 1_000:03d}"


class Session:
    """One run. Use ``await run()`` once; ``stop`` ends it gracefully from a signal handler."""

    def __init__(
        self, loaded: Loaded, folder: DataFolder, accounts: Mapping[str, DataFolder] | None = None, *,
        windows: int | None = None, begun: Begun | None = None,
    ) -> None:
        """``folder`` is the host's, ``accounts`` those of the configured accounts; None: there is one, which lives in
        the host's folder. ``begun``: processes that were started for it already."""
        self.folder = folder
        self.run_id = new_run_id()
        self.ping_url = loaded.configuration.host.ping_url
        begun = begun or Begun()
        self.market = MarketData(loaded.configuration, folder, self.run_id, begun)
        self._variables = key_variables(loaded.configuration)
        self._prices = ReferencePrices(self.market, loaded.configuration, folder)
        parts = {"": (loaded, folder)} if not accounts else {
            name: (loaded.for_account(name), place) for name, place in accounts.items()
        }
        self.accounts = [
            AccountRun(
                own, place, self.market, run_id=self.run_id, windows=windows, label=label,
                share=share_of(len(parts)), variables=self._variables, begun=begun,
            )
            for label, (own, place) in parts.items()
        ]
        self.metrics = self._metrics(loaded.configuration.metrics.port)
        self.on_ready: Callable[[Session], None] | None = None
        """Called once when trading may begin (for the terminal view)."""
        self._begun = False
        self._several = REDACTOR.several = bool(accounts)
        self._reports: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, Failed] = {}
        self._left: set[str] = set()
        """Names of accounts that came to their end."""
        self._tasks: list[asyncio.Task[None]] = []

    def _metrics(self, port: int) -> Metrics | None:
        """Imported where they are wanted: a start waits for no server that nobody asked for."""
        if not port:
            return None
        from polyhost.service.metrics import Metrics

        return Metrics(self, port)

    # --- life ---------------------------------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """End gracefully: entries and quotes go, exits stay resting, positions keep their obligations."""
        for account in self.accounts:
            account.stop(reason)

    def kill(self, who: str, *, flatten: bool) -> None:
        """The operator's kill by a signal; before the host is up it waits for that."""
        for account in self.accounts:
            account.kill(who, flatten=flatten)

    async def run(self) -> dict[str, Any]:
        """Trade until every account came to its end; returns the summary.

        Raises what ended the only account; of several each one's failure stands in the summary.
        """
        async with AsyncExitStack() as stack:
            # Whatever the start comes to; and before what they stand on, once that is there.
            stack.push_async_callback(self._close)
            with rarely_collecting():
                await self._start(stack)
            await asyncio.gather(*(self._life(account) for account in self._living))
        if not self._several:
            return self._reports[self.accounts[0].name]
        modes = {account.name: account.settings.host.mode for account in self.accounts}
        return together(modes, self._reports, self._failed)

    def conditions(self) -> list[Condition]:
        """How each account is that did not fail, for whoever watches the host from outside."""
        return [account.condition(begun=self._begun) for account in self._living]

    def failures(self) -> dict[str, str]:
        """Accounts that ended by a failure while others trade on, and why."""
        return {name: failed.problem for name, failed in self._failed.items()}

    @property
    def _living(self) -> list[AccountRun]:
        return [account for account in self.accounts if account.name not in self._failed]

    async def _start(self, stack: AsyncExitStack) -> None:
        await self._each(_prepare)
        # Every process that needs a key has it by now; no other one, and no plugin, finds it in an environment.
        for name in self._variables:
            wipe_environment(name)
        self._prices.prepare(self._living)
        await self.market.reach(stack)
        await self._each(_permitted)
        await self.market.open(stack)
        stack.push_async_callback(self._close)
        await self._each(AccountRun.connect)
        await self._each(_begin)
        if not self._living:
            return
        # Ended before the feeds and accounts are let go.
        stack.push_async_callback(self._end)
        self.market.begin()
        if self.metrics is not None:
            self.metrics.begin(self.market.supervisor)
        await self._each(_supervise)
        await self._prices.begin(self._living)
        self._watch(self.market.watch_exchange(), "exchange")
        self._watch(self.market.supervisor.run(), "supervisor")
        self._tasks.append(asyncio.get_running_loop().create_task(give_back(), name="memory"))
        self._begun = True
        if self.on_ready is not None:
            self.on_ready(self)

    async def _each(self, step: Callable[[AccountRun], Awaitable[None]]) -> None:
        """A step of the start, for every account at once. Raises what fails for the only one."""
        await asyncio.gather(*(self._guarded(account, step) for account in self._living))

    async def _guarded(self, account: AccountRun, step: Callable[[AccountRun], Awaitable[None]]) -> bool:
        token = SPEAKS_FOR.set(account.name)
        try:
            await step(account)
        except Exception as error:  # whatever it is, it is that account's: the others go on
            if not self._several:
                raise
            await self._ended(account, error)
            return False
        finally:
            SPEAKS_FOR.reset(token)
        return True

    async def _life(self, account: AccountRun) -> None:
        async def trade(account: AccountRun) -> None:
            self._reports[account.name] = await account.trade()

        if await self._guarded(account, trade) and self._several:
            await self._leaves(account)

    async def _ended(self, account: AccountRun, error: Exception) -> None:
        known = isinstance(error, PolyhostError)
        logger.opt(exception=None if known else error).critical(
            "the account ended: {}; the others trade on", error
        )
        self._failed[account.name] = Failed(str(error), error.exit_code if isinstance(error, PolyhostError) else 1)
        await self._leaves(account)

    async def _leaves(self, account: AccountRun) -> None:
        """An account lets go of everything, while others trade on."""
        await account.close()
        self._left.add(account.name)
        await self._prices.ended(account, [each for each in self._living if each.name not in self._left])

    # --- what all stand on --------------------------------------------------------------------------------------------

    def _watch(self, work: Any, name: str) -> None:
        """What nobody can start again (the exchange, the supervisor): when it ends, every account does."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.append(task)
        task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None and task.get_name() == "exchange":
            return  # it is none of ours
        for account in self._living:
            account.engine.fail(error or RuntimeError(f"the loop '{task.get_name()}' ended"))

    async def _close(self) -> None:
        for account in self.accounts:
            await account.close()
        await self._prices.close()

    async def _end(self) -> None:
        await self.market.supervisor.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _prepare(account: AccountRun) -> None:
    account.prepare()


async def _permitted(account: AccountRun) -> None:
    if account.settings.host.mode == "live":
        account.unwell = await well(account.loaded, account, guarding=bool(unfinished(account.kernel.state)))


async def _begin(account: AccountRun) -> None:
    account.begin()


async def _supervise(account: AccountRun) -> None:
    account.supervise()
    await account.listen()
