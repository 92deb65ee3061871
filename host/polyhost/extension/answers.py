"""What a plugin may answer: types, ranges and bounds, checked before anybody acts on it.

An answer passes once through the wire's strict encoding, also when its plugin runs in this process: that proves plain
data of the right types, turns ``Price`` and its like into integers, and cuts every tie to objects the plugin keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from math import isfinite
from types import CoroutineType
from typing import Any, Final, NoReturn, cast

import msgspec

from polyhost.hooks import TELLING
from polyhost.model.money import ONE
from polyhost.model.proposals import (
    URGENCY,
    Abstain,
    Answer,
    CancelOrders,
    Defer,
    Enter,
    EntryAnswer,
    Estimate,
    ExitAnswer,
    ExitNow,
    ExitTarget,
    HoldToSettlement,
    Keep,
    Merge,
    Notice,
    Pair,
    Proposal,
    QuoteTarget,
    Remembered,
    Reprice,
    Signal,
    Skip,
    Split,
    Stake,
    Trigger,
    Veto,
)
from polyhost.model.words import Action, OrderType, Purpose

ANSWERS_MAX: Final = 64
"""Answers of one plugin to one question; a plugin that wants more has a loop that does not end."""
TEXT_MAX: Final = 2_000
"""Characters of a reason, topic or text."""
FEATURES_MAX: Final = 64
"""Named numbers beside an answer."""
PROBLEM_MAX: Final = 500
"""Characters kept of what went wrong in a plugin."""
ENTRY_TYPES: Final = tuple(kind.value for kind in OrderType)
"""Order types an ``Enter`` may name: take what is there (FAK, FOK), or rest (GTC, GTD)."""
VALID_S_MAX: Final = 864_000.0
"""The longest life of a GTD entry, market seconds (ten days)."""
LEVELS: Final = ("info", "warning", "critical")
NOT_ENTRIES: Final = (Purpose.EXIT, Purpose.EMERGENCY)
"""Purposes that sell: an ``Enter`` buys."""
DEFERRABLE: Final = tuple(name for name in URGENCY if name not in ("forced_close", "floor"))


class AnswerError(ValueError):
    """An answer that breaks the contract of its hook; the text says how."""


class SealedDict(dict[str, float]):
    """Named numbers that several plugins see: reading is a dict's, writing raises."""

    def _refuse(self, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError("answers are read-only")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[str, float]], tuple[dict[str, float]]]:
        return dict, (dict(self),)


