"""Builder codes where no venue can be asked (backtests and simulations know those of the configured exchange), and what
the reports tell of them (CON-18)."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType

from polyhost.errors import ConfigError, nearest_name
from polyhost.kernel.state import State
from polyhost.model.builder import PPM_OF_A_BASIS_POINT, Builder
from polyhost.model.money import money_text, show_fixed
from polyhost.settings import Configuration


def builders_of(settings: Configuration) -> dict[str, Builder]:
    """The codes that the simulated exchange knows, with their rates in ppm."""
    return {
        code: Builder(code, rates.maker_bps * PPM_OF_A_BASIS_POINT, rates.taker_bps * PPM_OF_A_BASIS_POINT)
        for code, rates in settings.exchange.builders.items()
    }


def own_builder(settings: Configuration) -> Builder | UnsetType:
    """The configured builder code with its rates; unset: none. Raises ConfigError when the exchange knows no such code.
    """
    code = settings.venue.builder_code
    if not code:
        return UNSET
    known = builders_of(settings)
    if code not in known:
        raise ConfigError(
            "is no builder code that the exchange knows: its table [exchange.builders] has no such code",
            table="venue", key="builder_code", value=code, allowed=tuple(known), nearest=nearest_name(code, known),
        )
    return known[code]


def builder_figures(
    state: State, builder: Builder | UnsetType, credited: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The summary's ``builder``: what was paid with the code, of all that the journal knows, and what the venue says it
    was credited with (everybody's trades; whose the code is, and what was paid out, the venue does not tell). None: no
    code."""
    if builder is UNSET:
        return None
    return {
        "code": builder.code, "maker_rate": show_fixed(builder.maker, 6, 6),
        "taker_rate": show_fixed(builder.taker, 6, 6),
        "paid": money_text(state.builder_paid.get(builder.code, 0)), "credited": credited,
    }


def builder_line(figures: dict[str, Any]) -> str:
    """The same for a person."""
    text = (
        f"builder code {figures['code'][:10]}…: {figures['paid']} paid for it (makers {figures['maker_rate']}, takers "
        f"{figures['taker_rate']} of a trade's money); credited with "
    )
    said = figures["credited"]
    if said is None:
        return text + "what it was paid here"
    if "problem" in said:
        return text + f"what is not known ({said['problem']})"
    more = "" if said["whole"] else " at least"
    return text + f"{said['fees']} for {said['trades']} trades{more}, {said['ours']} of them ours, as the venue tells"
