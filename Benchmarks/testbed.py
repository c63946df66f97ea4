# SPDX-License-Identifier: Apache-2.0
"""The testbed of veth.py: two namespaces joined by two veth pairs, a load at one side, a forwarder at the other.

    bench-PID-load                          bench-PID-forwarder
    site-peer  10.1.0.16–31  ────────────▶  site  10.1.0.1      encap: site → core
    core-peer  192.0.2.2     ◀────────────  core  192.0.2.1     decap: core → site

CPU 1 runs the generator and, in softirq, the forwarder's receive side (the steering program, the copy into the socket); CPU 0
runs the forwarder, its transmit side and, in the same softirq, the receiver that counts. Nothing sleeps or is woken while
the load is on, so the rate is what the forwarder's core can do.
"""

import json
import os
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = os.path.join(HERE, ".build-c")
FORWARDER_CPU, LOAD_CPU = 0, 1
MTU = 1600  # carries an IMIX frame with the outer header
SITE, CORE = ("10.1.0.1", 24), ("192.0.2.1", 24)
REMOTE_RLOC = "192.0.2.2"
LOCAL_HOSTS = ("10.1.0.16", 16)     # first address and how many: the site's hosts, each a permanent neighbour
REMOTE_HOSTS = ("10.2.0.0", 4096)   # the other site's, behind REMOTE_RLOC
DISCARD, LISP_DATA = 9, 4341


def shell(*arguments):
    return subprocess.run(arguments, check=True, text=True, capture_output=True).stdout.strip()


class Testbed:
    """The namespaces and links. `close` removes them; nothing else is left on the machine."""

    def __init__(self):
        self.forwarder = f"bench-{os.getpid()}-forwarder"
        self.load = f"bench-{os.getpid()}-load"
        self.processes = []
        shell("ip", "netns", "add", self.forwarder)
        shell("ip", "netns", "add", self.load)
        for name in ("site", "core"):
            self.make_link(name)
        shell("ip", "-n", self.forwarder, "link", "set", "lo", "up")
        for name, (address, length) in (("site", SITE), ("core", CORE)):
            shell("ip", "-n", self.forwarder, "address", "add", f"{address}/{length}", "dev", name)
        self.write(self.forwarder, "/proc/sys/net/ipv4/ip_forward", 1)
        self.set_neighbours()

    def make_link(self, name):
        # One queue at each end: XDP wants as many receive queues as the peer has transmit queues.
        queues = ["numrxqueues", "1", "numtxqueues", "1"]
        shell("ip", "-n", self.forwarder, "link", "add", name, *queues, "type", "veth",
              "peer", "name", f"{name}-peer", *queues, "netns", self.load)
        for namespace, link in ((self.forwarder, name), (self.load, f"{name}-peer")):
            self.write(namespace, f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6", 1)  # no packets but the load's
            shell("ip", "netns", "exec", namespace, "ethtool", "-K", link, "tx", "off", "tso", "off", "gso", "off")
            shell("ip", "-n", namespace, "link", "set", link, "mtu", str(MTU), "up")

    def set_neighbours(self):
        first, count = LOCAL_HOSTS
        prefix, last = first.rsplit(".", 1)
        hosts = [("site", f"{prefix}.{int(last) + i}") for i in range(count)] + [("core", REMOTE_RLOC)]
        for link, address in hosts:
            shell("ip", "-n", self.forwarder, "neighbour", "replace", address, "lladdr", self.mac(self.load, f"{link}-peer"),
                  "dev", link, "nud", "permanent")

    def write(self, namespace, path, value):
        shell("ip", "netns", "exec", namespace, "sh", "-c", f"echo {value} > {path}")

    def mac(self, namespace, link):
        return json.loads(shell("ip", "-n", namespace, "-j", "link", "show", link))[0]["address"]

    def start(self, namespace, *arguments, **options):
        """Starts a program in a namespace, ahead of whatever else runs on the machine; it ends with the testbed."""
        command = ["nice", "-n", "-20", "ip", "netns", "exec", namespace, *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, **options)
        self.processes.append(process)
        return process

    def stop(self, process):
        self.processes.remove(process)
        process.stdin.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self):
        for process in list(self.processes):
            self.stop(process)
        for namespace in (self.forwarder, self.load):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True)


