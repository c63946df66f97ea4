# SPDX-License-Identifier: Apache-2.0
"""The whole router over veth against a plain AF_XDP forwarder on the same links and under the same load (`make bench`).

Per scenario (direction and frame sizes) the forwarders take turns for a number of rounds. In its turn each is started, gets
more than it can take (throughput), and in some rounds is searched for its highest rate without loss (NDR). Ratios are
formed within a round and their median is quoted, so that a machine that slows down for a while slows both. The reference
against itself comes first: how far its ratio is from 1 is what a ratio is worth here at the moment. A third forwarder, the
reference with the router's way to transmit, shows which part of the router's rate comes from that.
"""

import argparse
import collections
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time

import results
from testbed import Load, L2Forward, Router, Testbed, resident_memory, wait_until_forwarding

Scenario = collections.namedtuple("Scenario", "direction sizes")
Plan = collections.namedtuple("Plan", "scenarios rounds overload searches trial trials seconds")

ALL = [Scenario("encap", "64"), Scenario("decap", "64"), Scenario("encap", "imix"), Scenario("decap", "imix")]
FULL = Plan(ALL, rounds=10, overload=1.8, searches=4, trial=0.25, trials=12, seconds=700)
QUICK = Plan(ALL[:2], rounds=3, overload=1.2, searches=1, trial=0.25, trials=4, seconds=45)
CHECK = Plan(ALL[:1], rounds=5, overload=1.8, searches=2, trial=0.25, trials=12, seconds=30)
QUICK_CHECK = Plan(ALL[:1], rounds=3, overload=1.2, searches=0, trial=0, trials=0, seconds=10)

SEARCH_WIDTH = 0.03     # of the rate: the search ends when it knows NDR this well
WINDOWS = 6             # of overload in a turn
ATTEMPTS = 6            # of a trial that lost packets
GROSS_LOSS = 0.01       # of the packets, twice running: no pause of the machine, the rate is too high
TUNED = ("--transmit-budget", "128", "--batches", "2")  # as the router: Worker.batchesPerTurn, XDPSocket
DISTURBED = 0.01        # share of the window in which the forwarder was ready to run and another program ran


def overloaded(load, process, plan):
    """More packets than the forwarder can take, in several short windows: the one in which it did best, because all that a machine
    shared with others does to a window is make it worse."""
    windows = [load.run(0, plan.overload / WINDOWS, 0.1, watched=process) for _ in range(WINDOWS)]
    return max(windows, key=lambda result: result["received_mpps"])


def lossless_trial(load, process, rate, seconds):
    """A trial at `rate` in which nothing was lost; None when there is none. One such trial shows what the forwarder can do; a loss may
    be a pause of the machine, so a trial that lost packets is repeated."""
    gross = 0
    for _ in range(ATTEMPTS):
        result = load.run(rate, seconds, watched=process)
        if result["lost"] == 0:
            return result
        gross = gross + 1 if result["lost"] > GROSS_LOSS * result["sent"] else 0
        if gross == 2:
            break
    return None


def search_ndr(load, process, ceiling, plan):
    """Highest rate (Mpps, as received) at which a trial lost nothing, by bisection below `ceiling`; 0 if there is none."""
    low, high, found = 0.0, ceiling * 1.1, 0.0
    while high - low > SEARCH_WIDTH * high and high > 0.02:
        middle = (low + high) / 2
        result = lossless_trial(load, process, middle * 1e6, plan.trial)
        if result:
            low, found = middle, max(found, result["received_mpps"])
        else:
            high = middle
    return found


def take_turn(testbed, scenario, forwarder, plan, searching, directory):
    """Starts `forwarder`, measures it, stops it; a dictionary of figures."""
    process = forwarder.start(testbed, directory)
    load = Load(testbed, scenario, forwarder.output_port(scenario.direction))
    try:
        wait_until_forwarding(load, process, forwarder.name)
        result = overloaded(load, process, plan)
        turn = {key: result[key] for key in ("received_mpps", "offered_mpps", "cpu_ns", "waited", "wrong")}
        turn["memory_mb"] = resident_memory(process.pid)
        if searching:
            turn["ndr_mpps"] = search_ndr(load, process, result["received_mpps"], plan)
            trials = [load.run(turn["ndr_mpps"] * 0.9e6, plan.trial) for _ in range(plan.trials if turn["ndr_mpps"] else 0)]
            turn["below_ndr"] = [(trial["lost"], trial["sent"]) for trial in trials]
        return turn
    finally:
        load.close()
        testbed.stop(process)


def measure(testbed, name, forwarders, plan, directory):
    """Rounds of turns for every scenario, as many as the plan's time allows: {scenario: {forwarder's name: [turn, …]}}."""
    measured = {scenario: {forwarder.name: [] for forwarder in forwarders} for scenario in plan.scenarios}
    deadline = time.monotonic() + plan.seconds
    for number in range(plan.rounds):
        for scenario in plan.scenarios:
            if number > 0 and time.monotonic() > deadline:
                continue
            results.progress(f"{name} {scenario.direction} {scenario.sizes}: round {number + 1} of {plan.rounds}")
            for forwarder in forwarders if number % 2 == 0 else forwarders[::-1]:
                searching = number < plan.searches and forwarder.is_searched
                turn = take_turn(testbed, scenario, forwarder, plan, searching, directory)
                measured[scenario][forwarder.name].append(turn)
    results.progress("")
    return measured


