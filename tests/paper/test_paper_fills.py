"""How paper orders fill: what is displayed and has stood, once; queues from the back; nothing that cannot be known."""

from __future__ import annotations

import pytest

from polyhost.model import commands, events
from polyhost.model.gateway import ActionRequest
from polyhost.model.money import micros
from polyhost.model.times import MarketMs
from polyhost.model.words import ActionKind, Side

from .paper_bench import DOWN, UP, Bench, settings

# --- takers ---


def test_ops_06_a_taker_meets_the_book_of_the_moment_it_arrives_at() -> None:
    """100 ms under way, 150 ms held by the venue: what counts is the book after both."""
    bench = Bench()
    order = bench.order("BUY", "0.53", "10", "FAK")
    bench.wait(200)
    bench.level("SELL", "0.52", "4")
    bench.wait(49)
    assert bench.filled(order) == "0.000000", "a millisecond too early"
    bench.wait(1)
    assert bench.filled(order) == "4.000000", "16 of 20 were gone in time"
    assert bench.posted(order).status == "matched"
    bench.sound()


def test_ops_06_a_quote_that_flashes_is_not_hit() -> None:
    bench = Bench()
    order = bench.order("BUY", "0.52", "10", "FAK")
    bench.level("SELL", "0.52", "0")
    bench.wait(200)
    bench.level("SELL", "0.50", "100")
    bench.wait(50)
    assert bench.posted(order).code == "fak_killed", "a better price, but it stood for 50 ms only"
    bench.wait(500)
    order = bench.order("BUY", "0.52", "10", "FAK")
    bench.wait(250)
    assert bench.filled(order) == "10.000000", "now it has stood"


def test_ops_06_of_a_level_that_grows_and_shrinks_only_what_stood_is_hit() -> None:
    bench = Bench()
    order = bench.order("BUY", "0.52", "50", "FAK")
    bench.wait(160)
    for size in ("3", "60"):
        bench.level("SELL", "0.52", size)
    bench.wait(90)
    assert bench.filled(order) == "3.000000"


def test_taken_size_stays_taken_until_the_venue_changes_the_level() -> None:
    bench = Bench()
    for wanted, got in (("15", "15.000000"), ("15", "5.000000"), ("15", "0.000000")):
        order = bench.order("BUY", "0.52", wanted, "FAK")
        bench.wait(300)
        assert bench.filled(order) == got
    bench.book({"0.48": "30"}, {"0.52": "20"})
    order = bench.order("BUY", "0.52", "15", "FAK")
    bench.wait(300)
    assert bench.filled(order) == "0.000000", "the same size told again is no change"
    bench.level("SELL", "0.52", "21")
    order = bench.order("BUY", "0.52", "30", "FAK")
    bench.wait(300)
    assert bench.filled(order) == "21.000000"
    bench.sound()


def test_what_was_taken_stays_taken_through_a_lost_connection() -> None:
    bench = Bench()
    bench.order("BUY", "0.52", "20", "FAK")
    bench.wait(300)
    bench.cut()
    bench.book({"0.48": "30"}, {"0.52": "20"})
    bench.wait(1_000)
    order = bench.order("BUY", "0.52", "20", "FAK")
    bench.wait(300)
    assert bench.filled(order) == "0.000000"


def test_a_taker_of_down_meets_the_bids_of_up() -> None:
    """Both tokens are one book: DOWN is offered at 0.52 where UP is bid at 0.48."""
    bench = Bench()
    order = bench.order("BUY", "0.53", "40", "FAK", token=DOWN)
    bench.wait(250)
    assert bench.filled(order) == "30.000000"
    assert (bench.shares(DOWN), bench.shares(UP)) == (micros("30"), 0)
    up = bench.order("SELL", "0.48", "5", "FAK")
    bench.wait(250)
    assert bench.posted(up).code == "balance", "shares of DOWN are none of UP"
    bench.sound()


