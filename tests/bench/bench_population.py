"""The population's part of B6: events a second of CPU, matching included, with and without the market channel.

B6 itself needs the whole host; this is the floor under it. Prints one JSON line a variant.
"""

from __future__ import annotations

import json
import time
from typing import Any

from polyhost.exchange.rules import ExchangeRules
from polyhost.exchange.world import World, WorldSettings
from polyhost.model.times import MarketMs

START = MarketMs(1_795_219_200_000)
SIMULATED_S = 1_200
BUDGET = 20_000
"""Population events a second of CPU without the market channel: a simulated hour then costs 3.6 s at density 20."""
VARIANTS = {
    "no market channel (simulations)": ExchangeRules(market_channel=False),
    "market channel without books after trades": ExchangeRules(snapshots=False),
    "whole market channel (wire server)": ExchangeRules(),
}


def measure() -> list[dict[str, Any]]:
    """One symbol, windows of 5 and 15 minutes, density 20."""
    figures = []
    for what, rules in VARIANTS.items():
        world = World(WorldSettings(symbols=("BTC",), rules=rules), 1, START)
        world.advance(START)
        began = time.process_time()
        world.advance(MarketMs(START + SIMULATED_S * 1_000))
        spent = time.process_time() - began
        rate = world.population.events / spent
        budget = None if rules.market_channel else BUDGET
        figures.append({
            "id": "B6-population", "what": what, "events_per_cpu_s": round(rate),
            "simulated_s_per_cpu_s": round(SIMULATED_S / spent), "budget": budget,
            "ok": budget is None or rate >= budget,
        })
    return figures


if __name__ == "__main__":
    for figure in measure():
        print(json.dumps(figure))
