"""The order rules as data: U while nobody knows an order's outcome, T from a wish to resting orders; the order's life.

``python -m polyhost.kernel.rules > docs/order-rules.md`` writes the page; tests compare the two, find every function
that a rule names, and every test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from polyhost.kernel.orders import TRANSITIONS
from polyhost.model.words import OrderState


class Rule(Struct, frozen=True):
    """One rule. ``where``: dotted names below ``polyhost``; ``tests``: names that exist somewhere under ``tests``."""

    name: str
    promise: str
    where: tuple[str, ...]
    tests: tuple[str, ...]
    today: str
    """yes, in part: what is missing, or no: why."""

    @property
    def kept(self) -> bool:
        """Does it hold today, at least in part?"""
        return not self.today.startswith("no")


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "U1",
        "Without an answer for 1.5 s, after a lost connection, a 5xx, a malformed body, `unmatched`, or a restart "
        "that finds it prepared, an order is unknown. Slot and reservation stay; a late answer counts.",
        (
            "kernel.orders_flow.OrderFlow.post_wait",
            "kernel.orders_flow.OrderFlow._unknown",
            "kernel.orders_flow.OrderFlow.recover",
            "venue.polymarket.outcomes",
        ),
        (
            "test_u1_no_answer_makes_an_order_unknown_and_keeps_slot_and_reservation",
            "test_u1_what_the_table_does_not_prove_is_unknown",
            "test_u1_a_lost_connection_makes_the_outcome_unknown",
        ),
        "yes",
    ),
    Rule(
        "U2",
        "Presence is proved by the order's id in any answer, stream message, list or trade, by `Duplicated`, or by a "
        "cancel that found it. Presence is for ever.",
        (
            "kernel.orders_flow.OrderFlow._row",
            "kernel.orders_flow.OrderFlow._slice",
            "kernel.orders_flow.OrderFlow.cancel_answered",
        ),
        (
            "test_u2_a_trade_proves_presence_and_a_late_answer_counts",
            "test_duplicated_proves_presence",
            "test_ord_09_a_fill_before_the_answer_finds_its_order",
        ),
        "yes",
    ),
    Rule(
        "U3",
        "A refusal proves absence only if it names a rule of the outcome table and answers the only post ever made of"
        " those bytes.",
        (
            "kernel.orders_flow.OrderFlow._refused",
            "venue.polymarket.outcomes",
        ),
        (
            "test_u3_a_refusal_after_a_restart_proves_nothing",
            "test_u3_only_a_parsed_4xx_that_names_a_rule_refuses",
            "test_u5_after_a_second_post_no_refusal_proves_anything",
        ),
        "yes",
    ),
    Rule(
        "U4",
        "Asked at 0, 0.25, 0.5, 1, 2, 4 s, then every 5 s: by id, and the market's open orders and trades since 60 s "
        "before the post, every page. One ladder a market. A 404 proves nothing.",
        (
            "kernel.unknown.Unknown.ladder",
            "kernel.orders_flow.OrderFlow.order_not_found",
            "venue.polymarket.account",
        ),
        (
            "test_u4_a_404_proves_nothing_and_the_ladder_asks_again",
            "test_u4_an_order_asked_by_id",
            "test_a_sweep_reads_every_page_of_orders_and_trades",
            "test_a_sweep_that_misses_something_says_so_and_keeps_its_facts",
        ),
        "yes",
    ),
    Rule(
        "U5",
        "The same bytes may be posted again, at most 3 times and 2 s apart: what rests (GTC, GTD), was never "
        "cancelled by us, is neither found by id nor listed, is still wanted by blocks, limits and clock. What is no "
        "longer wanted is cancelled by id at each step of U4 instead.",
        (
            "kernel.unknown.Unknown._again_or_away",
            "kernel.unknown.Unknown._may_repost",
            "kernel.unknown.Unknown._repost",
            "kernel.wanted.Wanted",
        ),
        (
            "test_u5_a_resting_buy_that_is_nowhere_is_posted_again_with_the_same_bytes",
            "test_u5_two_seconds_lie_between_two_posts_and_there_are_three_more_at_most",
            "test_u5_what_never_rests_is_never_posted_again",
            "test_u5_without_each_condition_nothing_is_posted_again",
            "test_u5_what_is_no_longer_wanted_is_cancelled_by_id_at_each_step_instead",
            "test_u5_an_order_of_an_earlier_run_is_asked_for_and_never_posted_again",
        ),
        "yes; an order of an earlier run is not posted again, because a cancel of it may have left without a trace",
    ),
    Rule(
        "U6",
        "Absence needs proof. First way: two complete sweeps at least 10 s apart, begun a minute after the last post,"
        " the end of its connection and the last trouble of the order endpoints, with a younger order or trade of "
        "ours in each (else five minutes). Second way: the market takes no more orders, and a complete sweep begun 60"
        " s later does not show it.",
        (
            "kernel.unknown.Unknown.not_listed",
            "kernel.unknown.Unknown.heard",
            "kernel.unknown.Unknown.youngest",
        ),
        (
            "test_u6_two_complete_sweeps_with_a_witness_prove_absence_after_a_minute",
            "test_u6_without_each_condition_absence_is_not_proved",
            "test_u6_trouble_at_the_order_endpoints_begins_the_minute_anew",
            "test_u6_without_a_witness_it_takes_five_minutes",
            "test_u6_a_market_that_takes_no_more_orders_needs_one_sweep_a_minute_later",
        ),
        "yes",
    ),
    Rule(
        "U7",
        "After absence the reservation is free, the slot is not (without a window: 15 minutes, then by `resume`). The"
        " id stays watched; if it shows up the order lives again, is cancelled, its fills are booked, a breaker "
        "trips.",
        (
            "kernel.unknown.Unknown.absent",
            "kernel.unknown.Unknown.watch",
            "kernel.unknown.Unknown.shows_up",
            "kernel.unknown.Unknown.release_slots",
            "kernel.state._move_order",
        ),
        (
            "test_u7_an_absent_order_that_shows_up_lives_again_trips_a_breaker_and_is_cancelled",
            "test_u7_the_slot_takes_no_second_entry_in_that_window",
            "test_u7_without_a_window_a_slot_is_free_after_fifteen_minutes_and_a_word",
        ),
        "yes",
    ),
    Rule(
        "U8",
        "An unknown sell never blocks a sell for good: it is cancelled by id, what it may still sell is not sold "
        "twice, and within 30 s of its obligation it no longer counts.",
        (
            "kernel.exits.Exits._sell_now",
            "kernel.orders_flow.OrderFlow._unknown",
        ),
        (
            "test_u8_an_unknown_sell_is_cancelled_by_id_and_blocks_only_what_it_may_have_sold",
            "test_u8_near_the_end_an_unknown_sell_no_longer_counts",
        ),
        "yes",
    ),
    Rule(
        "U9",
        "A post carries everything to send, from the journal; the gateway keeps no order state. One transport error "
        "may make many orders unknown.",
        (
            "model.gateway.OrderRequest",
            "venue.polymarket.gateway.PolymarketGateway",
        ),
        (
            "test_u9_another_gateway_can_post_what_this_one_prepared",
            "test_u9_one_error_makes_a_whole_batch_unknown",
            "test_ord_01_an_order_is_durable_before_it_is_posted",
        ),
        "yes",
    ),
    Rule(
        "T1",
        "A target stands until another replaces it, its owner no longer names it, or its own end: the newest view "
        "wins, an equal target is no change, at equal urgency the present owner keeps the slot.",
        (
            "kernel.exits.Exits.want",
            "kernel.exits.Exits.until",
            "kernel.quotes.Quotes.want",
            "kernel.quotes.Quotes._stand",
            "kernel.arbitration.Arbitrated.target",
        ),
        (
            "test_t1_an_equal_target_is_no_change_however_often_it_comes",
            "test_t1_no_target_any_more_means_nothing_should_rest",
            "test_t1_at_equal_urgency_the_present_owner_keeps_the_slot",
            "test_t1_a_target_no_longer_named_is_withdrawn",
            "test_a_target_stands_until_its_own_end_and_not_longer",
            "test_a_target_that_is_not_renewed_is_withdrawn",
        ),
        "yes; a quote that nobody renews goes, an exit stays (see decisions/0004)",
    ),
    Rule(
        "T2",
        "Price by the current tick in the safe direction, size floored to 0.01; what rests within the tolerance is "
        "left alone.",
        (
            "model.rounding.safe_price",
            "model.rounding.floor_lot",
            "kernel.exits.Exits._rest",
        ),
        (
            "test_t2_a_price_is_quantised_in_the_safe_direction",
            "test_t2_a_price_off_the_grid_is_moved_in_the_safe_direction",
            "test_t2_the_size_is_floored_to_a_hundredth_of_a_share",
            "test_t2_a_resting_order_within_the_tolerance_is_left_alone",
            "test_a_quote_that_would_cross_rests_a_tick_away_from_the_other_side",
        ),
        "yes",
    ),
    Rule(
        "T3",
        "A new sell is at most what is held and visible, less what earlier sells may still sell. Money likewise: what"
        " is reserved is not committed twice.",
        (
            "kernel.exits.Exits.cover",
            "kernel.quotes.Quotes._size",
            "kernel.state.OrderEntry.open_upper",
            "kernel.core.Core.available",
        ),
        (
            "test_t3_a_fill_during_the_replacement_shrinks_the_new_order",
            "test_t3_what_a_sell_is_told_to_have_matched_is_gone_before_its_trade_is_seen",
            "test_ord_04_nothing_is_sold_before_it_is_settled_and_visible",
            "test_ord_03_the_stake_is_reserved_at_the_worst_price_with_fee_and_freed_at_the_end",
        ),
        "yes",
    ),
    Rule(
        "T4",
        "One change in flight a slot: cancel, proof with the final matched size, then place.",
        (
            "kernel.exits.Exits._rest",
            "kernel.exits.Exits._replace",
            "kernel.quotes.Quotes._step",
            "kernel.repricing.Repricing.drive",
            "kernel.orders_flow.OrderFlow.cancel_answered",
        ),
        (
            "test_t4_a_new_price_cancels_first_and_places_only_after_the_proof",
        ),
        "yes",
    ),
    Rule(
        "T5",
        "Grow by a second order when the increment is legal, at most two a slot; never shrink on one low balance.",
        (
            "kernel.exits.Exits._rest", "kernel.exits.Exits.left_by_hand",
            "kernel.reconciliation.Reconciliation._judge",
        ),
        (
            "test_t5_an_increment_that_is_legal_by_itself_becomes_a_second_order_and_never_a_third",
            "test_t5_a_low_balance_shrinks_nothing",
            "test_pos_02_one_reading_corrects_nothing_and_two_apart_do",
            "test_pos_03_shares_taken_by_hand_leave_at_cost_exits_shrink_and_it_is_told",
        ),
        "yes",
    ),
    Rule(
        "T6",
        "A resting order whose remainder could not be placed again is not cancelled, except to sell it at market; a "
        "quote also when it offers more than its owner still wants.",
        (
            "kernel.exits.Exits._replace",
            "kernel.exits.Exits._clear",
            "kernel.quotes.Quotes._compare",
            "kernel.repricing.Repricing._refusal",
        ),
        (
            "test_t6_a_remainder_below_the_minimum_is_never_cancelled",
            "test_t6_what_could_not_be_placed_again_is_not_cancelled_for_a_more_careful_rest",
            "test_t6_a_rest_that_could_not_be_placed_again_is_not_re_priced",
        ),
        "yes",
    ),
    Rule(
        "T7",
        "At most one replacement a slot and second, for at least a tick and above the tolerance.",
        (
            "kernel.exits.Exits._replace",
            "kernel.quotes.Quotes._compare",
            "kernel.quotes.Quotes._not_now",
            "kernel.repricing.Repricing.want",
        ),
        (
            "test_t7_one_replacement_a_second",
            "test_t7_nothing_moves_for_less_than_the_tolerance",
            "test_t7_a_target_that_comes_and_goes_places_at_most_once_a_second",
            "test_t7_a_plugin_that_changes_its_mind_every_second_does_not_oscillate",
            "test_t7_one_re_price_a_second",
        ),
        "yes",
    ),
    Rule(
        "T8",
        "A sale at market cancels what rests, waits at most 500 ms for proof, sells the rest by FAK, again every 250 "
        "ms (every second while nobody bids); after a refusal for balance by its cause: not yet in 1, 2, 3 s and "
        "three times 5 s, then the obligation takes over.",
        (
            "kernel.exits.Exits._sell_now",
            "kernel.exits.Exits.refused",
        ),
        (
            "test_t8_an_exit_now_cancels_waits_for_proof_and_sells_what_is_left",
            "test_t8_after_half_a_second_without_proof_the_sale_leaves_all_the_same",
            "test_t8_a_balance_refusal_is_not_yet_and_is_tried_again_after_one_two_three_seconds",
            "test_ord_19_not_yet_is_tried_after_1_2_3_and_three_times_5_seconds_then_it_is_short_and_said_once",
            "test_ord_19_after_all_waits_the_obligation_takes_over",
        ),
        "yes; after those waits it is also tried every 30 s; a refusal for balance is still noted as `sell_failed` in"
        " the record of the close",
    ),
    Rule(
        "T9",
        "Nothing is placed in the last 2 s; exits are never post-only, quotes always are.",
        (
            "kernel.exits.Exits.drive",
            "kernel.entries.Entries.may_trade",
            "kernel.quotes.Quotes._place",
            "kernel.quotes.Quotes._not_now",
        ),
        (
            "test_t9_nothing_is_placed_in_the_last_two_seconds",
            "test_t9_a_quote_is_always_post_only_and_rests",
            "test_t9_quotes_go_when_what_they_buy_would_have_to_be_sold_at_once",
        ),
        "yes",
    ),
    Rule(
        "T10",
        "Only slots that differ are visited; deadlines are one heap.",
        (
            "kernel.exits.Exits.want",
        ),
        (
            "test_t10_a_position_that_has_all_it_wants_is_not_visited_until_something_differs",
        ),
        "yes; a position without a target or with something waited for is looked at with every answer of its plugins",
    ),
)
"""U1 to U9, then T1 to T10."""

MEANS: Final[Mapping[OrderState, str]] = {
    OrderState.INTENDED: "wanted: slot taken, funds reserved; not signed",
    OrderState.PREPARED: "signed, its id and everything to send is in the journal; the post may have left",
    OrderState.UNKNOWN: "posted, and nobody knows what became of it",
    OrderState.WORKING: "presence proved, not finished",
    OrderState.CANCELLING: "a cancel of ours is in flight",
    OrderState.CLOSED: "finished, by proof",
}
CAUSES: Final[Mapping[str, str]] = {
    "prepared": "signed, and its id is known",
    "not_signed": "it could not be signed; nothing of it was sent",
    "never_sent": "given up before it was signed, or found so after a restart",
    "accepted": "an answer to a post accepts it",
    "refused": "a refusal that names a rule answers the only post of its bytes (U3)",
    "unknown": "no usable answer (U1)",
    "seen": "its id is seen anywhere at the venue (U2)",
    "cancel_sent": "our cancel left",
    "cancel_lost": "the cancel was not taken, or its answer never came: its status is read again (ORD-07)",
    "ended": "its end and its final matched size are proved",
    "cancelled_unfilled": "the same, of a resting entry nothing of which matched (CANCELLED_UNFILLED, ENT-05)",
    "filled": "all of it is matched",
    "absent": "it is proved that it is not there (U6)",
    "market_resolved": "the market has its result: nothing rests there any more",
    "reappeared": "it was proved absent and is there all the same (U7)",
}
"""What moves an order."""

_HEAD: Final = """# Order rules