def test_fees_follow_the_market_s_schedule_to_the_micro_unit() -> None:
    """10 at 0.52: 5.20, and 0.07 * 0.52 * 0.48 * 10 = 0.17472 of fee."""
    bench = Bench()
    bench.order("BUY", "0.52", "10", "FAK")
    bench.wait(250)
    assert bench.cash == "994.625280"


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (("BUY", "0.525", "10"), "tick"),
        (("BUY", "0.48", "4"), "min_size"),
        (("BUY", "0.52", "1", "FAK"), "min_value"),
        (("SELL", "0.52", "10"), "balance"),
        (("BUY", "0.50", "5000"), "balance"),
    ],
)
def test_what_the_venue_refuses_is_refused(order: tuple[str, ...], code: str) -> None:
    bench = Bench()
    order_id = bench.order(*order)
    bench.wait(300)
    assert (bench.posted(order_id).outcome, bench.posted(order_id).code) == ("refused", code)
    assert bench.cash == "1000.000000"


def test_a_market_without_taker_delay_is_met_on_arrival() -> None:
    bench = Bench(taker_delay=False)
    order = bench.order("BUY", "0.52", "10", "FAK")
    bench.wait(100)
    assert bench.filled(order) == "10.000000"


# --- resting orders ---


def test_ops_06_a_resting_order_stands_behind_what_was_displayed() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.48", "10")
    bench.trade("0.48", "25")
    assert bench.filled(order) == "0.000000", "30 were ahead, 5 still are"
    bench.trade("0.48", "8")
    assert bench.filled(order) == "3.000000"
    bench.trade("0.48", "100")
    assert bench.filled(order) == "10.000000", "partly before, whole now"
    assert bench.cash == "995.200000", "its own price, and no fee"
    bench.sound()


def test_a_share_of_the_queue_may_be_ahead() -> None:
    bench = Bench(settings(queue_ahead=0.5))
    order = bench.rests("BUY", "0.48", "10")
    bench.trade("0.48", "16")
    assert bench.filled(order) == "1.000000"


def test_an_order_at_a_price_of_its_own_has_nobody_ahead() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.49", "10")
    bench.trade("0.49", "4")
    assert bench.filled(order) == "4.000000"
    bench.trade("0.48", "4")
    assert bench.filled(order) == "8.000000", "a print beyond its price went through it"


def test_prints_that_a_smaller_level_tells_again_move_it_up_once() -> None:
    """The same trade is told twice, in either order; it must count once."""
    for first in ("print", "level"):
        bench = Bench()
        order = bench.rests("BUY", "0.48", "10")
        for what in (first, "level" if first == "print" else "print"):
            if what == "print":
                bench.trade("0.48", "20")
            else:
                bench.level("BUY", "0.48", "10")
            bench.wait(5)
        bench.wait(1_000)
        bench.trade("0.48", "10")
        assert bench.filled(order) == "0.000000", f"{first} first: 10 were still ahead"
        bench.trade("0.48", "1")
        assert bench.filled(order) == "1.000000"


def test_cancels_ahead_count_once_they_have_been_displayed_for_a_while() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.48", "10")
    bench.level("BUY", "0.48", "4")
    bench.wait(50)
    bench.trade("0.48", "5")
    assert bench.filled(order) == "0.000000", "it may be the trade that made the level smaller"
    bench = Bench()
    order = bench.rests("BUY", "0.48", "10")
    bench.level("BUY", "0.48", "4")
    bench.wait(101)
    bench.trade("0.48", "5")
    assert bench.filled(order) == "1.000000"


def test_only_takers_of_its_side_reach_an_order() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.49", "10")
    bench.trade("0.49", "100", side="BUY")
    bench.trade("0.49", "100", side="")
    assert bench.filled(order) == "0.000000"
    bench.trade("0.51", "3", side="BUY", token=DOWN)
    assert bench.filled(order) == "3.000000", "who buys DOWN at 0.51 sells UP at 0.49"


def test_a_print_from_before_the_order_says_nothing() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.49", "10")
    bench.trade("0.49", "100", age_ms=500)
    assert bench.filled(order) == "0.000000"


def test_ops_06_an_opposite_quote_fills_a_resting_order_when_it_crosses_and_stays() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.49", "10")
    bench.level("SELL", "0.49", "6")
    bench.wait(99)
    bench.level("SELL", "0.49", "0")
    bench.wait(500)
    assert bench.filled(order) == "0.000000", "it crossed, and went"
    bench.level("SELL", "0.49", "6")
    bench.wait(100)
    assert bench.filled(order) == "6.000000", "it stayed"
    bench.wait(500)
    assert bench.filled(order) == "6.000000", "and is used up"
    bench.sound()


