"""The guarantees that are broken on purpose, one at a time: which line gives each, and what it is replaced by.

A mutation that no longer applies fails ``test_mutation_applies.py``: whoever moves the line moves the mutation with it.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Mutation(NamedTuple):
    """One guarantee taken away. ``old`` stands exactly once in ``file`` (below ``host/polyhost``)."""

    name: str
    promise: str
    """The rule or row that the line keeps."""
    file: str
    old: str
    new: str
    tests: str = "tests/kernel"
    """Where a test should notice, separated by spaces."""
    simulated: bool = True
    """Could the simulation notice? It is asked only then."""


MUTATIONS: Final[tuple[Mutation, ...]] = (
    Mutation(
        "send before commit", "ORD-01", "service/engine.py",
        "        while self._gated and self._gated[0][0] <= seq and self.sealed is None:\n",
        "        while self._gated and self.sealed is None:\n",
        "tests/service/test_service_engine.py",
    ),
    Mutation(
        "send before commit, in the simulated shell", "ORD-01", "lab/sim_run.py",
        """        host.gated.extend((seq, command) for command in commands if isinstance(command, GATED))
""",
        """        host.gated.extend((-1, command) for command in commands if isinstance(command, GATED))
        self._release(host)
""",
        "tests/simulation/test_simulation_seeds.py::test_sim_04_the_same_seed_gives_the_same_bytes",
    ),
    Mutation(
        "resend on timeout", "U1, U5", "kernel/orders_flow.py",
        """            self._unknown(order, "no answer in time")
""",
        """            assert order.request is not None
            self.core.command(Post(order.request))
            self._unknown(order, "no answer in time")