class Load:
    """The generator and receiver (Load/load.c) for one direction and one mix of frame sizes."""

    def __init__(self, testbed, scenario, output_port):
        self.testbed = testbed
        sender, receiver = ("site", "core") if scenario.direction == "encap" else ("core", "site")
        sources, destinations = (LOCAL_HOSTS, REMOTE_HOSTS) if scenario.direction == "encap" else (REMOTE_HOSTS, LOCAL_HOSTS)
        arguments = ["--send", f"{sender}-peer", "--receive", f"{receiver}-peer", "--to", testbed.mac(testbed.forwarder, sender),
                     "--source", "%s,%d" % sources, "--destination", "%s,%d" % destinations, "--size", scenario.sizes,
                     "--expect", str(output_port), "--cpu", str(LOAD_CPU)]
        if scenario.direction == "decap":
            arguments += ["--outer", f"{REMOTE_RLOC},{CORE[0]}"]
        self.process = testbed.start(testbed.load, os.path.join(PROGRAMS, "load"), *arguments, stdout=subprocess.PIPE)
        self.expect("ready")

    def expect(self, word):
        line = self.process.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"load: said {line!r} instead of {word!r}")

    def run(self, rate, seconds, warm_up=0.0, watched=None, storm=()):
        """One run at `rate` packets/s (0: unlimited). With a `watched` process the result has its CPU use in the window. With a `storm`
        (first address as a number, step, count, place) every second packet goes to the next address of these."""
        self.process.stdin.write(" ".join(map(str, (int(rate), seconds, warm_up, *storm))) + "\n")
        self.process.stdin.flush()
        self.expect("begin")
        before = cpu_use(watched.pid) if watched else (0, 0)
        self.expect("end")
        after = cpu_use(watched.pid) if watched else (0, 0)
        result = json.loads(self.process.stdout.readline())
        result["lost"] = result["sent"] - result["received"]
        result["offered_mpps"] = result["window_sent"] / result["window_seconds"] / 1e6
        result["received_mpps"] = result["window_received"] / result["window_seconds"] / 1e6
        result["cpu_ns"] = (after[0] - before[0]) / max(1, result["window_received"])
        result["waited"] = (after[1] - before[1]) / 1e9 / result["window_seconds"]
        return result

    def close(self):
        self.testbed.stop(self.process)


def cpu_use(pid):
    """(ns on a CPU of all threads of a process, ns ready but kept waiting for one of the thread that forwards: the busiest)."""
    threads = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            threads.append([int(field) for field in file.read().split()[:2]])
    return sum(used for used, _ in threads), max(threads)[1]


class L2Forward:
    """The reference: L2Forward/l2forward.c."""

    def __init__(self, name="l2forward", options=(), is_searched=True):
        self.name, self.options, self.is_searched = name, options, is_searched

    def output_port(self, direction):
        return DISCARD if direction == "encap" else LISP_DATA  # what came in, unchanged

    def start(self, testbed, directory):
        process = testbed.start(
            testbed.forwarder, os.path.join(PROGRAMS, "l2forward"), "--cpu", str(FORWARDER_CPU), *self.options,
            "site", testbed.mac(testbed.load, "site-peer"), "core", testbed.mac(testbed.load, "core-peer"),
            stdout=subprocess.PIPE, stderr=open(os.path.join(directory, f"{self.name}.log"), "a"))
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{self.name} did not start: see {self.name}.log")
        return process


class Router:
    """`xtr run` with one mapping and one local EID-prefix."""

    CONFIGURATION = """\
[router]
control-socket = "{directory}/control.sock"
poll = "adaptive"

[[interface]]
name = "site"
role = "site"

[[interface]]
name = "core"
role = "core"

[[database]]
eid-prefix = "10.1.0.0/16"

[[mapping]]
eid-prefix = "10.2.0.0/16"
rlocs = [{{ address = "{rloc}", priority = 1, weight = 100 }}]
"""

    def __init__(self, executable):
        self.name, self.executable, self.is_searched = "xtr", executable, True

    def output_port(self, direction):
        return LISP_DATA if direction == "encap" else DISCARD

    def start(self, testbed, directory):
        path = os.path.join(directory, "router.toml")
        with open(path, "w") as file:
            file.write(self.CONFIGURATION.format(directory=directory, rloc=REMOTE_RLOC))
        log = open(os.path.join(directory, "xtr.log"), "a")
        return testbed.start(testbed.forwarder, "taskset", "-c", str(FORWARDER_CPU), self.executable, "run", path,
                             stdout=log, stderr=log)


def wait_until_forwarding(load, process, name, seconds=10):
    deadline = time.monotonic() + seconds
    while load.run(2000, 0.02)["received"] == 0:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} does not forward")


def resident_memory(pid):
    """MB in memory, huge pages included: the kernel counts those apart."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return sum(int(fields[key].split()[0]) for key in ("VmRSS", "HugetlbPages") if key in fields) / 1024