def test_one_print_fills_several_orders_together_no_further_than_its_size() -> None:
    bench = Bench()
    orders = [bench.rests("BUY", price, "10") for price in ("0.50", "0.49", "0.49")]
    bench.trade("0.49", "25")
    assert [bench.filled(order) for order in orders] == ["10.000000", "10.000000", "5.000000"]


def test_a_cancel_is_under_way_too() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.49", "10")
    ticket = bench.cancel(order)
    bench.wait(99)
    bench.trade("0.49", "4")
    assert bench.filled(order) == "4.000000", "the venue has not heard of the cancel yet"
    bench.wait(1)
    assert bench.answers[ticket] == [events.CancelAnswered(order, "canceled")]
    bench.trade("0.49", "4")
    assert bench.filled(order) == "4.000000"


def test_a_gtd_order_expires_by_itself_and_post_only_is_refused_when_it_crosses() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.49", "10", kind="GTD", expiration_s=bench.now // 1_000 + 200)
    crossing = bench.order("BUY", "0.52", "10", post_only=True)
    bench.wait(138_000)
    assert bench.posted(crossing).code == "post_only_cross"
    assert bench.status(order) == "LIVE"
    bench.wait(2_000)
    assert bench.status(order).startswith("CANCELED")


# --- the tick, the stream, the result ---


def test_the_stream_s_tick_is_the_venue_s() -> None:
    bench = Bench()
    bench.book({"0.48": "30"}, {"0.52": "20"}, tick="0.001")
    order = bench.order("BUY", "0.485", "10")
    bench.wait(100)
    assert bench.posted(order).status == "live"


def test_ops_06_while_the_book_is_lost_nothing_fills() -> None:
    bench = Bench()
    resting = bench.rests("BUY", "0.48", "10")
    bench.cut()
    bench.trade("0.40", "1000")
    taker = bench.order("BUY", "0.52", "10", "FAK")
    bench.wait(1_000)
    assert bench.filled(resting) == "0.000000"
    assert bench.posted(taker).code == "fak_killed"
    bench.book({"0.48": "45"}, {"0.52": "20"})
    bench.wait(200)
    bench.trade("0.48", "45")
    assert bench.filled(resting) == "0.000000", "after a gap it stands behind all that is displayed"
    bench.trade("0.48", "2")
    assert bench.filled(resting) == "2.000000"


def test_a_book_that_comes_back_must_stand_before_it_is_hit() -> None:
    bench = Bench()
    order = bench.order("BUY", "0.52", "10", "FAK")
    bench.wait(200)
    bench.cut()
    bench.book({"0.48": "30"}, {"0.52": "20"})
    bench.wait(50)
    assert bench.posted(order).code == "fak_killed"


def test_ops_06_the_venue_s_own_result_settles_the_window() -> None:
    bench = Bench()
    bench.holding("10")
    resting = bench.rests("SELL", "0.60", "10")
    bench.resolve(Side.UP)
    assert bench.status(resting) == "CANCELED_MARKET_RESOLVED"
    paid = bench.send(commands.Act(ActionRequest("r", ActionKind.REDEEM, bench.market.condition_id)))
    bench.wait(100)
    assert bench.answers[paid] == [events.ActionAnswered("r", "done")]
    assert bench.cash == "1004.625280"
    bench.sound()


def test_settlement_comes_in_stages() -> None:
    bench = Bench()
    bench.order("BUY", "0.52", "10", "FAK")
    bench.wait(250)
    early = bench.order("SELL", "0.48", "10", "FAK")
    bench.wait(300)
    assert bench.posted(early).code == "balance", "bought shares show when they are mined"
    bench.wait(10_000)
    stages = [event.row.status for event in bench.heard(events.TradeSeen)]
    assert stages == ["MATCHED", "MINED", "CONFIRMED"]
    late = bench.order("SELL", "0.48", "10", "FAK")
    bench.wait(300)
    assert bench.filled(late) == "10.000000"


# --- a restart ---


def test_ops_06_a_kill_loses_no_order_and_no_fill() -> None:
    bench = Bench()
    order = bench.rests("BUY", "0.48", "10")
    bench.trade("0.48", "33")
    cash = bench.cash
    bench.restart(away_ms=60_000)
    assert (bench.filled(order), bench.status(order), bench.cash) == ("3.000000", "LIVE", cash)
    bench.trade("0.40", "1000")
    assert bench.filled(order) == "3.000000", "prints that came without a book prove nothing"
    bench.book({"0.48": "12"}, {"0.52": "20"})
    bench.wait(200)
    bench.trade("0.48", "14")
    assert bench.filled(order) == "5.000000", "behind the 12 that are displayed now"
    bench.sound()


