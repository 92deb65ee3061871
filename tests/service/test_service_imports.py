"""What a start does not load (B9): a host that trades elsewhere, or has its exchange in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec


def test_the_host_does_not_load_the_exchanges_server() -> None:
    """A quarter of a second of every start."""
    code = (
        "import sys, polyhost.service.session; "
        "print([name for name in sys.modules if name.startswith(('aiohttp.web', 'polyhost.exchange.server.serving'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_b9_the_other_processes_begin_before_the_host_has_loaded_what_it_trades_with() -> None:
    """What begins them may import little: it is on the way of the gateway process, which a start waits for."""
    code = (
        "import sys, polyhost.service.run, polyhost.service.exchange_launch; "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'asyncio', 'loguru', 'httpx', 'peewee', 'websockets', 'eth_utils'}), "
        "[name for name in sys.modules if name.startswith(('polyhost.kernel', 'polyhost.journal', 'polyhost.extension',"
        " 'polyhost.venue.polymarket', 'polyhost.exchange.core', 'polyhost.model.events'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_b4_no_request_looks_through_the_search_path_for_what_is_not_installed() -> None:
    """httpcore imports sniffio with every request, four times; it must be known, one way or the other."""
    import polyhost.venue.polymarket.http  # noqa: F401

    assert "sniffio" in sys.modules or find_spec("sniffio") is not None


def test_sec_01_the_host_loads_no_client_of_the_venue() -> None:
    """Neither a second of every start and its memory, nor anything that could sign: they are the gateway process's."""
    code = (
        "import sys, polyhost.service.hosted, polyhost.service.session, polyhost.service.terminal; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('polymarket', 'py_clob_client_v2', "
        "'eth_account')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_server_is_still_one_import_away() -> None:
    from polyhost.exchange import server

    assert all(getattr(server, name) is not None for name in server.__all__)