""",
    ),
    Mutation(
        "re-post a FAK", "U5", "kernel/unknown.py",
        """        if not order.draft.order_type.rests:
            return  # FAK and FOK never""",
        """        if not order.draft.order_type.rests and order.posts > 9:
            return  # FAK and FOK never""",
    ),
    Mutation(
        "re-post without waiting for the sweep", "U5", "kernel/unknown.py",
        "            and posts.missing and posts.unlisted and not order.present\n",
        "",
    ),
    Mutation(
        "clear an unknown order after some tries", "U6", "kernel/unknown.py",
        """        if posts.waiting or posts.left_wall is None:
            return False
""",
        """        if posts.missing:
            return True
""",
    ),
    Mutation(
        "release a slot that was unknown", "U7", "kernel/state.py",
        "            state.slots_locked.setdefault(lock_key(order.slot), lock)\n",
        "            assert lock\n",
    ),
    Mutation(
        "treat 404 as failure", "U4", "kernel/orders_flow.py",
        """            self.unknown.not_found(order)
""",
        """            self.unknown.not_found(order)
            if order.state is OrderState.UNKNOWN and moved(order.state, "absent"):
                self._close(order, "absent")
                return
""",
    ),
    Mutation(
        "drop trades found by a reconciliation", "ORD-10", "kernel/orders_flow.py",
        """        for trade in event.trades:
            self._trade(trade)
        listed = set()
""",
        """        listed = set()
""",
    ),
    Mutation(
        "forget FAILED", "POS-01", "kernel/orders_flow.py",
        "(TradeStatus.CONFIRMED, TradeStatus.FAILED) and _later(",
        "(TradeStatus.CONFIRMED,) and status is not TradeStatus.FAILED and _later(",
    ),
    Mutation(
        "ignore the reservation", "ORD-03", "kernel/core.py",
        "        return max(min(free, self.fresh.collateral - self.state.balance(\"reserved\") + reserved), 0)\n",
        "        return max(free + self.state.balance(\"reserved\"), 0)\n",
    ),
    Mutation(
        "round instead of truncate", "ORD-04", "model/rounding.py",
        "    return size - size % LOT\n",
        "    return (size + LOT // 2) // LOT * LOT\n",
        "tests/kernel tests/model",
    ),
    Mutation(
        "size a sale by money", "ORD-04", "kernel/exits.py",
        "        room = self.cover(position, sells) - counted\n",
        "        room = position.cost * 10_000 // max(data.book.best(side)[0], 1) - counted\n",
    ),
    Mutation(
        "sell what an earlier sell may still sell", "T3", "kernel/exits.py",
        "        room = floor_lot(self.cover(position, every) - sum(order.open_upper for order in every))\n",
        "        room = floor_lot(self.cover(position, every))\n",
    ),
    Mutation(
        "place before the old one's end is proved", "T4", "kernel/exits.py",
        """        if any(order.state is not OrderState.WORKING for order in sells):
            plan.waiting = "a change is in flight"  # T4
            return
""",
        """        sells = [order for order in sells if order.state is OrderState.WORKING]
""",
    ),
    Mutation(
        "cancel a rest below the minimum", "T6", "kernel/exits.py",
        "        if floor_lot(max(room, 0) + sum(order.open_upper for order in orders)) < entry.market.min_size:\n",
        "        if room < -entry.market.min_size:\n",
    ),
    Mutation(
        "skip the obligation", "EXI-05", "kernel/exits.py",
        """        self.now(condition_id, ExitNow(side, OBLIGATION, "forced_close"), forced=True)
""",
        "",
        "tests/kernel tests/plugins",
    ),
    Mutation(
        "write no obligation at entry", "EXI-05", "kernel/orders_flow.py",
        "            core.record(ObligationSet(core.now, condition_id, side, due))\n",
        "",
    ),
    Mutation(
        "grow a position from a balance", "POS-11", "kernel/reconciliation.py",
        "            self._unexplained(position, doubt.balance - position.size)\n",
        "            self._correct(position, doubt.balance, \"the balance\")\n",
    ),
    Mutation(
        "correct a position on one reading", "POS-02", "kernel/reconciliation.py",
        "        if doubt.swept and core.wall - doubt.since >= AGREE_MS:\n",
        "        if doubt.swept:\n",
    ),
    Mutation(
        "enter while orders and trades are compared", "ORD-10", "kernel/kernel.py",
        "        core.reconciling = True\n",
        "",
    ),
    # --- the plugin platform: no plugin of the simulation misbehaves, so it is not asked ------------------------------
    Mutation(
        "let a plugin raise out of its call", "PLG-05", "extension/table.py",
        "            except BaseException as error:  # a plugin may raise anything; its neighbours must not notice\n",
        "            except Exception as error:\n",
        "tests/extension/test_extension_contract.py::"
        "test_plg_05_a_plugin_that_misbehaves_abstains_and_its_neighbours_do_not_notice", False,
    ),
    Mutation(
        "never put a plugin out of service", "PLG-05", "extension/strikes.py",
        """        self.quarantined = True
        return True
""",
        """        return True
""",
        "tests/extension/test_extension_answers.py", False,
    ),
    Mutation(
        "forget a quarantine with the end of the run", "PLG-05", "kernel/state.py",
        "                state.quarantined[record.plugin] = record.why\n",
        "                pass\n",
        "tests/kernel/test_kernel_plugin_life.py", False,
    ),
    Mutation(
        "take an answer to an older view", "PLG-05, ORD-10", "kernel/kernel.py",
        "        if event.view_seq != data.asked_seq:\n",
        "        if event.view_seq > data.asked_seq:\n",
        "tests/kernel/test_kernel_orders.py tests/kernel/test_kernel_explanations.py", False,
    ),
    Mutation(
        "enter by what a plugin saw before a fill", "ORD-10", "kernel/entries.py",
        "        if event.state_rev != entry.rev:\n",
        "        if event.state_rev > entry.rev:\n",
        "tests/kernel/test_kernel_orders.py tests/kernel/test_kernel_explanations.py", False,
    ),
    Mutation(
        "run code that was never accepted", "SEC-02", "extension/discovery.py",
        "            _refuse_unaccepted(name, source, way.admit)\n",
        "",
        "tests/extension/test_extension_lock.py", False,
    ),
    Mutation(
        "let a process start from other files", "SEC-02", "extension/lock.py",
        "        return \"\" if known is None else differences(known, locked_now(source))\n",
        "        return \"\"\n",
        "tests/extension/test_extension_lock.py", False,
    ),
    Mutation(
        "import other people's code into the host", "SEC-02", "extension/discovery.py",
        "    inline = source.built_in or trusted\n",
        "    inline = True\n",
        "tests/extension/test_extension_discovery.py", False,
    ),
    Mutation(
        "let a stray file take a shipped plugin's place", "PLG-01", "extension/discovery.py",
        "    return len(several) > 1 and several[0].built_in and not several[1].built_in\n",
        "    return False\n",
        "tests/extension/test_extension_discovery.py", False,
    ),
    Mutation(
        "switch on what a person switched off", "CFG-01", "configuration/precedence.py",
        "            table.pop(\"enabled\", None)\n",
        "            pass\n",
        "tests/config/test_config_choices.py", False,
    ),
    Mutation(
        "choose which code runs in the host", "SEC-02", "configuration/choices.py",
        "NOT_CHOSEN: Final = (\"use\", \"trusted\")\n",
        "NOT_CHOSEN: Final = ()\n",
        "tests/config/test_config_choices.py", False,
    ),
    Mutation(
        "write a secret into the log", "LOG-04", "service/logs.py",
        "        record[\"message\"] = self.clean(record[\"message\"])\n",
        "",
        "tests/service/test_service_logs.py", False,
    ),
    Mutation(
        "pass on what a plugin raised with its secret in it", "LOG-04, CFG-02", "extension/handing.py",
        "    raise SecretError(f\"{type(error).__name__}: {clean}\") from None\n",
        "    raise SecretError(f\"{type(error).__name__}: {text}\") from None\n",
        "tests/extension/test_extension_secrets.py", False,
    ),
    Mutation(
        "repeat a secret that stands for its variable's name", "CFG-02", "secret.py",
        "            if (text := getattr(self, place)) and (problem := pasted(place, text)):\n",
        "            if False:\n",
        "tests/extension/test_extension_secrets.py", False,
    ),
    Mutation(
        "act without a relayer key", "SET-03", "kernel/actions.py",
        """        if core.cannot_act:
            return core.cannot_act
""",
        "",
        "tests/kernel/test_kernel_actions.py", simulated=False,
    ),
    Mutation(
        "deploy a wallet by looking", "ORD-22", "venue/polymarket/gateway.py",
        "AsyncSecureClient.create(private_key=self._private_key, environment=environment)",
        "AsyncSecureClient.create(private_key=self._private_key, environment=environment, api_key=api_key)",
        "tests/venue/test_venue_actions.py", simulated=False,
    ),
    Mutation(
        "say the relayer key", "SEC-01", "venue/gatekeeper/worker.py",
        ", *(relayer.secrets if relayer else ())]",
        "]",
        "tests/venue/test_venue_gate_link.py", simulated=False,
    ),
    Mutation(
        "follow a clock that was set", "CON-07", "venue/clock.py",
        "        return min(max(ms, passed - JUMP_MS), passed + JUMP_MS)\n",
        "        return max(ms, passed - JUMP_MS)\n",
        "tests/venue/test_venue_clock.py", simulated=False,
    ),
    Mutation(
        "buy what cannot be counted", "SEC-01", "venue/gatekeeper/policy.py",
        "        if not spent.put(ref, money):\n",
        "        if not spent.put(ref, money) and self.policy.order_max == 0:\n",
        "tests/venue/test_venue_gate_policy.py", simulated=False,
    ),
    Mutation(
        "leave positions alone for want of a free balance", "PER-05", "service/start_permit.py",
        "    if bad and not (guarding and ONLY_ENTRIES.issuperset(bad)):\n",
        "    if bad:\n",
        "tests/service/test_service_start_permit.py", simulated=False,
    ),
    Mutation(
        "prove a kill in a folder without a journal", "ORD-17", "service/direct_kill.py",
        '        return "" if self.state.runs else UNKNOWN\n',
        '        return ""\n',
        "tests/service/test_service_orders.py", simulated=False,
    ),
    Mutation(
        "stop a kill over a line that is not read", "ORD-17", "cli/options.py",
        "    except OSError:\n        with suppress",
        "    except InterruptedError:\n        with suppress",
        "tests/service/test_service_orders.py", simulated=False,
    ),
)
"""In the order of the table."""

SEEDS: Final = "0:8"
HOURS: Final = "0.25"
"""What the simulation gets to find each with."""
