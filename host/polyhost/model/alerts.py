"""NOT-05: every notice of the host as one table: when it is raised, how loud, under which topic, and what to do.

The kernel raises a notice by its kind and takes level and topic from here. What plugins tell in their own words is not
in the table, but for the two alerts that are required of shipped ones. ``python -m polyhost.model.alerts`` writes
docs/alerts.md.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

Level: TypeAlias = Literal["critical", "warning", "info"]


class Alert(Struct, frozen=True):
    """One row. ``by``: the plugin that raises it; empty: the host."""

    kind: str
    level: Level
    topic: str
    when: str
    remedy: str = ""
    """What a person does; empty: nothing has to be done."""
    by: str = ""


_LOOK: Final = "look at the account at the venue and at `polyhost why`"
_WAIT: Final = "nothing, unless it stays"

BY_HAND: Final = "by_hand"
"""Topic of what a person did in the account's wallet."""

TABLE: Final[tuple[Alert, ...]] = (
    # --- risk
    Alert("breaker", "critical", "risk", "a circuit breaker tripped: new entries are off, exits go on",
          "find out why, then `polyhost resume --breaker NAME`"),
    Alert("emergency_stop", "critical", "exits", "a stop or its floor was reached: the position is sold at market",
          "nothing; several in an hour trip a breaker"),
    Alert("forced_by_host", "critical", "exits", "a deadline passed and no plugin had closed or held the position: "
          "the host sells it", "look at the plugin that should have (`polyhost plugins list`)"),
    Alert("forced", "warning", "exits", "a position is closed because its window ends"),
    Alert("exit_late", "warning", "exits", "a sale at market could not leave within 5 s of being wanted",
          "the text says what it waits for; `polyhost close`, or sell by hand at the venue"),
    Alert("unmanaged", "critical", "exits", "a window ended with shares neither sold nor declared held",
          "they pay what the window decides; look at the log of that window for why no sale went through"),
    Alert("short", "warning", "exits", "a sale was refused for shares the venue says are not there", _LOOK),
    # --- orders
    Alert("order_unknown", "warning", "orders", "the outcome of an order is not known; it is asked for until it is",
          _WAIT),
    Alert("order_refused", "info", "orders", "the venue refused an order"),
    Alert("order_illegal", "warning", "orders", "an order broke a rule of the venue and was not sent",
          "the text names the rule and the nearest legal value: correct the plugin's settings"),
    Alert("orphan", "warning", "orders", "an order that is over in the journal rests at the venue; it is cancelled",
          "nothing; if it comes again, `polyhost cancel ID` and tell us"),
    Alert("reappeared", "critical", "orders", "an order that was proved absent is at the venue; it is cancelled, and "
          "a breaker trips", "report it; `polyhost resume --breaker late_fill` when the position is right"),
    Alert("late_match", "critical", "orders", "an order that was closed shows more matched",
          "nothing; the fill is booked when its trade is seen"),
    Alert("trade_failed", "critical", "orders", "a trade failed on chain; its fill was taken back", _LOOK),
    Alert("status_unknown", "warning", "orders", "the venue uses a word for a status that no table has",
          "upgrade polyhost; until then it counts as open"),
    Alert("foreign_order", "warning", BY_HAND, "an order of this key that the host never sent; it is not touched",
          "nothing, if it is yours by hand"),
    Alert("foreign_trade", "warning", BY_HAND, "a trade of this wallet that no order of the host made",
          "nothing, if it is yours by hand"),
    Alert("would_have", "info", "orders", "a shadow account would have placed an order"),
    Alert("not_signed", "warning", "orders", "an order was not signed", _WAIT),
    Alert("signing", "critical", "orders", "orders cannot be signed, or the venue calls their signature wrong",
          "`polyhost doctor`"),
    Alert("blocked", "warning", "orders", "new entries are off until the named cause is over"),
    Alert("blocked_lasting", "critical", "orders", "new entries are off until a person acts", "the text names it"),
    Alert("absent", "info", "orders", "an unknown order is proved absent; its reservation is free"),
    Alert("repost", "info", "orders", "an order that was never seen is posted again, the same bytes"),
    Alert("pending_cancelled", "info", "orders", "a resting entry that the market left behind is cancelled"),
    Alert("reprice_refused", "info", "orders", "a plugin may not re-price an order"),
    Alert("reprice_rest", "info", "orders", "the rest of a re-priced order is not placed again"),
    Alert("pair_ended", "info", "orders", "two legs ended as wanted, or nothing of them happened"),
    Alert("pair_broken", "warning", "orders", "two legs ended with something left unpaired, or were rolled back",
          "nothing; what is left has exits of its own"),
    Alert("pair_refused", "warning", "orders", "the second leg of a pair was not sent; the first is rolled back"),
    Alert("quotes_many", "warning", "quotes", "a plugin wants more quotes than `[quotes] slots_max`",
          "raise the limit or change the plugin"),
    # --- what we have, against what the venue shows
    Alert("second_pass", "info", "reconciliation", "a comparison with the venue had to be made again"),
    Alert("doubt", "warning", "reconciliation", "a balance differs from the ledger; trades and positions are asked",
          _WAIT),
    Alert("corrected", "warning", "reconciliation", "shares are gone that no trade of ours sold; the ledger follows",
          "nothing, if you moved or sold them by hand"),
    Alert("unexplained", "warning", "reconciliation", "the venue shows more shares than our trades bought; they are "
          "neither sold nor averaged", "nothing, if they are yours by hand"),
    Alert("adopted", "warning", "reconciliation", "shares that were there before are managed from here on",
          "`[safety] adopt = false` leaves such shares alone"),
    Alert("foreign_shares", "warning", "reconciliation", "shares in the wallet are not ours: counted, not managed"),
    Alert("positions_torn", "warning", "reconciliation", "the venue's count of positions could not be read whole",
          _WAIT),
    # --- money
    Alert("approval", "warning", "funds", "the exchange may not spend the collateral: entries stop",
          "`polyhost setup approvals`"),
    Alert("low_balance", "warning", "funds", "less than 10.00 of collateral is free",
          "add collateral, or redeem what was won", "low_balance_guard"),
    Alert("action_done", "info", "funds", "a merge, redeem or split is done"),
    Alert("action_empty", "info", "funds", "there is nothing to merge or redeem"),
    Alert("action_refused", "warning", "funds", "a merge, redeem or split was not begun"),
    Alert("action_failed", "warning", "funds", "a merge, redeem or split did not happen", "try it again later"),
    Alert("action_unknown", "warning", "funds", "whether a merge, redeem or split happened is not known; balances "
          "are asked", _WAIT),
    Alert("redeem_waits", "warning", "funds", "a decided market is not redeemed by itself: a trade is not final",
          "`polyhost redeem WINDOW` does it all the same"),
    Alert("reward_paid", "info", "funds", "the venue paid liquidity rewards"),
    # --- settlement
    Alert("settled", "info", "settlement", "a window is decided: its P&L"),
    Alert("unresolved", "warning", "settlement", "a window has no result 30 minutes after its end", _WAIT),
    Alert("late_settle", "warning", "settlement", "a fill came or failed after the result: P&L changes"),
    Alert("audit_difference", "warning", "settlement", "our P&L of a window and the venue's differ by more than 0.10",
          "`polyhost why window SLUG` beside the venue's history", "settlement_audit"),
    Alert("audit_missing", "warning", "settlement", "the venue's account of a window could not be had"),
    # --- the host
    Alert("loop_dead_safety", "critical", "host", "a safety loop is not alive: it is started again, entries wait",
          "nothing, unless it comes again: then `polyhost bundle` and tell us"),
    Alert("loop_dead", "warning", "host", "a loop is not alive: it is started again", _WAIT),
    Alert("loop_alive", "info", "host", "a loop is alive again"),
    Alert("sealed", "critical", "host", "the journal takes nothing any more: nothing is entered, sells go on",
          "free the disk or mend it, then start again"),
    Alert("journal_check", "warning", "host", "the check of the journal found damage; a breaker stops entries",
          "`polyhost db check`, then `polyhost db restore`"),
    # --- the venue
    Alert("query_failed", "info", "venue", "the venue did not answer a question"),
    Alert("tick_unknown", "warning", "venue", "the stream names a tick that no rule is known for", "upgrade polyhost"),
    # --- plugins, people
    Alert("plugin_failed", "warning", "plugins", "a plugin failed in a hook", "`polyhost plugins info NAME`"),
    Alert("plugin_strike", "warning", "plugins", "a plugin missed its deadline or answered nonsense", _WAIT),
    Alert("plugin_quarantined", "warning", "plugins", "a plugin is out of service; its positions have their "
          "obligations", "mend it, then `polyhost plugins release NAME`"),
    Alert("triggers_many", "warning", "plugins", "more triggers on one market than are kept"),
    Alert("word_unknown", "warning", "operator", "a word of the operator that the host does not know, or that is about "
          "nothing that is there"),
    Alert("outbox_given_up", "warning", "notifications", "a channel did not take a notice in all its tries",
          "look at the channel's settings"),
    Alert("outbox_full", "warning", "notifications", "too many notices wait for a channel; the least important go",
          "look at the channel's settings"),
)
"""Every row."""
ALERTS: Final = {alert.kind: alert for alert in TABLE}

HEADING: Final = """# Alerts

Generated from `polyhost.model.alerts`; a test compares the two, and others raise each of them. A channel of
`apprise_notify` takes what is at or above its level and in its topics. The same alert about the same thing comes once a
minute, with a count. What plugins tell in their own words has the topic and level that they choose.

| level | alert | topic | when | what to do |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    """docs/alerts.md: the critical ones first."""
    order = {"critical": 0, "warning": 1, "info": 2}
    rows = sorted(TABLE, key=lambda alert: order[alert.level])
    lines = [
        f"| {alert.level} | `{alert.kind}`{f' (plugin `{alert.by}`)' if alert.by else ''} | {alert.topic} "
        f"| {alert.when} | {alert.remedy or '-'} |"
        for alert in rows
    ]
    return HEADING + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
