"""Commands that leave together: as few requests as the venue takes, and nothing lost, doubled or out of order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from polyhost.model.batching import BATCH_MAX, CANCELS_MAX, batched, single
from polyhost.model.commands import Cancel, CancelMany, Command, Post, PostMany, QueryBalance, QueryOrder
from polyhost.model.gateway import OrderRequest, SignedFields
from polyhost.model.order_hash import ZERO_BYTES32
from polyhost.model.words import Action, OrderType


def post(number: int, action: Action = Action.BUY) -> Post:
    fields = SignedFields(number, "0x01", "0x01", "1", 1, 1, action, 0, 1, ZERO_BYTES32, ZERO_BYTES32)
    return Post(OrderRequest(f"0x{number}", fields, "0x", OrderType.GTC, False, 0, "key", False))


def test_con_10_one_command_alone_stays_itself() -> None:
    assert batched([post(1)]) == [post(1)]
    assert batched([QueryBalance(), Cancel("0x1")]) == [Cancel("0x1"), QueryBalance()]


def test_con_10_cancels_leave_first_and_together() -> None:
    assert batched([post(1), Cancel("0x1"), QueryOrder("0x1"), Cancel("0x2")]) == [
        CancelMany(("0x1", "0x2")), post(1), QueryOrder("0x1"),
    ]


def test_con_10_sixteen_posts_are_two_requests() -> None:
    first, second = batched([post(number) for number in range(BATCH_MAX + 1)])
    assert isinstance(first, PostMany)
    assert len(first.requests) == BATCH_MAX
    assert second == post(BATCH_MAX)


def test_con_10_a_sell_never_shares_its_request_with_a_buy() -> None:
    found = batched([post(1), post(2, Action.SELL), post(3)])
    assert found == [post(2, Action.SELL), PostMany((post(1).request, post(3).request))]


ANY = st.one_of(
    st.builds(lambda n: post(n), st.integers(0, 400)),
    st.builds(lambda n: post(n, Action.SELL), st.integers(401, 800)),
    st.builds(lambda n: Cancel(f"0x{n}"), st.integers(0, 20)),
    st.just(QueryBalance()),
)


@given(st.lists(ANY, max_size=80))
def test_con_10_nothing_is_lost_doubled_or_out_of_order(commands: list[Command]) -> None:
    found = batched(commands)
    plain = [one for command in found for one in single(command)]
    for action in Action:
        wanted = [c for c in commands if isinstance(c, Post) and c.request.fields.action is action]
        assert [c for c in plain if isinstance(c, Post) and c.request.fields.action is action] == wanted
    cancels = [c.order_id for c in commands if isinstance(c, Cancel)]
    sent = [c.order_id for c in plain if isinstance(c, Cancel)]
    if len(commands) > 1:
        assert sent == list(dict.fromkeys(cancels)), "the same id twice in one request is one cancel"
    others = [c for c in commands if not isinstance(c, Post | Cancel)]
    assert [c for c in plain if not isinstance(c, Post | Cancel)] == others
    if any(isinstance(c, Cancel) for c in plain):
        last = max(n for n, c in enumerate(plain) if isinstance(c, Cancel))
        assert all(isinstance(c, Cancel) for c in plain[: last + 1])
    for command in found:
        if isinstance(command, PostMany):
            assert 2 <= len(command.requests) <= BATCH_MAX
        elif isinstance(command, CancelMany):
            assert 2 <= len(command.order_ids) <= CANCELS_MAX
