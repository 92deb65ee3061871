"""A whole host that trades through its gateway process: nothing that could sign, and no key, is in the host (SEC-01).

How the process comes back after a kill -9 in a running host: test_service_loops.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polyhost.configuration import load_configuration
from polyhost.model.money import micros
from polyhost.service import exchange_launch
from polyhost.service.folder import KEPT, DataFolder
from polyhost.service.gateway_launch import account_told, key_variables, policy_of
from polyhost.service.gateways import gateway_of
from polyhost.service.relaying import relayer_key_of, without_a_key
from polyhost.service.shadow import ShadowGateway
from polyhost.venue.gatekeeper.client import GatewayProcess
from polyhost.venue.gatekeeper.launch import RelayerSource
from polyhost.venue.gatekeeper.spent import FILE

from .service_runs import START_S, configuration, environment

VARIABLE = "TEST_KEY_OF_THE_ACCOUNT"
KEY = "0x" + "5e" * 31 + "07"
HOST = """
import asyncio, gc, json, sys
from pathlib import Path
from polyhost.configuration import load_configuration
from polyhost.service.folder import DataFolder
from polyhost.service.session import Session

SDK = ("polymarket", "py_clob_client_v2", "eth_account")

def texts():
    for holder in gc.get_objects():
        for found in gc.get_referents(holder):
            if isinstance(found, (str, bytes, bytearray)):
                yield found.encode(errors="replace") if isinstance(found, str) else bytes(found)

