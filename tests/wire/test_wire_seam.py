"""What docs/seam.md says about the two official clients, checked by running them against an exchange that misbehaves.

The whole table is made by ``seam_clients.py``; here the claims that matter most are made true again each time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from polymarket.errors import UnexpectedResponseError
from py_clob_client_v2.clob_types import OrderArgsV2
from py_clob_client_v2.exceptions import PolyApiException

from polyhost.exchange.pathologies.catalogue import BY_NAME, WIRE
from polyhost.exchange.server import clob_private

from .seam_clients import CLIENTS, PLAYS, SECOND, UNIFIED, observe, opened

PAGE = Path(__file__).parents[2] / "docs" / "seam.md"
NAMES = [name for name, one in BY_NAME.items() if WIRE in one.layers]
CHECKED = (
    "error_but_filled", "timeout_but_filled", "cancel_404", "missing_cancel_event", "empty_size_matched", "tick_flip",
)  # fmt: skip


def _written() -> dict[str, tuple[str, str]]:
    """What the page says for each pathology: of the unified client and of the second one."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        name = cells[0].strip("| `")
        if len(cells) == 3 and name in NAMES:
            unified, second = cells[1].strip(), cells[2].strip(" |")
            found[name] = (unified, unified if second == "the same" else second)
    return found


def test_sim_03_every_pathology_of_the_wire_is_on_the_page_and_played() -> None:
    assert sorted(_written()) == sorted(NAMES) == sorted(PLAYS)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", CHECKED)
def test_sim_03_a_client_does_what_the_page_says(wire: Any, name: str, client: str) -> None:
    assert observe(wire, name, client) == _written()[name][CLIENTS.index(client)]


def test_seam_one_order_without_associate_trades_hides_the_whole_page(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``associate_trades: null``: the unified client parses none of the orders, the second one shows all of them."""
    real = clob_private.order_row
    monkeypatch.setattr(clob_private, "order_row", lambda order: {**real(order), "associate_trades": None})

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with opened(wire, up, UNIFIED) as unified:
            posted = await unified.limit(market.up, "BUY", "0.30", "10")
            with pytest.raises(UnexpectedResponseError):
                await unified.open()
            assert await unified.order(posted.order_id) == "`UnexpectedResponseError`"
        async with opened(wire, up, SECOND) as second:
            assert await second.open() == 1

    wire.on_exchange(body)


def test_seam_retry_on_error_posts_the_same_body_again_and_reports_it_as_a_duplicate(
    wire: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order rests, its caller is told ``Duplicated``."""
    bodies = []
    real = clob_private._post

    async def counted(engine: Any, raw: Any, *rest: Any, **named: Any) -> Any:
        bodies.append(raw)
        return await real(engine, raw, *rest, **named)

    monkeypatch.setattr(clob_private, "_post", counted)

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with opened(wire, up, SECOND, retry_on_error=True) as second:
            args = OrderArgsV2(token_id=market.up, price=0.3, size=10, side="BUY")
            signed = await asyncio.to_thread(second.client.create_order, args)
            with pytest.raises(PolyApiException, match="Duplicated") as refused:
                await asyncio.to_thread(second.client.post_order, signed)
            assert refused.value.status_code == 400
            assert await second.open() == 1
        assert len(bodies) == 2
        assert bodies[0] == bodies[1]

    wire.on_exchange(body, settings=wire.faulty(error_but_filled=1.0))


def test_ord_22_seam_place_limit_order_approves_by_itself(wire: Any) -> None:
    """The unified client's ``place_limit_order`` sends an unlimited approval to the chain and posts again, unasked."""

    async def body(up: Any) -> None:
        market = wire.last_market(up)
        async with wire.official(up) as client:
            account = up.engine.world.exchange._bank.accounts[str(client.wallet)]
            account.approved = False
            placed = await client.place_limit_order(asset_id=market.up, price="0.30", size="10", side="BUY")
            assert placed.status == "live"
            assert account.approved

    wire.on_exchange(body, speed=100.0)
