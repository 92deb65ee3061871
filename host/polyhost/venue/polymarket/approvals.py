"""A wallet's approvals through the official client: which are missing, and giving them when a person asks for it."""

from __future__ import annotations

from typing import Final

from loguru import logger
from polymarket import AsyncSecureClient
from polymarket.errors import PolymarketError

from polyhost.errors import VenueError
from polyhost.model.examination import Approving, Missing
from polyhost.model.relayer import WEBSITE
from polyhost.model.wallet_kinds import WalletKind
from polyhost.venue.polymarket.account import AccountReader, ReadError
from polyhost.venue.polymarket.client import told_of_the_relayer
from polyhost.venue.polymarket.examination import MANUAL

KEYLESS: Final = (
    f"a contract wallet approves through the venue's relayer, which asks for a relayer key ({WEBSITE}); "
    "[accounts.NAME] relayer says where it is kept"
)
MANUAL_EOA: Final = (
    "send a little POL to the address for gas and run `polyhost setup approvals` again, or approve the contracts named "
    "above on polygonscan.com with that key"
)


async def missing_approvals(client: AsyncSecureClient) -> tuple[Missing, ...]:
    """What the venue's index says is not approved yet. Raises VenueError."""
    try:
        state = await client.get_trading_approvals_state()
    except PolymarketError as error:
        raise VenueError(f"approvals not read: {error}") from error
    money = [Missing(str(each.token_address), str(each.spender), False) for each in state.missing.erc20]
    shares = [Missing(str(each.token_address), str(each.operator), True) for each in state.missing.erc1155]
    return (*money, *shares)


async def approve(client: AsyncSecureClient, reader: AccountReader, kind: WalletKind, *, keyed: bool) -> Approving:
    """Send every approval that is missing, and wait for the chain; what is given already is not sent again.

    ``keyed``: the client has a relayer key, which a contract wallet needs.
    """
    manual = MANUAL_EOA if kind is WalletKind.EOA else MANUAL
    if kind is not WalletKind.EOA and not keyed:
        return Approving(False, KEYLESS, manual)
    try:
        await client.setup_trading_approvals()
    except PolymarketError as error:
        return Approving(False, told_of_the_relayer(error), manual)
    except Exception as error:  # a transaction may be on its way: the operator is told, whatever it was
        logger.opt(exception=error).error("approvals were not given")
        return Approving(False, f"{type(error).__name__}: {error}", manual)
    try:
        await reader.refresh()
    except ReadError as error:
        logger.warning("the venue was not told to look at the new approvals, and sees them by itself later: {}", error)
    return Approving(True)