async def go(session):
    ready = asyncio.Event()
    session.on_ready = lambda _: ready.set()
    run = asyncio.create_task(session.run())
    await asyncio.wait({run, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    account = session.accounts[0]
    # Half of the key at a time: what looks for it is no place of it.
    halves = [half.encode() for half in (sys.argv[2], sys.argv[3])]
    folder = account.folder.path
    while account.engine.kernel.blocks() and not run.done():
        await asyncio.sleep(0.01)
    told = {
        "modules": [name for name in sys.modules if name.partition(".")[0] in SDK],
        "environ": all(half in Path("/proc/self/environ").read_bytes() for half in halves),
        "memory": sum(all(half in text for half in halves) for text in texts() if len(text) < 100_000),
        "sees": any(b"spot prices" in text for text in texts()),
        "socket": oct((folder / "gateway.sock").stat().st_mode & 0o777),
        "spent": oct((folder / "gateway-spent.jsonl").stat().st_mode & 0o777),
        "process": b"".join(
            Path(f"/proc/{pid}/{name}").read_bytes()
            for pid in (account.process.pid, account.process.opened.pid) for name in ("cmdline", "environ")
        ).count(halves[0]),
        "wallet": account.gateway.wallet,
    }
    session.stop("the test has seen enough")
    summary = await run
    told |= {"broken": summary["accounts"]["main"]["invariants"]["broken_names"], "calls": len(
        summary["accounts"]["main"]["wall"]["venue_calls"])}
    print(json.dumps(told))

config = Path(sys.argv[1])
loaded = load_configuration(config)
place = Path(loaded.configuration.host.data_dir)
with DataFolder(place) as folder, DataFolder(place / "main") as own:
    asyncio.run(go(Session(loaded, folder, {"main": own})))
"""
"""Run as a program of its own: the process of these tests has loaded every client."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    base = tmp_path_factory.mktemp("gateway")
    more = f'[exchange]\nspeed = 60\n[accounts.main]\nkey = {{ env = "{VARIABLE}" }}\n'
    config = configuration(base, base / "data", more)
    done = subprocess.run(
        [sys.executable, "-P", "-c", HOST, str(config), KEY[2:34], KEY[34:]], env={**environment(), VARIABLE: KEY},
        capture_output=True, text=True, timeout=2 * START_S, check=False, cwd=base,
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["logs"] = "".join(path.read_text() for path in (base / "data").rglob("*.log*"))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_sec_01_the_host_that_trades_has_no_client_and_no_key(told: dict[str, Any]) -> None:
    from eth_account import Account

    assert told["wallet"] == Account.from_key(KEY).address, "it trades with that key"
    assert told["modules"] == []
    assert told["environ"] is False
    assert told["memory"] == 0
    assert told["sees"], "what it looked through is the host's memory"
    assert told["process"] == 0, "nor do the process's arguments and environment show it"
    assert KEY[2:] not in told["logs"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_sec_01_what_the_process_keeps_is_the_users_own_and_the_run_is_as_any(told: dict[str, Any]) -> None:
    assert told["socket"] == told["spent"] == "0o600"
    assert told["broken"] == []
    assert told["calls"] > 3, "what the process asked for is counted in the summary"


ACCOUNTS = """\
[host]
data_dir = "data"
[venue]
url = "http://127.0.0.1:9"
[limits]
window = "20"
total = "60"
[policy]
day_max = "100"
[accounts.real]
mode = "live"
key = { env = "KEY_OF_REAL" }
[accounts.real.limits]
window = "30"
[accounts.seen]
mode = "shadow"
key = { env = "KEY_OF_REAL" }
"""


def test_sec_01_what_the_policy_leaves_open_follows_from_the_account_s_own_limits(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(ACCOUNTS, encoding="utf-8")
    loaded = load_configuration(path, env={})
    real = loaded.for_account("real").configuration
    policy = policy_of(real)
    assert (policy.order_max, policy.hour_max, policy.day_max) == (micros("30"), 12 * micros("60"), micros("100"))
    assert policy.actions == ("merge", "redeem", "split")
    assert key_variables(loaded.configuration) == ("KEY_OF_REAL", "KEY_OF_REAL")


RELAYED = """\
[accounts.first]
mode = "live"
wallet = "safe"
key = { env = "KEY_OF_FIRST" }
relayer = { key = { env = "R1" }, secret = { env = "R2" }, passphrase = { file = "~/phrase" } }
[accounts.second]
mode = "live"
wallet = "proxy"
key = { env = "KEY_OF_SECOND" }
relayer = { key = { env = "R3" }, address = "0x00000000000000000000000000000000000000A1" }
[accounts.plain]
mode = "live"
key = { env = "KEY_OF_PLAIN" }
relayer = { key = { env = "R4" } }
[accounts.bare]
mode = "live"
wallet = "deposit"
key = { env = "KEY_OF_BARE" }
[accounts.seen]
mode = "shadow"
wallet = "safe"
key = { env = "KEY_OF_SEEN" }
relayer = { key = { env = "R5" } }
"""


def test_sec_01_each_accounts_process_is_given_the_relayer_key_that_its_wallet_needs_and_no_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "several.toml"
    path.write_text(RELAYED, encoding="utf-8")
    loaded = load_configuration(path, env={})
    variables = key_variables(loaded.configuration)
    assert set(variables) == {f"KEY_OF_{name.upper()}" for name in loaded.configuration.accounts} | {
        "R1", "R2", "R3", "R4", "R5",
    }
    given, lacking = {}, {}
    for name in loaded.configuration.accounts:
        settings = loaded.for_account(name).configuration
        process = gateway_of(
            settings, account_told(settings, DataFolder(tmp_path / name), variables=variables)
        ).process
        given[name] = process._launch.relayer
        lacking[name] = without_a_key(settings)
        own = {f"KEY_OF_{name.upper()}"} | ({"R1", "R2"} if name == "first" else {"R3"} if name == "second" else set())
        assert set(process._hide) == set(variables) - own, name
        assert set(process._launch.variables) == own
    address = "0x00000000000000000000000000000000000000A1"
    assert given == {
        "first": RelayerSource({"key": {"env": "R1"}, "secret": {"env": "R2"}, "passphrase": {"file": "~/phrase"}}),
        "second": RelayerSource({"key": {"env": "R3"}}, address), "plain": None, "bare": None, "seen": None,
    }
    assert {name for name, why in lacking.items() if why} == {"bare"}
    assert "a deposit wallet has that done by the venue's relayer" in lacking["bare"]


@pytest.mark.parametrize(("wallet", "thrown"), [("eoa", False), ("proxy", True), ("safe", True), ("deposit", True)])
def test_set_03_every_kind_of_wallet_can_act_at_a_simulated_exchange(
    tmp_path: Path, wallet: str, thrown: bool
) -> None:
    loaded = load_configuration(None, env={}, sets=[f"venue.wallet={wallet}"])
    source = account_told(loaded.configuration, DataFolder(tmp_path)).launch.relayer
    assert (source is not None) is thrown
    assert without_a_key(loaded.configuration) == ""
    key = relayer_key_of(loaded.configuration)
    assert (key is not None) is thrown
    if source is not None and key is not None:
        assert source.parts == {"key": {"throwaway": key.key}}


def test_ops_06_a_shadow_accounts_process_signs_nothing_whoever_asks(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(ACCOUNTS, encoding="utf-8")
    seen = load_configuration(path, env={}).for_account("seen").configuration
    policy = policy_of(seen)
    assert (policy.order_max, policy.hour_max, policy.day_max, policy.actions) == (0, 0, 0, ())
    way = gateway_of(seen, account_told(seen, DataFolder(tmp_path / "data")))
    assert isinstance(way.gateway, ShadowGateway)
    assert isinstance(way.process, GatewayProcess)


def test_sec_01_a_fresh_start_forgets_what_was_spent(tmp_path: Path) -> None:
    assert FILE in KEPT
    (tmp_path / FILE).write_text("[]")
    with DataFolder(tmp_path) as folder:
        aside = folder.set_aside()
    assert aside is not None
    assert (aside / FILE).exists()
    assert not (tmp_path / FILE).exists()


def test_sec_01_an_exchange_of_the_hosts_own_gets_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_REAL", KEY)
    monkeypatch.setenv("SOMETHING_ELSE", "5")
    path = tmp_path / "two.toml"
    path.write_text(ACCOUNTS, encoding="utf-8")
    given = exchange_launch.environment(load_configuration(path, env={}).configuration)
    assert "KEY_OF_REAL" not in given
    assert given["SOMETHING_ELSE"] == "5"
