"""A whole host trades with each kind of wallet: what it buys and sells is that wallet's."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from eth_account import Account

from polyhost.model.wallet_kinds import WalletKind
from polyhost.model.wallets import wallet_of
from polyhost.service.gateway_launch import throwaway_key

from .service_runs import Started, eager_configuration, exchange, state

KINDS = (WalletKind.PROXY, WalletKind.SAFE, WalletKind.DEPOSIT)
"""Every other test of this folder runs with the plain one."""


def test_sim_01_a_host_buys_with_every_contract_wallet_over_the_wire(tmp_path: Path) -> None:
    """Three hosts with keys of their own on one exchange."""
    with ExitStack() as stack:
        served = stack.enter_context(exchange(tmp_path, eager_configuration(tmp_path, tmp_path / "none")))
        started = []
        for kind in KINDS:
            name = kind.name.lower()
            folder = tmp_path / name
            folder.mkdir()
            config = eager_configuration(folder, folder / "data")
            text = config.read_text().replace("[host]", f'[host]\naccount = "{name}"')
            config.write_text(f'{text}[venue]\nwallet = "{name}"\nurl = "{served.url}"\n')
            started.append((kind, folder, stack.enter_context(Started("run", "-c", config, "--json", cwd=folder))))
        for kind, folder, host in started:
            host.says(": bought")
            assert host.stop() == 0, host.told()
            orders = state(folder / "data").orders.values()
            wallet = wallet_of(Account.from_key(throwaway_key(1, kind.name.lower())).address, kind)
            filled = [order.request.fields for order in orders if order.traded and order.request is not None]
            assert filled, host.told()
            assert {(fields.signature_type, fields.maker) for fields in filled} == {(kind.value, wallet)}