# The rest turns turns into rows.

METRICS = [("received_mpps", "throughput", "Mpps"), ("cpu_ns", "CPU per packet", "ns"), ("ndr_mpps", "NDR", "Mpps")]

# What the router must reach: name and metric of the rows, and the key, relation and limit.
BARS = {("veth/", "throughput"): ("ratio", "≥", 0.95), ("veth/", "NDR"): ("ratio", "≥", 0.95),
        ("veth/", "loss at 0.9 NDR, xtr"): ("value", "≤", 0), ("veth", "resident memory"): ("value", "≤", 64)}


def judged(rows):
    """The rows, those with a bar judged by it."""
    bars = [(row, bar) for row in rows for (name, metric), bar in BARS.items() if row["name"].startswith(name) and row["metric"] == metric]
    met = {id(row): results.with_bar(row, *bar) for row, bar in bars}
    return [met.get(id(row), row) for row in rows]


def below_ndr_row(label, forwarder, turns):
    """What all trials at 0.9 NDR lost together. No value: a turn found no rate. `least` is the loss of the best trial in the worst turn."""
    trials = [trial for turn in turns for trial in turn]
    lossless, lost, sent = sum(lost == 0 for lost, _ in trials), sum(lost for lost, _ in trials), sum(sent for _, sent in trials)
    row = results.row(label, f"loss at 0.9 NDR, {forwarder}", "packets", lost if all(turns) else None)
    least = max(min(lost for lost, _ in turn) for turn in turns) if all(turns) else None
    return row | {"trials": len(trials), "lossless": lossless, "least": least, "lost": lost, "sent": sent,
                  "note": f"{lost / max(1, sent):.1%} of {sent}; {lossless} of {len(trials)} trials lost nothing"}


def rows_of(name, measured, reference, subject):
    rows = []
    for scenario, turns in measured.items():
        label = f"{name}/{scenario.direction}-{scenario.sizes}"
        for key, metric, unit in METRICS:
            # No rate without loss is a rate of 0; without the reference's there is no ratio.
            pairs = [(own[key], its[key]) for own, its in zip(turns[subject], turns[reference]) if key in own and its.get(key)]
            if pairs:
                rows.append(results.paired_row(label, metric, unit, pairs, reference))
        searched = all(any("below_ndr" in turn for turn in turns[forwarder]) for forwarder in (subject, reference))
        for forwarder in (subject, reference) if searched else ():
            rows.append(below_ndr_row(label, forwarder, [turn["below_ndr"] for turn in turns[forwarder] if "below_ndr" in turn]))
        waited = max(turn["waited"] for its in turns.values() for turn in its)
        if waited > DISTURBED:
            note = f"disturbed: other programs took up to {waited:.0%} of a forwarder's CPU"
            rows = [row | {"note": note} if row["name"] == label and row["ratio"] else row for row in rows]
    return rows


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under a minute: fewer rounds, no IMIX")
    parser.add_argument("--xtr", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.build/release/xtr"),
                        help="the router's executable (default: the release build)")
    parser.add_argument("--check", action="store_true", help="only the check of the method: l2forward against itself")
    parser.add_argument("--output", help="where the rows go (default: Results/veth.json, quick runs Results/veth-quick.json)")
    return parser.parse_args()


def run(options):
    plan, check = (QUICK, QUICK_CHECK) if options.quick else (FULL, CHECK)
    record = results.Record("veth", options.output or results.path("veth-quick" if options.quick else "veth"))
    directory = tempfile.mkdtemp(prefix="bench-")
    testbed = Testbed()
    try:
        pair = [L2Forward(), L2Forward("l2forward-again")]
        record.add(rows_of("method", measure(testbed, "method", pair, check, directory), "l2forward", "l2forward-again"))
        if not options.check:
            tuned = L2Forward("l2forward-tuned", TUNED, is_searched=False)
            measured = measure(testbed, "veth", [L2Forward(), Router(options.xtr), tuned], plan, directory)
            record.add(judged(rows_of("veth", measured, "l2forward", "xtr")))
            record.add(rows_of("veth-tuned-reference", measured, "l2forward-tuned", "xtr"))
            memory = max(turn["memory_mb"] for turns in measured.values() for turn in turns["xtr"])
            record.add(judged([results.row("veth", "resident memory", "MB", memory)]))
    except Exception:
        results.show_logs(directory)
        raise
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt this
        testbed.close()
        shutil.rmtree(directory, ignore_errors=True)
    record.finish()


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit(results.impossible("the veth benchmark makes network namespaces: run it as root (sudo make bench)"))
    if (os.cpu_count() or 1) < 2:
        sys.exit(results.impossible("the veth benchmark needs two CPUs: one for the load, one for the forwarder"))
    if not options.check and not os.access(options.xtr, os.X_OK):
        sys.exit(results.impossible(f"no router at {options.xtr}: swift build -c release, or --check for the method alone"))
    options.xtr = os.path.abspath(options.xtr)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # an exception: the testbed is taken down
    start = time.monotonic()
    try:
        run(options)
    except RuntimeError as error:
        sys.exit(f"veth: {error}")
    print(f"took {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
