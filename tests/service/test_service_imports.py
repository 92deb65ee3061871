"""What a start does not load (B9): a host that trades elsewhere, or has its exchange in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def test_the_host_does_not_load_the_exchanges_server() -> None:
    """A quarter of a second of every start."""
    code = (
        "import sys, polyhost.service.session; "
        "print([name for name in sys.modules if name.startswith(('aiohttp.web', 'polyhost.exchange.server.serving'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_sec_01_the_host_loads_no_client_of_the_venue() -> None:
    """Neither a second of every start and its memory, nor anything that could sign: they are the gateway process's."""
    code = (
        "import sys, polyhost.service.run, polyhost.service.session, polyhost.service.terminal; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('polymarket', 'py_clob_client_v2', "
        "'eth_account')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_server_is_still_one_import_away() -> None:
    from polyhost.exchange import server

    assert all(getattr(server, name) is not None for name in server.__all__)
