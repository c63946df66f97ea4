# SPDX-License-Identifier: Apache-2.0
"""The miss storm of control.py, on the links and with the load of veth.py: an established flow at 0.4 of the router's highest rate without
loss, and as many packets a second of which each has a destination that nobody has asked for or registered.
"""

import os

import registry
import results
from controlbed import until
from testbed import CORE, FORWARDER_CPU, REMOTE_RLOC, Load, Router, Testbed, resident_memory, shell, wait_until_forwarding
from veth import FULL, QUICK, Scenario, overloaded, search_ndr

ENCAP = Scenario("encap", "64")
SHARE = 0.4             # of the NDR, each of the two
MEMORY_LIMIT_MB = 64    # over idle
# What the storm's destinations are: first, step, how many.
STORMS = {
    "silent": (11 << 24, 1, 1 << 24),                                       # the map-resolver does not answer
    "holes": (registry.FIRST, 2, registry.COUNT),  # each a hole of one address, answered as that
}


class ResolvingRouter(Router):
    """The router of veth.py with a map-resolver."""

    CONFIGURATION = Router.CONFIGURATION + '\n[mapping-system]\nmap-resolvers = ["{rloc}"]\n'


def flow_loss(load, rate, seconds, storm=()):
    """Packets of the flow lost and sent, and the storm's; half of all packets are the storm's when there is one."""
    result = load.run(rate, seconds, storm=storm)
    return result["sent"] - result["storm"] - result["received"], result["sent"] - result["storm"], result["storm"]


def peak_memory(pid):
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return sum(int(fields[key].split()[0]) for key in ("VmHWM", "HugetlbPages") if key in fields) / 1024


def start_map_server(testbed, xtr, directory):
    """Beside the load, at the other site's RLOC."""
    shell("ip", "-n", testbed.load, "address", "add", f"{REMOTE_RLOC}/{CORE[1]}", "dev", "core-peer")
    state, path = os.path.join(directory, "storm.db"), os.path.join(directory, "map-server.toml")
    registry.write_state(state, REMOTE_RLOC)
    registry.write_configuration(path, os.path.join(directory, "map-server.sock"), state)
    log = open(os.path.join(directory, "map-server.log"), "w")
    process = testbed.start(testbed.load, "taskset", "-c", str(FORWARDER_CPU), xtr, "map-server", path, stdout=log, stderr=log)
    until("the map-server", lambda: "map-server on" in open(log.name).read(), 90)
    return process


def measure_storm(options, directory):
    plan, testbed, rows = QUICK if options.quick else FULL, Testbed(), []
    try:
        for kind, storm in STORMS.items():
            server = start_map_server(testbed, options.xtr, directory) if kind == "holes" else None
            router = ResolvingRouter(options.xtr).start(testbed, directory)
            load = Load(testbed, ENCAP, 4341)
            wait_until_forwarding(load, router, "xtr")
            ndr = search_ndr(load, router, overloaded(load, router, plan)["received_mpps"], plan)
            rows += storm_rows(f"storm/{kind}", load, router, ndr, storm, plan)
            load.close()
            testbed.stop(router)
            if server:
                testbed.stop(server)
    finally:
        testbed.close()
    return rows


def storm_rows(name, load, router, ndr, storm, plan):
    """The flow alone at the same sum of rates first: what the machine loses anyway. The row judges all trials together; the note has each."""
    first, step, count = storm
    rate, trials = 2 * SHARE * ndr * 1e6, plan.trials
    alone = [flow_loss(load, rate, plan.trial) for _ in range(trials)]
    idle = resident_memory(router.pid)
    beside = [flow_loss(load, rate, plan.trial, (first, step, count, trial * count // trials)) for trial in range(trials)]
    memory = max(peak_memory(router.pid), resident_memory(router.pid)) - idle
    lost = [lost for lost, _, _ in beside]
    made = results.row(name, "flow's packets lost, all trials", "packets", sum(lost))
    before = ", ".join(str(lost) for lost, _, _ in alone)
    note = (f"NDR {ndr:.3g} Mpps; {beside[0][2] / plan.trial:.0f} new destinations a second; "
            f"trials lost {', '.join(map(str, lost))} of {beside[0][1]}, "
            f"without the storm at the same rate {before} of {alone[0][1]}")
    return [results.with_bar(made, "value", "≤", 0) | {"note": note},
            results.with_bar(results.row(name, "memory over idle", "MB", memory), "value", "≤", MEMORY_LIMIT_MB)]
