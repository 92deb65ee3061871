"""Commands that leave together as the fewest requests the venue takes: cancels first, then posts, each in its order.

A batch is one request with one answer a leg; what refuses or loses the request refuses or loses every leg. So sells
never share a request with buys: what is wrong with an entry must not hold back an exit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

from polyhost.model.commands import Cancel, CancelMany, Command, Post, PostMany
from polyhost.model.words import Action

BATCH_MAX: Final = 15
"""Orders in one post (venue rule)."""
CANCELS_MAX: Final = 1_000
"""Ids in one cancel (venue rule)."""
_ItemT = TypeVar("_ItemT")


def batched(commands: Sequence[Command]) -> list[Command]:
    """The same commands with cancels and posts put together; everything else keeps its place after the cancels."""
    if len(commands) < 2:
        return list(commands)
    cancels = list(dict.fromkeys(command.order_id for command in commands if isinstance(command, Cancel)))
    posts = [command for command in commands if isinstance(command, Post)]
    found: list[Command] = [_cancel(group) for group in chunks(cancels, CANCELS_MAX)]
    for command in commands:
        if isinstance(command, Post):
            if command is posts[0]:
                found += _posts(posts)
        elif not isinstance(command, Cancel):
            found.append(command)
    return found


def single(command: Command) -> list[Command]:
    """What a batch is made of; anything else is itself."""
    match command:
        case PostMany(requests=requests):
            return [Post(request) for request in requests]
        case CancelMany(order_ids=order_ids):
            return [Cancel(order_id) for order_id in order_ids]
        case _:
            return [command]


def chunks(items: Sequence[_ItemT], most: int) -> Iterator[Sequence[_ItemT]]:
    """Slices of at most so many."""
    return (items[start : start + most] for start in range(0, len(items), most))


def _cancel(order_ids: Sequence[str]) -> Command:
    return Cancel(order_ids[0]) if len(order_ids) == 1 else CancelMany(tuple(order_ids))


def _posts(posts: Iterable[Post]) -> Iterator[Command]:
    every = list(posts)
    for action in (Action.SELL, Action.BUY):
        for group in chunks([post for post in every if post.request.fields.action is action], BATCH_MAX):
            yield group[0] if len(group) == 1 else PostMany(tuple(post.request for post in group))
