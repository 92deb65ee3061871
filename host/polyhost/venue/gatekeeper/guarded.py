"""A client's gateway behind the policy: what the policy refuses never reaches the client."""

from __future__ import annotations

from loguru import logger

from polyhost.model.commands import Command
from polyhost.model.events import Event
from polyhost.model.unanswered import unanswered
from polyhost.venue.contract import ClientGateway
from polyhost.venue.gatekeeper.policy import Guard, refused


async def executed(gateway: ClientGateway, guard: Guard, command: Command) -> list[Event]:
    """Do what the policy lets through, answer the rest, and count what became of it."""
    told, left = refused(command, guard)
    if left is None:
        return told
    try:
        found = await gateway.execute(left)
    except Exception as error:  # a gateway answers with events; what it raises is a fault, and no proof of anything
        logger.opt(exception=error).error("{} failed in the client: {}", type(left).__name__, error)
        found = unanswered(left, f"{type(error).__name__}: {error}")
    for event in found:
        guard.seen(event)
    return [*told, *found]
