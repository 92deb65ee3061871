"""A builder code at the venue: what it costs, and what it was credited with (CON-18).

Rates are asked once, at the start. What a code was credited with is the venue's public list of trades with it, whoever
made them; the venue does not tell whose a code is, nor what it has paid out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from polymarket import AsyncSecureClient
from polymarket.errors import PolymarketError, UserInputError

from polyhost.errors import ConfigError, VenueError
from polyhost.model.builder import Builder, Credited
from polyhost.model.money import MICRO, Ppm

PAGES_MAX: Final = 50
"""Pages of trades that are read for a report; what lies beyond is not counted, and it is said."""


async def rates_of(client: AsyncSecureClient, code: str) -> Builder:
    """What a code costs. Raises ConfigError for one that the venue does not know, VenueError without a usable answer.
    """
    try:
        rates = await client.get_builder_fee_rates(code)
    except UserInputError as error:
        raise ConfigError(
            "is no builder code that the venue knows, so no order with it would be taken; mend it or leave it empty "
            "(the simulated exchange knows those of [exchange.builders])",
            table="venue", key="builder_code", value=code,
        ) from error
    except PolymarketError as error:
        raise VenueError(f"the builder code's fees were not read: {error}", endpoint="/fees/builder-fees") from error
    return Builder(code, _ppm(rates.maker), _ppm(rates.taker))


def _ppm(rate: Decimal) -> Ppm:
    """A share as ppm. Raises VenueError for what is none, or finer than we count: it would be charged unseen."""
    ppm = rate * MICRO
    if ppm != ppm.to_integral_value() or not 0 <= ppm <= MICRO:
        raise VenueError(f"a builder's fee of {rate} of a trade's money is none we know", endpoint="/fees/builder-fees")
    return int(ppm)


async def credited(client: AsyncSecureClient, code: str, since_s: int, wallet: str) -> Credited:
    """The venue's list of the code's trades since a unix second, summed. Raises VenueError."""
    trades = ours = pages = 0
    volume = fees = Decimal()
    whole = True
    try:
        async for page in client.list_builder_trades(builder_code=code, after=str(since_s)):
            for trade in page.items:
                if trade.status.removeprefix("TRADE_STATUS_") == "FAILED":
                    continue
                trades += 1
                ours += trade.maker.lower() == wallet.lower()
                volume += trade.size_usdc
                fees += trade.fee_usdc
            pages += 1
            if pages >= PAGES_MAX:
                whole = not page.has_more
                break
    except PolymarketError as error:
        raise VenueError(f"the builder code's trades were not read: {error}", endpoint="/builder/trades") from error
    return Credited(trades, int(volume * MICRO), int(fees * MICRO), ours, whole)
