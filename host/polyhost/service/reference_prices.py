"""The venue's reference prices, heard once for every account: the venue gives them to whoever has API credentials.

Those are nowhere but in a gateway process. The first account's that has one hears them; when it ends, the next one's.
Where no account has a key, an exchange elsewhere gives them to a throwaway one; the live venue to nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from loguru import logger

from polyhost.errors import PolyhostError
from polyhost.service.account import AccountRun
from polyhost.service.folder import DataFolder
from polyhost.service.gateway_launch import prices_told
from polyhost.service.gateways import process_of
from polyhost.service.market_data import STREAM_SILENT_S, MarketData
from polyhost.settings import Configuration
from polyhost.venue.gatekeeper.client import GatewayProcess


class ReferencePrices:
    """``prepare`` early, ``begin`` when the accounts are connected, ``close`` at the end."""

    def __init__(self, market: MarketData, settings: Configuration, folder: DataFolder) -> None:
        self._market = market
        self._settings = settings
        self._folder = folder
        self._source: GatewayProcess | None = None
        self._own: GatewayProcess | None = None
        """A process of nobody's, that only hears them."""

    def prepare(self, accounts: Sequence[AccountRun]) -> None:
        """Start a process that may be needed; it loads its client while the host goes on."""
        if self._settings.venue.url and not any(account.process for account in accounts):
            self._own = process_of(prices_told(self._settings, self._folder))
            self._own.spawn()

    async def begin(self, accounts: Sequence[AccountRun]) -> None:
        """Hear them from now on. Raises VenueError when nobody gives them though somebody could."""
        await self._hear(accounts)
        if self._source is not None:
            self._market.ask_prices = self._ask
            self._market.supervisor.watch("reference prices", self._silent_s, STREAM_SILENT_S, self._restart)

    async def ended(self, account: AccountRun, others: Sequence[AccountRun]) -> None:
        """An account ended, and its process with it: if they came from there, they come from another one's now."""
        if self._source is None or account.process is not self._source:
            return
        self._source = None
        if not others:
            return  # the host ends: nobody is left to hear them
        try:
            await self._hear(others)
        except PolyhostError as error:
            logger.error("nobody hears the reference prices any more: {}", error)

    async def close(self) -> None:
        own, self._own, self._source = self._own, None, None
        if own is not None:
            await own.close()

    async def _hear(self, accounts: Sequence[AccountRun]) -> None:
        market = self._market
        self._source = next((account.process for account in accounts if account.process is not None), None)
        if self._source is None and market.endpoints.live:
            if accounts:
                logger.warning(
                    "no account here has API credentials, and the venue gives its reference prices to nobody without: "
                    "strikes by its price stream stay unknown"
                )
            return
        if self._source is None:
            self._source = self._own = self._own or process_of(prices_told(self._settings, self._folder))
            self._own.at(market.endpoints)
            await self._own.connect()
        await self._source.hear_prices(self._settings.markets.symbols, market.price, market.event)

    # --- whoever it is ------------------------------------------------------------------------------------------------

    def _ask(self) -> bool:
        return self._source is not None and self._source.refresh()

    def _silent_s(self) -> float:
        return 0.0 if self._source is None else max(self._source.silent_s("reference prices"), self._source.down_s())

    def _restart(self) -> None:
        if self._source is not None:
            self._source.restart()
