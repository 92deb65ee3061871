"""The closed vocabularies: side, action, purpose, order type and the states of orders and trades."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    """Which token of a market."""

    UP = "UP"
    DOWN = "DOWN"

    @property
    def other(self) -> Side:
        return Side.DOWN if self is Side.UP else Side.UP


class Action(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class Purpose(StrEnum):
    """Why an order exists; part of its slot."""

    ENTRY = "entry"
    SCALE_IN = "scale_in"
    HEDGE = "hedge"
    LEG = "leg"
    GRID_LEVEL = "grid_level"
    QUOTE = "quote"
    EXIT = "exit"
    EMERGENCY = "emergency"


class OrderType(StrEnum):
    GTC = "GTC"
    GTD = "GTD"
    FOK = "FOK"
    FAK = "FAK"

    @property
    def rests(self) -> bool:
        return self is OrderType.GTC or self is OrderType.GTD


class OrderState(StrEnum):
    """Where an order is in its life; only positive proof moves it to CLOSED."""

    INTENDED = "intended"
    """Wanted, with its slot and reservation; not signed yet: nothing of it can be at the venue."""
    PREPARED = "prepared"
    """Signed, its id known and durable; the post may have left."""
    UNKNOWN = "unknown"
    """Posted, and nobody knows what became of it."""
    WORKING = "working"
    """Presence proved, not finished."""
    CANCELLING = "cancelling"
    """A cancel of ours is in flight."""
    CLOSED = "closed"
    """Finished, by proof; the id stays watched until the market is resolved."""


class PairState(StrEnum):
    """Where a pair of legs is (ORD-13); each state is durable, so that a restart goes on in it."""

    FIRST = "first"
    """The first leg is being bought; the funds of both are reserved."""
    SETTLING = "settling"
    """The first leg's order is over; its trades are not all settled."""
    PAUSING = "pausing"
    """The first leg is settled; the pause before the second runs."""
    SECOND = "second"
    """The second leg is being bought, for what the first one got."""
    PAIRING = "pairing"
    """The second leg's order is over; its trades are not all settled."""
    ROLLBACK = "rollback"
    """What of the first leg has no partner is sold again."""
    DONE = "done"


class ActionKind(StrEnum):
    """What the chain can do with shares and collateral, beside trades."""

    MERGE = "merge"
    """The same number of UP and DOWN becomes as much collateral."""
    REDEEM = "redeem"
    """The shares of a decided market become what they pay."""
    SPLIT = "split"
    """Collateral becomes as many UP and DOWN."""


class ActionState(StrEnum):
    """Where a chain action is; only an answer or agreeing balances end it."""

    INTENDED = "intended"
    """Durable; it may have been sent."""
    UNKNOWN = "unknown"
    """Nobody knows whether it happened: balances are asked, and it is never done a second time meanwhile."""
    DONE = "done"
    REFUSED = "refused"
    """It did not happen, by proof."""


class TradeStatus(StrEnum):
    MATCHED = "MATCHED"
    MINED = "MINED"
    CONFIRMED = "CONFIRMED"
    RETRYING = "RETRYING"
    FAILED = "FAILED"


class Bias(StrEnum):
    UP = "UP"
    DOWN = "DOWN"
    NONE = "NONE"


class SettlementRule(StrEnum):
    """How a market's result is found."""

    TWAP_60 = "twap_60"
    """The 60 s mean of the reference feed at the opening and at the closing second."""
    SPOT = "spot"
    """The reference feed itself at these two seconds."""
    CANDLE = "candle"
    """Open and close of the spot exchange's candle that is the window."""
    CANDLE_CLOSES = "candle_closes"
    """Closes of the spot exchange's one-minute candles that begin at the window's start and at its end."""
    ORACLE = "oracle"
    """Decided outside any price feed (a plain binary market), or not recognised."""