Generated from `polyhost.kernel.rules` and the table `TRANSITIONS` of `polyhost.kernel.orders`
(`python -m polyhost.kernel.rules > docs/order-rules.md`); tests find each function and each test that is named here.

What the host may do while the outcome of an order is unknown (U), and how a wish becomes resting orders without
oscillating or overselling (T). What each answer of the venue means is in [order-outcomes.md](order-outcomes.md), what
stops new orders in [blocks.md](blocks.md), which clock a time is measured on in [time-classes.md](time-classes.md).

## The life of an order

Only positive proof closes an order; its id stays known for ever. A cause that a state does not list is a fact that
changes nothing.
"""


def page() -> str:
    """docs/order-rules.md."""
    return "\n".join((
        _HEAD, *_diagram(), "", *_states(), "", *_causes(),
        "", "## U: when an outcome is unknown", "", *_table("U"), "", "## T: targets and sells", "", *_table("T"), "",
    ))


def _diagram() -> Iterator[str]:
    """A Mermaid state diagram; causes that lead the same way share an arrow."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {OrderState.INTENDED.value}"
    for state, causes in TRANSITIONS.items():
        arrows: dict[OrderState, list[str]] = {}
        for cause, after in causes.items():
            arrows.setdefault(after, []).append(cause)
        for after, names in arrows.items():
            yield f"    {state.value} --> {after.value}: {', '.join(names)}"
    yield "```"


def _states() -> Iterator[str]:
    yield "| state | means | leaves it by |"
    yield "| --- | --- | --- |"
    for state, causes in TRANSITIONS.items():
        ways = ", ".join(f"{cause} → {after.value}" for cause, after in causes.items() if after is not state)
        yield f"| {state.value} | {MEANS[state]} | {ways} |"


def _causes() -> Iterator[str]:
    yield "| cause | when |"
    yield "| --- | --- |"
    for cause, when in CAUSES.items():
        yield f"| {cause} | {when} |"


def _table(kind: str) -> Iterator[str]:
    yield "| rule | promise | where | shown by | today |"
    yield "| --- | --- | --- | --- | --- |"
    for rule in RULES:
        if rule.name.startswith(kind):
            where, tests = (", ".join(f"`{name}`" for name in names) or "none" for names in (rule.where, rule.tests))
            yield f"| {rule.name} | {rule.promise} | {where} | {tests} | {rule.today} |"


if __name__ == "__main__":
    print(page(), end="")
