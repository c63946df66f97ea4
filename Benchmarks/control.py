# SPDX-License-Identifier: Apache-2.0
"""The slow path under load: first packets, misses, a storm of them, a map-server with a million prefixes, and locators that fail
(`make bench`, `make -C Benchmarks control`). README.md says what is measured and how to read it.
"""

import argparse
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time

import registry
import results
from controlbed import PORT, RLOCS, ControlBed, addresses, database, map_server_entry, until, write_two_sites
from failure import measure_failures
from storm import measure_storm
from testbed import resident_memory


def busiest_thread(pid):
    """(ns on a CPU of the thread that has had most, ns of all threads)."""
    used = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            used.append(int(file.read().split()[0]))
    return max(used), sum(used)


def named_thread(pid, part):
    """ns on a CPU of the threads whose name contains `part`."""
    used = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm") as name, open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            used += int(file.read().split()[0]) if part in name.read() else 0
    return used


# First packets

def one_way(sender, receiver, address):
    """ms from host-a to host-b; None when the packet does not arrive within two seconds."""
    start = time.perf_counter()
    sender.sendto(b"?", (address, PORT))
    try:
        receiver.recv(64)
    except TimeoutError:
        return None
    return (time.perf_counter() - start) * 1e3


def measure_first_packets(bed, options):
    """Each EID is a prefix of its own. Its first packet is cold, its second warm: what the first takes longer is the resolution."""
    rows, count = [], 50 if options.quick else 250
    eids = addresses("10.64.0.1", count + 1)
    for kind, proxy in (("map-server-answers", "true"), ("etr-answers", "false")):
        server = bed.start_map_server(write_two_sites([f"{eid}/32" for eid in eids]))
        entry = map_server_entry("xtr-b", "b", f"proxy-reply = {proxy}\n")
        far = bed.start_router("xtr-b", database([f"{eid}/32" for eid in eids], RLOCS), entry)
        near = bed.start_router("xtr-a", database(["10.1.0.0/24"]), map_server_entry("xtr-a", "a"))
        until("the registrations", lambda: len(bed.show("map-server", "registrations")) == count + 2, 20)
        with bed.sender() as sender, bed.receiver(PORT) as receiver:
            until("a first packet", lambda: one_way(sender, receiver, eids[count]) is not None)
            cold, warm = [], []
            for eid in eids[:count]:
                cold.append(one_way(sender, receiver, eid))
                warm.append(one_way(sender, receiver, eid))
                time.sleep(0.005)
        bed.stop(near, far, server)
        arrived = [(first, second) for first, second in zip(cold, warm) if first is not None and second is not None]
        added = sorted(first - second for first, second in arrived)
        name = f"first-packet/{kind}"
        lost = results.row(name, "first packets lost", "packets", cold.count(None))
        rows.append(results.with_bar(lost, "value", "≤", 0) | {"sent": count})
        made = results.row(name, "added by the resolution, median", "ms", statistics.median(added))
        rows.append(results.with_bar(made, "value", "≤", 2) | {"rounds": len(added), "note": f"a warm packet takes "
                    f"{statistics.median(second for _, second in arrived):.3g} ms one way; 90th percentile of the rest "
                    f"{added[len(added) * 9 // 10]:.3g} ms, longest {added[-1]:.3g} ms"})
    return rows


# Misses

def measure_misses(bed, options):
    """Packets to registered EIDs, each a new one, at slightly more a second than is asked for and at far more than can be resolved."""
    rows, state = [], os.path.join(bed.directory, "state.db")
    bed.ip("core", "route", "add", "blackhole", f"{RLOCS[0]}/32")  # the packets have shown what they can when they leave xtr-a
    for rate, seconds in ((22_000, 2 if options.quick else 8), (60_000, 1 if options.quick else 4)):
        count = rate * seconds
        registry.write_state(state, RLOCS[0], count)
        server = bed.start_map_server(lambda path, control: registry.write_configuration(path, control, state))
        near = bed.start_router("xtr-a", database(["10.1.0.0/24"]), "probe-interval = 0\n")
        used = named_thread(near.pid, "NIO"), busiest_thread(server.pid)[0]
        sent = bed.run("host-a", "spread", registry.text(registry.registered(0)), 2, count, rate)
        resolved = bed.show("xtr-a", "status")["mappings"]
        used = (named_thread(near.pid, "NIO") - used[0], busiest_thread(server.pid)[0] - used[1])
        status = bed.show("xtr-a", "control")
        bed.stop(near, server)
        os.unlink(state)
        name = f"misses/{rate // 1000}k-offered"
        made = results.row(name, "resolved", "EIDs/s", resolved / sent["seconds"])
        rows.append(results.with_bar(made, "value", "≥", 20_000) | {
            "note": f"{resolved / sent['sent']:.1%} of {sent['sent']}", "waiting": status["waiting"],
            "unresolved": {reason["reason"]: reason["count"] for reason in status["unresolved"] if reason["count"]}})
        for role, ns in zip(("router's slow path", "map-server"), used):
            rows.append(results.row(name, f"CPU per resolution, {role}", "µs", ns / 1e3 / max(1, resolved)))
    return rows


