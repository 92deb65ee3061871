"""The store: order, contents, projections, and what it says when something is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polyhost.journal import JournalError, JournalStore, encode_record, journal_status, read_journal
from polyhost.journal.catalog import columns_in
from polyhost.journal.opening import reading
from polyhost.journal.projections import OURS
from polyhost.journal.schema import JOURNAL_TABLES, PROJECTIONS, columns_of, nullable_of, table_of
from polyhost.journal.status import schema_problems
from polyhost.model import records as r
from polyhost.model.words import Action, OrderState, Side, TradeStatus


def table(path: Path, name: str) -> list[dict[str, Any]]:
    with reading(path) as connection:
        columns = columns_in(connection, name)
        order = "seq" if "seq" in columns else next(iter(columns))
        rows = connection.execute(f'SELECT * FROM "{name}" ORDER BY "{order}"').fetchall()
        return [dict(zip(columns, row, strict=True)) for row in rows]


def write(path: Path, steps: list[list[r.Record]]) -> list[r.Record]:
    store = JournalStore(path, "main")
    for step in steps:
        store.commit(step)
    store.close()
    return [record for step in steps for record in step]


def test_per_05_what_was_committed_comes_back_in_order_and_equal(journal_path: Path, build: Any) -> None:
    records = write(journal_path, build.life())
    assert list(read_journal(journal_path)) == list(enumerate(records, 1))
    assert list(read_journal(journal_path, since_seq=5)) == list(enumerate(records, 1))[5:]


def test_the_body_is_the_records_own_bytes_with_time_market_and_kind_beside_it(journal_path: Path, build: Any) -> None:
    records = write(journal_path, build.life())
    rows = table(journal_path, "journal")
    assert [row["body"].encode() for row in rows] == [encode_record(record) for record in records]
    assert [row["time"] for row in rows] == [record.at for record in records]
    by_kind = {row["kind"]: row["market"] for row in rows}
    assert by_kind["order_prepared"] == by_kind["fill_moved"] == by_kind["ledger_posted"] == "0xc0"
    assert by_kind["run_started"] == by_kind["operator_said"] == ""


def test_numbers_go_on_where_the_last_process_ended(journal_path: Path, build: Any) -> None:
    write(journal_path, build.life()[:3])
    store = JournalStore(journal_path, "main")
    before = store.last_seq
    assert store.commit(build.life()[3]) == before + 2
    store.close()


def test_a_journal_that_is_not_there_reads_as_nothing(journal_path: Path) -> None:
    assert list(read_journal(journal_path)) == []
    assert not journal_path.exists()


def test_per_07_every_column_is_written_and_none_is_null_that_must_not_be(journal_path: Path, build: Any) -> None:
    write(journal_path, build.life())
    kinds = {row["kind"] for row in table(journal_path, "journal")}
    assert len(kinds) == len(get_args(r.Record)), "the life above must have every kind of record"
    for model in JOURNAL_TABLES:
        rows = table(journal_path, table_of(model))
        for column in columns_of(model):
            values = [row[column] for row in rows]
            assert any(value is not None for value in values), f"{table_of(model)}.{column} is never written"
            if column not in nullable_of(model):
                assert None not in values, f"{table_of(model)}.{column} is NULL"


def test_per_07_migrations_and_models_give_the_same_tables(journal_path: Path, harm: Any) -> None:
    write(journal_path, [])
    with harm(journal_path) as connection:
        assert schema_problems(connection, JOURNAL_TABLES) == []
        connection.execute("ALTER TABLE orders DROP COLUMN cause")
        connection.execute("ALTER TABLE orders ADD COLUMN mood TEXT")
        connection.execute("DROP TABLE notices")
        problems = schema_problems(connection, JOURNAL_TABLES)
    assert any("orders" in problem and "cause" in problem and "mood" in problem for problem in problems)
    assert any("notices is missing" in problem for problem in problems)


def test_the_projections_say_what_happened(journal_path: Path, build: Any) -> None:
    write(journal_path, build.life())
    orders = {row["ref"]: row for row in table(journal_path, "orders")}
    assert orders["o1"]["state"] == "closed"
    assert orders["o1"]["order_id"] == "0xo1"
    assert orders["o1"]["matched"] == 10_000_000
    assert orders["o1"]["present"] == 1
    assert orders["o1"]["released"] == orders["o1"]["reserve"] == 5_300_000
    assert orders["o2"]["state"] == "prepared"
    position, adopted = sorted(table(journal_path, "positions"), key=lambda row: row["bought"], reverse=True)
    assert (adopted["size"], adopted["bought"], adopted["sold"]) == (2_000_000, 3_000_000, 1_000_000)
    assert (adopted["cost"], adopted["proceeds"]) == (1_200_000, 400_000)
    assert (position["size"], position["bought"], position["sold"]) == (0, 10_000_000, 4_000_000)
    assert (position["cost"], position["proceeds"], position["fees"]) == (5_000_000, 2_400_000, 140)
    assert (position["pnl"], position["exit_reason"], position["met"]) == (400_000, "stop loss", "held")
    (state,) = table(journal_path, "plugin_state")
    assert (state["key"], state["value"]) == ("age", "4")
    (run,) = table(journal_path, "runs")
    assert run["end_reason"] == "windows done"
    (settled,) = table(journal_path, "settlements")
    assert settled["winner"] == "UP"


def test_a_failed_trade_is_taken_out_of_the_position_once(journal_path: Path, build: Any) -> None:
    failed = [r.FillMoved(build.now(), "t1", "o1", TradeStatus.FAILED) for _ in range(2)]
    write(journal_path, [[build.fill("t1", "o1", Action.BUY, 5_000_000)], [failed[0]], [failed[1]]])
    (position,) = table(journal_path, "positions")
    assert (position["bought"], position["cost"], position["fees"]) == (0, 0, 0)
    assert table(journal_path, "trades")[0]["status"] == "FAILED"


def test_a_record_about_an_unknown_order_is_journaled_and_changes_no_projection(journal_path: Path, build: Any) -> None:
    write(journal_path, [[build.moved("nobody", OrderState.WORKING)]])
    assert table(journal_path, "orders") == []
    assert len(table(journal_path, "journal")) == 1


REFS = st.sampled_from(["a", "b", "c"])
SIZES = st.integers(1, 10**9)


@st.composite
def stories(draw: st.DrawFn) -> list[list[tuple[str, Any]]]:
    """Steps of (what, arguments): any order, also about orders that do not exist."""
    what = st.one_of(
        st.tuples(st.just("intended"), REFS),
        st.tuples(st.just("prepared"), REFS),
        st.tuples(st.just("moved"), st.tuples(REFS, st.sampled_from(OrderState), SIZES, st.booleans())),
        st.tuples(st.just("fill"), st.tuples(REFS, st.sampled_from("xyz"), st.sampled_from(Action), SIZES)),
        st.tuples(st.just("status"), st.tuples(REFS, st.sampled_from("xyz"), st.sampled_from(TradeStatus))),
        st.tuples(st.just("ledger"), st.tuples(st.sampled_from(["free", "settled", "market"]), SIZES)),
        st.tuples(st.just("state"), st.tuples(st.sampled_from("kl"), st.none() | st.sampled_from(["1", "2"]))),
    )
    return draw(st.lists(st.lists(what, min_size=1, max_size=4), max_size=12))


def told(story: list[list[tuple[str, Any]]], build: Any) -> list[list[r.Record]]:
    steps: list[list[r.Record]] = []
    for step in story:
        records: list[r.Record] = []
        for what, it in step:
            match what:
                case "intended":
                    records.append(build.intended(it))
                case "prepared":
                    records.append(build.prepared(it))
                case "moved":
                    records.append(build.moved(it[0], it[1], matched=it[2], present=it[3]))
                case "fill":
                    records.append(build.fill(it[1], it[0], it[2], it[3]))
                case "status":
                    records.append(r.FillMoved(build.now(), it[1], it[0], it[2]))
                case "ledger":
                    asset = f"{build.condition}:DOWN"
                    records.append(build.posted("fill", "x", (it[0], asset, it[1]), ("outside", asset, -it[1])))
                case "state":
                    records.append(r.PluginStateSet(build.now(), "p", {it[0]: it[1]}))
        steps.append(records)
    return steps


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(story=stories(), cuts=st.sets(st.integers(0, 12)))
def test_per_01_projections_are_the_fold_of_the_records_however_they_were_grouped(
    tmp_path_factory: pytest.TempPathFactory, build: Any, story: list[list[tuple[str, Any]]], cuts: set[int]
) -> None:
    """Written step by step with restarts in between, or all at once: the same tables, row for row."""
    folder = tmp_path_factory.mktemp("fold")
    steps = told(story, build)
    store = JournalStore(folder / "stepwise.db", "main")
    for number, step in enumerate(steps):
        if number in cuts:
            store.close()
            store = JournalStore(folder / "stepwise.db", "main")
        store.commit(step)
    store.close()
    everything = write(folder / "at_once.db", [[record for step in steps for record in step]])
    assert [record for _, record in read_journal(folder / "stepwise.db")] == everything
    for model in PROJECTIONS:
        assert table(folder / "stepwise.db", table_of(model)) == table(folder / "at_once.db", table_of(model))
    # And against sums made here, without any of the projector's code.
    held = sum(
        entry.delta for record in everything if isinstance(record, r.LedgerPosted) for entry in record.entries
        if entry.account in OURS and entry.asset.endswith(":DOWN")
    )
    assert sum(row["size"] for row in table(folder / "at_once.db", "positions") if row["side"] == Side.DOWN) == held
    state: dict[str, str] = {}
    last: dict[str, str] = {}
    for record in everything:
        if isinstance(record, r.PluginStateSet):
            state |= {key: value for key, value in record.changes.items() if value is not None}
            state = {key: value for key, value in state.items() if record.changes.get(key, value) is not None}
        if isinstance(record, r.OrderMoved) and record.ref in last:
            last[record.ref] = record.state.value
        elif isinstance(record, r.OrderIntended):
            last[record.draft.ref] = OrderState.INTENDED.value
        elif isinstance(record, r.OrderPrepared) and record.ref in last:
            last[record.ref] = OrderState.PREPARED.value
    assert {row["key"]: row["value"] for row in table(folder / "at_once.db", "plugin_state")} == state
    assert {row["ref"]: row["state"] for row in table(folder / "at_once.db", "orders")} == last


def test_per_05_whatever_of_the_log_reached_the_disk_the_journal_is_a_run_of_whole_steps(
    tmp_path: Path, build: Any
) -> None:
    """The files as a crash could leave them: the database, and the write-ahead log cut anywhere."""
    store = JournalStore(tmp_path / "journal.db", "main")
    ends, records = [0], []
    for step in build.life():
        ends.append(store.commit(step))
        records += step
    data, log = store.path.read_bytes(), store.path.with_name("journal.db-wal").read_bytes()
    store.close()
    found = []
    for cut in [*range(0, len(log), 5_003), len(log)]:
        path = tmp_path / f"cut{cut}" / "journal.db"
        path.parent.mkdir()
        path.write_bytes(data)
        path.with_name("journal.db-wal").write_bytes(log[:cut])
        after = JournalStore(path, "main")
        assert after.last_seq in ends
        assert list(read_journal(path)) == list(enumerate(records[: after.last_seq], 1))
        found.append(after.last_seq)
        after.commit([build.run("after")])
        after.close()
        assert len(list(read_journal(path))) == found[-1] + 1
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] == len(records)
    assert len(set(found)) > 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE journal SET body = '{' WHERE seq = 4", "record 4"),
        ("UPDATE journal SET body = '{\"record\":\"from_the_future\",\"at\":1}' WHERE seq = 4", "record 4"),
        ("UPDATE journal SET kind = 'notice_raised' WHERE seq = 4", "record 4 says"),
        ("UPDATE journal SET kind = 'from_the_future' WHERE seq = 4", "record 4 is of a kind.*later polyhost"),
        ("UPDATE journal SET body = 'ÿ' WHERE seq = 4", "record 4"),
        ("DELETE FROM journal WHERE seq = 4", "record 4 is missing"),
        ("DELETE FROM journal WHERE seq = 1", "record 1 is missing"),
    ],
)
def test_a_damaged_row_is_named_with_its_number(
    journal_path: Path, build: Any, harm: Any, change: str, words: str
) -> None:
    write(journal_path, build.life())
    with harm(journal_path) as connection:
        connection.execute(change)
    with pytest.raises(JournalError, match=words) as caught:
        list(read_journal(journal_path))
    assert caught.value.remedy
    assert str(journal_path) in str(caught.value)


def test_a_row_that_is_no_text_is_named_with_its_number(journal_file: Path, build: Any, harm: Any) -> None:
    """PostgreSQL takes no such thing."""
    write(journal_file, build.life())
    with harm(journal_file) as connection:
        connection.execute("UPDATE journal SET body = x'ff00' WHERE seq = 4")
    with pytest.raises(JournalError, match="record 4"):
        list(read_journal(journal_file))


def test_a_full_disk_leaves_none_of_the_step_and_is_told(journal_file: Path, build: Any) -> None:
    store = JournalStore(journal_file, "main")
    store.commit(build.life()[0])
    assert store._connection is not None
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    big = [r.NoticeRaised(build.now(), f"n{number}", "info", "t", "x" * 900) for number in range(50)]
    with pytest.raises(JournalError, match="disk is full"):
        store.commit(big)
    assert store.last_seq == 2
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert store.commit(big) == 52
    store.close()
    assert len(list(read_journal(journal_file))) == 52


def test_db_status_tells_rows_version_and_last_record_while_a_run_writes(journal_path: Path, build: Any) -> None:
    store = JournalStore(journal_path, "main")
    for step in build.life():
        store.commit(step)
    found = journal_status(journal_path)
    assert found.problems == ()
    assert found.readable
    assert found.schema_version == found.schema_wanted == 1
    assert found.last_seq == found.rows["journal"] == store.last_seq
    assert found.rows["orders"] == 2
    assert found.bytes > 0
    store.close()
    assert journal_status(journal_path).last_seq == found.last_seq