def plain(value: object) -> object:
    """A number of a derived class (``Price``, a numeric library's float) as the number it is, for the encoder."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no plain data")


def _text(value: str, what: str) -> None:
    if len(value) > TEXT_MAX:
        raise AnswerError(f"{what} is longer than {TEXT_MAX} characters")


def _numbers(values: dict[str, float], what: str) -> None:
    if len(values) > FEATURES_MAX:
        raise AnswerError(f"{len(values)} {what}, at most {FEATURES_MAX} are allowed")
    for name, value in values.items():
        if not isfinite(value):
            raise AnswerError(f"{what}[{name!r}] is {value}, not a finite number")


def _promises(values: dict[str, Remembered]) -> None:
    if len(values) > FEATURES_MAX:
        raise AnswerError(f"{len(values)} values to remember, at most {FEATURES_MAX} are allowed")
    for name, value in values.items():
        _text(name, "a key to remember")
        if isinstance(value, str):
            _text(value, f"remember[{name!r}]")
        elif isinstance(value, float) and not isfinite(value):
            raise AnswerError(f"remember[{name!r}] is {value}, not a finite number")


def _price(value: int, what: str) -> None:
    if not 0 < value < ONE:
        raise AnswerError(f"{what} is {value} ticks; it must be above 0 and below {ONE}")


def _signal(answer: Signal) -> Signal:
    if not 0.0 < answer.p_up < 1.0:
        raise AnswerError(f"p_up is {answer.p_up}; it must be above 0 and below 1")
    if not 0.0 <= answer.weight <= 1.0:
        raise AnswerError(f"weight is {answer.weight}; it must be from 0 to 1")
    if len(answer.reason) > TEXT_MAX:
        _text(answer.reason, "reason")
    if not answer.features:
        return answer
    _numbers(answer.features, "features")
    return Signal(answer.p_up, answer.weight, answer.reason, SealedDict(answer.features))


def _estimate(answer: Estimate) -> Estimate:
    if not 0.0 < answer.p_up < 1.0:
        raise AnswerError(f"p_up is {answer.p_up}; it must be above 0 and below 1")
    if not 0.0 <= answer.confidence <= 1.0:
        raise AnswerError(f"confidence is {answer.confidence}; it must be from 0 to 1")
    _text(answer.reason, "reason")
    if not answer.parts:
        return answer
    _numbers(answer.parts, "parts")
    return Estimate(answer.p_up, answer.confidence, answer.bias, answer.reason, SealedDict(answer.parts))


def _enter(answer: Enter) -> Enter:
    _price(answer.price_max, "price_max")
    _text(answer.reason, "reason")
    if answer.order_type not in ENTRY_TYPES:
        raise AnswerError(f"order_type is {answer.order_type!r}; allowed: {', '.join(ENTRY_TYPES)}")
    _style(answer)
    if answer.purpose in NOT_ENTRIES:
        raise AnswerError(f"purpose {answer.purpose.value!r} is no purpose of an entry")
    if answer.stake is not None and answer.stake <= 0:
        raise AnswerError(f"stake is {answer.stake} micro-units; it must be above 0")
    if not isfinite(answer.edge):
        raise AnswerError(f"edge is {answer.edge}, not a finite number")
    _text(answer.key, "key")
    _promises(answer.remember)
    if not answer.values:
        return answer
    _numbers(answer.values, "values")
    return msgspec.structs.replace(answer, values=SealedDict(answer.values))


def _style(answer: Enter) -> None:
    """A life belongs to a GTD alone, post-only to what rests."""
    kind = OrderType(answer.order_type)
    if kind is OrderType.GTD and not 0.0 < answer.valid_s <= VALID_S_MAX:
        raise AnswerError(f"valid_s of a GTD is {answer.valid_s}; it must be above 0 and at most {VALID_S_MAX:g}")
    if kind is not OrderType.GTD and answer.valid_s != 0.0:
        raise AnswerError(f"valid_s is {answer.valid_s}; only a GTD has a life of its own, not a {kind.value}")
    if answer.post_only and not kind.rests:
        raise AnswerError(f"post_only with {kind.value}; only GTC and GTD orders can be post-only")


def _pair(answer: Pair) -> Pair:
    _price(answer.up_price_max, "up_price_max")
    _price(answer.down_price_max, "down_price_max")
    _text(answer.reason, "reason")
    if answer.stake <= 0:
        raise AnswerError(f"stake is {answer.stake} micro-units; it must be above 0")
    _promises(answer.remember)
    if not answer.values:
        return answer
    _numbers(answer.values, "values")
    return msgspec.structs.replace(answer, values=SealedDict(answer.values))


def _skip(answer: Skip) -> Skip:
    _text(answer.reason, "reason")
    if not answer.values:
        return answer
    _numbers(answer.values, "values")
    return Skip(answer.reason, SealedDict(answer.values))


def _stake(answer: Stake) -> Stake:
    if answer.amount <= 0:
        raise AnswerError(f"stake is {answer.amount} micro-units; it must be above 0 (None abstains, review refuses)")
    _text(answer.reason, "reason")
    return answer


def _reasoned(answer: Any) -> Any:
    _text(answer.reason, "reason")
    return answer


def _exit_target(answer: ExitTarget) -> ExitTarget:
    _price(answer.price, "price")
    if answer.tolerance < 0:
        raise AnswerError(f"tolerance is {answer.tolerance} ticks; it cannot be negative")
    if answer.least is not None:
        _price(answer.least, "least")
    _until(answer.valid_until)
    if answer.not_before < 0:
        raise AnswerError(f"not_before is {answer.not_before}; it is a market ms, or 0")
    _text(answer.reason, "reason")
    return answer


def _quote_target(answer: QuoteTarget) -> QuoteTarget:
    _price(answer.price, "price")
    if answer.size is not None and answer.size <= 0:
        raise AnswerError(f"size is {answer.size} micro-shares; it must be above 0")
    if answer.stake is not None and answer.stake <= 0:
        raise AnswerError(f"stake is {answer.stake} micro-units; it must be above 0")
    if answer.action is Action.BUY and (answer.size is None) == (answer.stake is None):
        raise AnswerError("a quote that buys has a size or a stake, and not both")
    if answer.action is Action.SELL and answer.stake is not None:
        raise AnswerError("a quote that sells has a size in shares, no stake")
    if answer.tolerance < 0 or answer.size_tolerance < 0:
        raise AnswerError(f"tolerances are {answer.tolerance} and {answer.size_tolerance}; they cannot be negative")
    _until(answer.valid_until)
    _text(answer.key, "key")
    _text(answer.reason, "reason")
    return answer


def _until(value: int) -> None:
    if value < 0:
        raise AnswerError(f"valid_until is {value}; it is a market ms, or 0")


def _reprice(answer: Reprice) -> Reprice:
    _price(answer.price, "price")
    _text(answer.ref, "ref")
    _text(answer.reason, "reason")
    return answer


def _exit_now(answer: ExitNow) -> ExitNow:
    if answer.urgency not in URGENCY:
        raise AnswerError(f"urgency is {answer.urgency!r}; allowed: {', '.join(URGENCY)}")
    if answer.floor is not None:
        _price(answer.floor, "floor")
    _text(answer.reason, "reason")
    return answer


def _defer(answer: Defer) -> Defer:
    if answer.urgency not in DEFERRABLE:
        raise AnswerError(f"urgency {answer.urgency!r} cannot be deferred; allowed: {', '.join(DEFERRABLE)}")
    _text(answer.reason, "reason")
    return answer


def _trigger(answer: Trigger) -> Trigger:
    _price(answer.price, "price")
    if answer.quote not in ("bid", "ask"):
        raise AnswerError(f"quote is {answer.quote!r}; allowed: bid, ask")
    if answer.direction not in ("above", "below"):
        raise AnswerError(f"direction is {answer.direction!r}; allowed: above, below")
    return answer


def _merge(answer: Merge | Split) -> Merge | Split:
    if answer.size is not None and answer.size <= 0:
        raise AnswerError(f"size is {answer.size} micro-shares; it must be above 0")
    _text(answer.reason, "reason")
    return answer


def _keep(answer: Keep) -> Keep:
    if not answer.values:
        raise AnswerError("keeps nothing")
    _promises(answer.values)
    return answer


def _notice(answer: Notice) -> Notice:
    _text(answer.text, "text")
    _text(answer.topic, "topic")
    if answer.level not in LEVELS:
        raise AnswerError(f"level is {answer.level!r}; allowed: {', '.join(LEVELS)}")
    return answer


_RANGES: Final[dict[type, Callable[[Any], Any]]] = {
    Signal: _signal,
    Abstain: _reasoned,
    Estimate: _estimate,
    Enter: _enter,
    Pair: _pair,
    Skip: _skip,
    Stake: _stake,
    Veto: _reasoned,
    ExitTarget: _exit_target,
    ExitNow: _exit_now,
    Defer: _defer,
    HoldToSettlement: _reasoned,
    QuoteTarget: _quote_target,
    Reprice: _reprice,
    CancelOrders: _reasoned,
    Merge: _merge,
    Split: _merge,
    Trigger: _trigger,
    Keep: _keep,
    Notice: _notice,
}
ALLOWED: Final[dict[str, tuple[type, ...]]] = {
    "signal": (Signal, Abstain),
    "combine": (Estimate, Abstain),
    "entry": EntryAnswer.__args__,
    "exit": ExitAnswer.__args__,
    "propose": Proposal.__args__,
    "size": (Stake,),
    "review": (Veto,),
    "quote": (ExitTarget, QuoteTarget),
    **dict.fromkeys((*TELLING, "start", "stop"), (Notice,)),
}
"""Types that each hook may give (None, nothing, always)."""
MANY: Final = ("entry", "exit", "propose", *TELLING, "start", "stop")
"""Hooks that may answer with several."""
_ENCODE: Final = msgspec.msgpack.Encoder(enc_hook=plain).encode
_DECODE: Final[dict[type, Callable[[bytes], Any]]] = {kind: msgspec.msgpack.Decoder(kind).decode for kind in _RANGES}


def wrong_type(hook: str, answer: object) -> AnswerError:
    if isinstance(answer, CoroutineType):
        answer.close()  # nobody will wait for it, and Python would complain of that much later
    names = ", ".join(kind.__name__ for kind in ALLOWED[hook])
    return AnswerError(f"answered {type(answer).__name__}; allowed: {names} or None")


def checked(hook: str, answer: object) -> Answer:
    """The answer as plain data of our own. Raises AnswerError when type, range or size break the hook's contract."""
    kind = type(answer)
    if kind not in ALLOWED[hook]:
        raise wrong_type(hook, answer)
    try:
        copy = _DECODE[kind](_ENCODE(answer))
    except (msgspec.MsgspecError, TypeError, OverflowError, RecursionError) as error:
        raise AnswerError(f"{kind.__name__}: {error}"[:PROBLEM_MAX]) from error
    return cast(Answer, _RANGES[kind](copy))


def listed(hook: str, answer: object) -> tuple[object, ...]:
    """One answer, or an iterable of them, as a tuple. Raises AnswerError for too many or for what is no iterable."""
    if answer is None:
        return ()
    if type(answer) in ALLOWED[hook]:
        return (answer,)
    if isinstance(answer, str | bytes | dict) or not isinstance(answer, Iterable):
        raise wrong_type(hook, answer)
    # Running a generator is running the plugin: this belongs inside the guard and the clock of its call.
    several = tuple(islice(answer, ANSWERS_MAX + 1))
    if len(several) > ANSWERS_MAX:
        raise AnswerError(f"more than {ANSWERS_MAX} answers to one question")
    return several


def described(error: BaseException) -> str:
    """One line that names the exception and what it says, bounded."""
    try:
        text = str(error)
    except BaseException:  # the exception is the plugin's own class: even its text may raise
        text = "(its text cannot be made)"
    if isinstance(error, AnswerError):
        return text[:PROBLEM_MAX]
    return f"{type(error).__name__}: {text}"[:PROBLEM_MAX] if text else type(error).__name__
