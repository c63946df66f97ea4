# SPDX-License-Identifier: Apache-2.0
"""Locators that fail, a part of control.py: how long traffic is interrupted until it goes to the next locator."""

import random
import threading
import time

import results
from controlbed import PORT, RLOCS, database, map_server_entry, until, write_two_sites

PROBE_SECONDS = 2
PAUSE = 0.05  # seconds without a packet that are no pause of the machine
AT_ONCE = 0.1
EID = "10.64.0.1"

# What breaks, what mends it (namespace and words of `ip`), bar in seconds.
FAILURES = {
    "blackhole": ([("core", "route add blackhole 198.51.100.2/32")], [("core", "route del blackhole 198.51.100.2/32")], PROBE_SECONDS + 1),
    "icmp-unreachable": (
        [("core", "route add unreachable 198.51.100.2/32")], [("core", "route del unreachable 198.51.100.2/32")], AT_ONCE),
    "own-link-down": (
        [("core", "link set core-a1 down")],
        [("core", "link set core-a1 up"), ("xtr-a", "route replace 198.51.100.0/24 via 192.0.2.1")], AT_ONCE),
    "far-link-down": (
        [("xtr-b", "link set b1 down")],
        [("xtr-b", "link set b1 up"), ("xtr-b", "route replace 192.0.2.0/24 via 198.51.100.1")], PROBE_SECONDS + 1),
}


class Stream:
    """A packet a millisecond from host-a to one EID of host-b; notes when each arrives."""

    def __init__(self, bed, eid):
        self.arrivals, self.ending = [], False
        self.sender, self.receiver, self.eid = bed.sender(), bed.receiver(PORT), eid
        self.threads = [threading.Thread(target=work) for work in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        while not self.ending:
            try:
                self.sender.sendto(b"?", (self.eid, PORT))
            except OSError:
                pass  # an ICMP error about an earlier one
            time.sleep(0.001)

    def receive(self):
        while not self.ending:
            try:
                self.receiver.recv(64)
                self.arrivals.append(time.monotonic())
            except TimeoutError:
                pass

    def flows(self):
        return bool(self.arrivals) and time.monotonic() - self.arrivals[-1] < PAUSE

    def interruption(self, since):
        """Seconds from `since` to the end of the last pause; without any the longest gap between two packets."""
        arrivals = [since] + [arrival for arrival in self.arrivals if arrival >= since]
        gaps = [(later - earlier, later - since) for earlier, later in zip(arrivals, arrivals[1:])]
        return max((end for gap, end in gaps if gap > PAUSE), default=max(gaps)[0])

    def close(self):
        self.ending = True
        for thread in self.threads:
            thread.join()
        self.sender.close()
        self.receiver.close()


def uses_first(bed):
    probes = {probe["rloc"]: probe for probe in bed.show("xtr-a", "probes")}
    return all(rloc in probes and probes[rloc]["reachable"] and probes[rloc]["state"] == "up" for rloc in RLOCS)


def fail(bed, stream, breaks, mends):
    """Breaks the way to the first locator at some moment of the probes' cycle; how long traffic was interrupted. Goes on for two cycles
    more, in which nothing may be interrupted again."""
    until("both locators", lambda: uses_first(bed), 30)
    time.sleep(0.5 + random.uniform(0, PROBE_SECONDS))
    started = time.monotonic()
    for name, words in breaks:
        bed.ip(name, *words.split())
    try:
        time.sleep(2 * PROBE_SECONDS + 1)
        until("traffic on the second locator", stream.flows)
        return stream.interruption(started)
    finally:
        for name, words in mends:
            bed.ip(name, *words.split())


def measure_failures(bed, options):
    server = bed.start_map_server(write_two_sites([f"{EID}/32"]))
    far = bed.start_router("xtr-b", database([f"{EID}/32"], RLOCS), map_server_entry("xtr-b", "b"))
    near = bed.start_router("xtr-a", database(["10.1.0.0/24"]), f"probe-interval = {PROBE_SECONDS}\n" + map_server_entry("xtr-a", "a"))
    until("the registrations", lambda: len(bed.show("map-server", "registrations")) == 2, 20)
    rows, stream = [], Stream(bed, EID)
    try:
        for name, (breaks, mends, bar) in FAILURES.items():
            times = [fail(bed, stream, breaks, mends) for _ in range(2 if options.quick else 5)]
            made = results.row(f"failure/{name}", "interruption, longest", "s", max(times))
            rows.append(results.with_bar(made, "value", "≤", bar) | {
                "rounds": len(times), "note": "each: " + ", ".join(f"{seconds:.3g}" for seconds in times)})
    finally:
        stream.close()
    bed.stop(near, far, server)
    return rows