def test_what_ran_out_while_the_host_was_away_ran_out() -> None:
    bench = Bench()
    gtd = bench.rests("BUY", "0.49", "10", kind="GTD", expiration_s=bench.now // 1_000 + 200)
    bench.order("BUY", "0.52", "10", "FAK")
    bench.wait(250)
    bench.restart(away_ms=300_000)
    assert bench.status(gtd).startswith("CANCELED")
    assert [event.row.status for event in bench.heard(events.TradeSeen)] == ["MATCHED", "MINED", "CONFIRMED"]
    bench.resolve(Side.DOWN)
    assert bench.venue.audit() == []


def test_a_taker_that_was_being_held_when_the_host_died_matched_nothing() -> None:
    bench = Bench()
    order = bench.order("BUY", "0.52", "10", "FAK")
    bench.wait(150)
    bench.restart(away_ms=1_000)
    assert (bench.status(order), bench.cash) == ("CANCELED", "1000.000000")


def test_orders_of_two_markets_come_back_each_with_its_own() -> None:
    bench = Bench()
    mine = [bench.rests("BUY", "0.48", "10"), bench.rests("BUY", "0.30", "20", token=DOWN)]
    bench.cancel(mine[0])
    bench.wait(100)
    whole = bench.venue.save()
    bench.restart()
    assert bench.venue.save() == whole, "the parts add up to the whole"


def test_what_crosses_an_order_as_it_comes_to_rest_fills_it_when_it_has_stood() -> None:
    """The quote had not stood when the order met it; nothing is told of the market after that."""
    bench = Bench()
    order = bench.order("BUY", "0.52", "10")
    bench.wait(200)
    bench.level("SELL", "0.52", "0")
    bench.level("SELL", "0.50", "4")
    bench.wait(50)
    assert (bench.status(order), bench.filled(order)) == ("LIVE", "0.000000"), "held by the taker delay until now"
    bench.wait(150)
    assert bench.filled(order) == "4.000000"


def test_an_order_for_a_market_that_is_not_followed_any_more_is_answered() -> None:
    bench = Bench()
    order = bench.order("BUY", "0.48", "10")
    bench.venue.unfollow(bench.market)
    bench.wait(100)
    assert bench.posted(order).outcome == "accepted"
    bench.trade("0.40", "100")
    assert bench.filled(order) == "0.000000", "nothing is seen of it"
    stranger = bench.order("BUY", "0.48", "10", token="999")
    bench.wait(100)
    assert bench.posted(stranger).code == "token"


def test_rewards_are_not_earned_while_the_book_is_out_of_sight() -> None:
    program = {"reward_rate_day": micros("1440000"), "reward_min_size": micros("5"), "reward_max_spread": 450}
    earned = []
    for cut in (False, True):
        bench = Bench(**program)
        bench.rests("BUY", "0.48", "10")
        if cut:
            bench.cut()
        bench.wait(120_000)
        earned.append(sum(bench.venue.exchange.rewards_earned(
            bench.venue.address, bench.now // 86_400_000, MarketMs(bench.now)
        ).values()))
    assert earned[0] > 0
    assert earned[1] == 0


def test_what_is_due_happens_before_the_frame_that_comes_later() -> None:
    """The loop was busy: the order met the book as it was when its time came, not as the late frame shows it."""
    bench = Bench()
    order = bench.order("BUY", "0.52", "10", "FAK")
    bench.now += 5_000
    bench.level("SELL", "0.52", "0")
    assert bench.filled(order) == "10.000000"


def test_a_market_is_watched_while_an_order_is_on_its_way_to_it_whatever_ends_meanwhile() -> None:
    bench = Bench()
    first = bench.rests("BUY", "0.45", "10")
    order = bench.order("BUY", "0.52", "10", "FAK")
    bench.venue.exchange.cancel_all("paper", MarketMs(bench.now))
    bench.wait(50)
    bench.trade("0.45", "1")
    bench.wait(200)
    assert (bench.status(first), bench.filled(order)) == ("CANCELED", "10.000000")