# The map-server

def measure_map_server(bed, options):
    """A million prefixes registered; requests and registers about random ones, each its own nonce, answers awaited."""
    state, generator = os.path.join(bed.directory, "state.db"), "192.0.2.2"
    registry.write_state(state, RLOCS[0])
    start = time.monotonic()
    server = bed.start_map_server(lambda path, control: registry.write_configuration(path, control, state))
    rows = [results.row("map-server", "start with its state", "s", time.monotonic() - start),
            results.row("map-server", "resident memory", "MB", resident_memory(server.pid)) | {"note": f"{registry.COUNT} prefixes"}]
    source, locator = (int.from_bytes(bytes(map(int, address.split("."))), "big") for address in (generator, RLOCS[0]))
    kinds = [("Map-Requests", 50_000, lambda address, nonce: registry.map_request(address, nonce, source)),
             ("Map-Registers", 20_000, lambda address, nonce: registry.map_register(address, nonce, locator))]
    for kind, bar, make in kinds:
        path = os.path.join(bed.directory, "messages")
        registry.write_messages(path, bar * (2 if options.quick else 8), make)
        before = busiest_thread(server.pid)
        result = bed.run("xtr-a", "exchange", path, generator, "192.0.2.1", 256, 60)
        after = busiest_thread(server.pid)
        os.unlink(path)
        name, lost = f"map-server/{kind}", f"{result['answered']} of {result['sent']} answered"
        own, together = ((now - then) / max(1, result["answered"]) for now, then in zip(after, before))
        # "On one core": what the thread that writes the state file uses counts, too.
        made = results.row(name, "per second of CPU, all threads", "messages/s", 1e9 / together)
        rows.append(results.with_bar(made, "value", "≥", bar) | {"note": lost})
        rows.append(results.row(name, "CPU per message, the event loop's thread", "µs", own / 1e3))
        rows.append(results.row(name, "CPU per message, all threads", "µs", together / 1e3))
        rows.append(results.row(name, "by the clock, generator beside it", "messages/s", result["answered"] / result["seconds"]))
    bed.stop(server)
    return rows


PARTS = {"first": measure_first_packets, "misses": measure_misses, "map-server": measure_map_server, "failure": measure_failures}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=[*PARTS, "storm"], action="append", help="one part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="fewer packets and rounds")
    parser.add_argument("--xtr", default=os.path.join(results.HERE, "../.build/release/xtr"),
                        help="the router's executable (default: the release build)")
    parser.add_argument("--output", help="where the rows go (default: Results/control.json, parts and quick runs Results/control-quick.json)")
    return parser.parse_args()


def run(options):
    whole = not (options.quick or options.only)
    record = results.Record("control", options.output or results.path("control" if whole else "control-quick"))
    chosen = options.only or [*PARTS, "storm"]
    directory = tempfile.mkdtemp(prefix="bench-")
    try:
        for name in chosen:
            results.progress(name)
            if name == "storm":
                record.add(measure_storm(options, directory))
                continue
            bed = ControlBed(options.xtr, directory)
            try:
                record.add(PARTS[name](bed, options))
            finally:
                bed.close()
        results.progress("")
    except Exception:
        results.show_logs(directory)
        raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        shutil.rmtree(directory, ignore_errors=True)
    record.finish()


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit(results.impossible("the control benchmark makes network namespaces: run it as root (sudo make bench)"))
    if not os.access(options.xtr, os.X_OK):
        sys.exit(results.impossible(f"no router at {options.xtr}: swift build -c release"))
    options.xtr = os.path.abspath(options.xtr)
    results.get_ahead()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    start = time.monotonic()
    try:
        run(options)
    except RuntimeError as error:
        sys.exit(f"control: {error}")
    print(f"took {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
