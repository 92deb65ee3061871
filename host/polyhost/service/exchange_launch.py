"""How the exchange of ``run`` is started: the command line in a process of its own.

It imports next to nothing, because it starts before the host is loaded (early).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from polyhost.service.exchange_pathologies import all_pathologies
from polyhost.service.gateway_launch import key_variables
from polyhost.settings import Configuration


def started(settings: Configuration, state: Path, ready: Path, log: Path) -> subprocess.Popen[bytes]:
    """``polyhost exchange serve`` on a free loopback port; it writes ``ready`` when it can be asked.

    Raises OSError; ConfigError for a pathology that is none.
    """
    ready.unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    table = settings.exchange
    # -P: modules that happen to lie in the operator's working folder are not imported.
    command = [
        sys.executable, "-P", "-m", "polyhost", "exchange", "serve", "--port", "0", "--seed", str(table.seed),
        "--speed", f"{table.speed:g}", "--state", str(state), "--ready-file", str(ready), "--with-parent",
    ]
    # Its settings travel in the environment, as for anyone (POLYHOST__SECTION__KEY).
    given = environment(settings)
    with log.open("ab") as sink:
        # A group of its own: an operator's Ctrl-C reaches the host, which ends the exchange after its own cancels.
        # Its standard input ends with this process, however that dies: then it stops too (--with-parent).
        return subprocess.Popen(
            command, stdout=sink, stderr=sink, stdin=subprocess.PIPE, env=given, start_new_session=True
        )


def environment(settings: Configuration) -> dict[str, str]:
    """What the exchange finds in its environment: its settings, and no account's key."""
    table = settings.exchange
    # Those that are off are named too: the child's own ./polyhost.toml may switch them on.
    chances = ", ".join(f"{name} = {chance!r}" for name, chance in all_pathologies(settings).items())
    builders = ", ".join(
        f'"{code}" = {{ maker_bps = {rates.maker_bps}, taker_bps = {rates.taker_bps} }}'
        for code, rates in table.builders.items()
    )
    given = {
        "CASH": str(table.cash), "DENSITY": f"{table.density:g}", "TAKER_DELAY_MS": str(table.taker_delay_ms),
        "MINED_MS": str(table.mined_ms), "CONFIRMED_MS": str(table.confirmed_ms),
        "RESOLVE_DELAY_MS": str(table.resolve_delay_ms),
        "PATHOLOGIES": f"{{ {chances} }}", "BUILDERS": f"{{ {builders} }}",
    }
    troubles = table.troubles
    given |= {
        "TROUBLES__UNAPPROVED": str(troubles.unapproved).lower(), "TROUBLES__FUNDED": json.dumps(troubles.funded),
        "TROUBLES__CLOSED_ONLY": str(troubles.closed_only).lower(), "TROUBLES__COUNTRY": json.dumps(troubles.country),
        "TROUBLES__PROTOCOL": str(troubles.protocol),
    }
    symbols, durations = settings.markets.symbols, settings.markets.durations
    keys = key_variables(settings)  # they are no matter of an exchange
    return {
        **{name: value for name, value in os.environ.items() if name not in keys},
        **{f"POLYHOST__EXCHANGE__{name}": value for name, value in given.items()},
        "POLYHOST__MARKETS__SYMBOLS": json.dumps(list(symbols)),
        "POLYHOST__MARKETS__DURATIONS": json.dumps(list(durations)),
    }
