"""Prices, money and sizes as people write them in settings: integers inside, decimals outside.

``Price("0.30")`` *is* the integer 3,000, so it compares with the ticks of a view without conversion; it shows as 0.3.
A setting is never below 0; amounts that may be (a loss) are made by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from polyhost.model.money import money_text, parse_fixed, price_text, size_text

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema


class _Fixed(int):
    decimals: ClassVar[int] = 6
    unit: ClassVar[str] = ""
    word: ClassVar[str] = ""
    """What errors call it."""

    def __new__(cls, value: str | int | float) -> Self:
        """From a decimal string (or a number as TOML writes it). Raises ValueError when it does not fit exactly."""
        if isinstance(value, cls):
            return value
        return super().__new__(cls, parse_fixed(str(value), cls.decimals, cls.word))

    @classmethod
    def exactly(cls, units: int) -> Self:
        """From the integer inside."""
        return int.__new__(cls, units)

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        # Copies and pickles are built anew from the decimal; int's own way hands the inner integer to the parser.
        return type(self), (str(self),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": ["string", "number"], "description": cls.unit}

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is not a decimal ({cls.unit})")
        made = cls(value)
        if made < 0:
            raise ValueError(f"{cls.word} {value!r} is below 0")
        return made


class Price(_Fixed):
    """Collateral a share, between 0 and 1; the integer inside counts 1e-4 ticks."""

    decimals = 4
    unit = "collateral a share, 0 to 1, at most 4 decimals"
    word = "price"

    def __new__(cls, value: str | int | float) -> Self:
        price = super().__new__(cls, value)
        if not 0 <= int(price) <= 10_000:
            raise ValueError(f"price {value!r} is not between 0 and 1")
        return price

    def __str__(self) -> str:
        return price_text(int(self))

    def __repr__(self) -> str:
        return f"Price({price_text(int(self))!r})"


class InnerPrice(Price):
    """A price that a token can trade at: 0 and 1 are none."""

    def __new__(cls, value: str | int | float) -> Self:
        price = super().__new__(cls, value)
        if not 0 < int(price) < 10_000:
            raise ValueError("must be above 0 and below 1")
        return price


class Money(_Fixed):
    """Collateral; the integer inside counts micro-units."""

    unit = "collateral, 0 or more, at most 6 decimals"
    word = "money"

    def __str__(self) -> str:
        return money_text(int(self))

    def __repr__(self) -> str:
        return f"Money({size_text(int(self))!r})"


class Shares(_Fixed):
    """Shares; the integer inside counts micro-shares."""

    unit = "shares, 0 or more, at most 6 decimals"
    word = "shares"

    def __str__(self) -> str:
        return size_text(int(self))

    def __repr__(self) -> str:
        return f"Shares({size_text(int(self))!r})"
