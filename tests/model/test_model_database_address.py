"""Addresses of a database: which can be one, and that no password in one is ever repeated (SEC-01)."""

from __future__ import annotations

import pytest

from polyhost.model.database_address import malformed, refused, without_password

GOOD = (
    "postgresql://me@db.example/trading", "postgres://db.example/trading", "postgresql:///trading",
    "postgresql://me@db.example:5432/trading?sslmode=require", "postgresql://me@[::1]:5432/trading",
    "postgresql://me@one:5432,two:5433/trading?target_session_attrs=primary", "postgresql://%2Fvar%2Frun/trading",
)  # fmt: skip
WRONG = (
    "mysql://me@db/trading", "db.example/trading", "PostgreSQL://me@db/trading", "postgresql:/db/trading",
    "postgresql://me@db.example/my trading", "postgresql://me@db:port/trading", "postgresql://me@db:0/trading",
    "postgresql://me@db:65536/trading", "postgresql://me@[::1/trading", "postgresql://me@[::1]x/trading",
    "postgresql://me@db/100%", "postgresql://me@db/\n",
)  # fmt: skip


@pytest.mark.parametrize("address", GOOD)
def test_per_03_what_libpq_takes_is_an_address(address: str) -> None:
    assert malformed(address) == ""
    assert refused(address) is None
    assert without_password(address) == address


@pytest.mark.parametrize("address", WRONG)
def test_per_03_what_can_be_no_address_is_refused_with_what_to_write(address: str) -> None:
    wrong = refused(address)
    assert wrong is not None
    assert "no address of a PostgreSQL database" in wrong.problem
    assert "postgresql://USER@HOST/DATABASE" in wrong.remedy


@pytest.mark.parametrize("between", ["", "@", "/", ":", "?", "#", "%40"])
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:{}@db.example/trading", "mysql://me:{}@db.example/trading", "me:{}@db.example",
        "postgresql://:{}@db.example/trading", "postgresql://me:{}@db:x/trading", "host=db password={} user=me",
        "postgresql://me@db.example/trading?password={}", "postgresql://me@db/trading?sslpassword={}&x=1",
    ],
)
def test_sec_01_a_password_in_an_address_is_refused_and_repeated_nowhere(address: str, between: str) -> None:
    wrong = refused(address.format(f"hun{between}ter2"))
    assert wrong is not None
    for part in ("hun", "ter2"):
        assert part not in "".join(wrong)
