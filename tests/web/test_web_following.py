"""Following a journal as it grows says the same as folding all of it, whatever happened in it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from polyhost.configuration import load_configuration
from polyhost.journal import JournalStore
from polyhost.kernel.state import State, fold
from polyhost.lab.sim_run import Plan, Simulation
from polyhost.lab.simulate import chosen_pathologies, with_trader
from polyhost.model.records import CloseRecorded, Record
from polyhost.service.status import open_orders, open_positions
from polyhost.web.reading import Reading


def lived(folder: Path) -> list[Record]:
    """Nine minutes with every pathology, kills and restarts."""
    file = folder / "polyhost.toml"
    file.write_text('[markets]\nsymbols = ["BTC"]\n')
    loaded = with_trader(load_configuration(file, env={}), 3)
    simulation = Simulation(3, Plan(0.15, chosen_pathologies(["all"]), 6.0), loaded)
    assert simulation.run().broken == ""
    return [record for _, record in simulation.journal.read()]


def test_ops_03_what_is_followed_is_what_the_whole_journal_says(tmp_path: Path) -> None:
    """Read in pieces while it is written, by two readers of which one came later."""
    records, dice = lived(tmp_path), random.Random(5)
    store = JournalStore(tmp_path / "journal.db", "main")
    reading, done, seen = Reading(tmp_path), 0, 0
    while done < len(records):
        piece = records[done : done + dice.randint(1, 120)]
        store.commit(piece)
        done += len(piece)
        picture = reading.look()
        assert picture.problem == ""
        if dice.random() < 0.2 or done == len(records):
            state = fold(records[:done])
            assert told(reading) == wanted(state), done
            assert told(fresh := Reading(tmp_path)) == told(reading), done
            assert fresh.look().money.realised == sum(
                record.pnl for record in records[:done] if isinstance(record, CloseRecorded)
            )
            seen += len(picture.positions)
    store.close()
    assert seen > 0, "no position was ever open when it was compared"


def told(reading: Reading) -> dict[str, Any]:
    picture = reading.look()
    return {
        "orders": sorted((each.ref, each.state, each.price, each.size) for each in picture.orders),
        "positions": sorted(
            (each.condition_id, each.side, each.size, each.average, each.cost) for each in picture.positions
        ),
        "funds": (picture.funds.free, picture.funds.in_orders, picture.funds.unredeemed),
        "realised": picture.money.realised,
    }


def wanted(state: State) -> dict[str, Any]:
    return {
        "orders": sorted(
            (each.ref, each.state.value, each.draft.price, each.draft.size) for each in open_orders(state)
        ),
        "positions": sorted(
            (each.condition_id, each.side.value, each.size, each.average, each.cost) for each in open_positions(state)
        ),
        "funds": (state.balance("free"), state.balance("reserved"), state.balance("unredeemed")),
        "realised": sum(position.pnl for position in state.positions.values()),
    }
