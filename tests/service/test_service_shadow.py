"""A shadow account: everything is decided and explained, and nothing leaves (OPS-06)."""

from __future__ import annotations

import asyncio
from typing import Any, Final, get_args

import pytest
from msgspec import structs

from polyhost.model import commands
from polyhost.model.commands import Act, Command
from polyhost.model.events import (
    BalanceSeen,
    Event,
)
from polyhost.model.gateway import ActionRequest, OrderDraft, OrderRequest, SignedFields
from polyhost.model.money import micros, ticks
from polyhost.model.words import Action, ActionKind, OrderType
from polyhost.service.shadow import QUESTIONS, REASON, ShadowGateway
from polyhost.venue.contract import Gateway
from polyhost.venue.polymarket.account import ReadError

from ..kernel.rig import CONDITION, UP, window

FIELDS: Final = SignedFields("1", "0xa", "0xa", UP, 1, 1, Action.BUY, 0, 1, "0x", "0x")
REQUEST: Final = OrderRequest("0x1", FIELDS, "0xs", OrderType.GTC, False, 0, "owner", False)
DRAFT: Final = OrderDraft("o1", UP, Action.BUY, OrderType.GTC, ticks("0.40"), micros("10"), ticks("0.01"), False)
LEAVES: Final[tuple[Command, ...]] = (
    commands.Post(REQUEST), commands.PostMany((REQUEST,)), commands.Prepare(DRAFT), commands.Cancel("0x1"),
    commands.CancelMany(("0x1", "0x2")), commands.CancelMarket(CONDITION), commands.CancelEverything(),
    *(Act(ActionRequest("a1", kind, CONDITION, 5)) for kind in ActionKind),
)
"""Everything that would change something at the venue."""


class Inner:
    """The way to the venue behind it."""

    wallet = "0xw"

    def __init__(self) -> None:
        self.did: list[Any] = []

    async def execute(self, command: Command) -> list[Event]:
        self.did.append(command)
        return [BalanceSeen(micros("5"), True)]

    async def warm(self, market: object) -> bool:
        self.did.append("signed")
        return True

    async def heartbeat(self, shown: str) -> None:
        self.did.append("heartbeat")

    async def drop_notifications(self, ids: object) -> None:
        self.did.append("dropped")


def test_ops_06_nothing_that_changes_anything_leaves_a_shadow_account() -> None:
    inner = Inner()
    gateway = ShadowGateway(inner)  # type: ignore[arg-type]
    assert isinstance(gateway, Gateway)

    async def all_of_it() -> None:
        for command in LEAVES:
            events = await gateway.execute(command)
            assert events, f"{command} is answered"
            assert all(REASON in structs.asdict(event).get("text", structs.asdict(event).get("reason", ""))
                       for event in events), events
        assert await gateway.warm(window()) is False
        await gateway.drop_notifications([1])
        with pytest.raises(ReadError, match="shadow"):
            await gateway.heartbeat("")

    asyncio.run(all_of_it())
    assert inner.did == []
    assert sum(gateway.refused.values()) == len(LEAVES)


def test_ops_06_a_command_that_is_new_does_not_leave_until_it_is_named_a_question() -> None:
    """Every command is one of: a question, what changes something, and what never reaches a gateway."""
    not_the_gateways = {
        commands.Follow, commands.Unfollow, commands.Ask, commands.Tell, commands.Remember, commands.Deliver,
        commands.Analyse,
    }
    assert set(get_args(Command)) == {*QUESTIONS, *(type(each) for each in LEAVES), *not_the_gateways}


def test_ops_06_a_question_of_a_shadow_account_is_asked() -> None:
    inner = Inner()
    gateway = ShadowGateway(inner)  # type: ignore[arg-type]
    assert asyncio.run(gateway.execute(commands.QueryBalance())) == [BalanceSeen(micros("5"), True)]
    assert inner.did == [commands.QueryBalance()]
