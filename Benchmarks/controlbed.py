# SPDX-License-Identifier: Apache-2.0
"""The testbed of control.py: two sites, a core with the map-server in it, two ways through the core.

     host-a ── xtr-a ══ core ══ xtr-b ── host-b
     10.1.0.10      a1, a2  b1, b2          everything in 10.64.0.0/11

Site B's EIDs are behind one gateway, so that nothing but the mapping of a new EID has to be found. Site A's router reaches b1's address by
its first link alone and b2's by its second; site B's router reaches a1's address by either link.
"""

import ctypes
import ipaddress
import json
import os
import signal
import socket
import subprocess
import time

from testbed import PROGRAMS, shell

# link: ((namespace, interface, address), (namespace, interface, address)), all /24
LINKS = [
    (("host-a", "eth0", "10.1.0.10"), ("xtr-a", "site", "10.1.0.1")),
    (("xtr-a", "a1", "192.0.2.2"), ("core", "core-a1", "192.0.2.1")),
    (("xtr-a", "a2", "198.18.0.2"), ("core", "core-a2", "198.18.0.1")),
    (("xtr-b", "b1", "198.51.100.2"), ("core", "core-b1", "198.51.100.1")),
    (("xtr-b", "b2", "203.0.113.2"), ("core", "core-b2", "203.0.113.1")),
    (("xtr-b", "site", "10.9.0.1"), ("host-b", "eth0", "10.9.0.2")),
]
ROUTES = [
    ("host-a", "default via 10.1.0.1"), ("host-b", "default via 10.9.0.1"), ("host-b", "local 10.64.0.0/11 dev lo"),
    ("xtr-b", "10.64.0.0/11 via 10.9.0.2"),
    ("xtr-a", "198.51.100.0/24 via 192.0.2.1"), ("xtr-a", "203.0.113.0/24 via 198.18.0.1"),
    ("xtr-b", "192.0.2.0/24 via 198.51.100.1"), ("xtr-b", "198.18.0.0/24 via 203.0.113.1"),
    ("xtr-b", "192.0.2.0/24 via 203.0.113.1 metric 100"),
]
RLOCS = ("198.51.100.2", "203.0.113.2")  # of site B, by priority
MAP_SERVER = {"xtr-a": "192.0.2.1", "xtr-b": "198.51.100.1"}
MTU = 1600
PORT = 7000  # of the packets between the hosts

CLONE_NEWNET = 0x40000000


def in_namespace(name, make):
    """What `make` returns, called in the namespace: sockets stay where they were made."""
    libc = ctypes.CDLL(None, use_errno=True)
    own, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"entering {name}")
        try:
            return make()
        finally:
            libc.setns(own, CLONE_NEWNET)
    finally:
        os.close(own)
        os.close(there)


def until(what, holds, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {seconds:g} s for {what}")
        time.sleep(0.02)


class ControlBed:
    """Namespaces, links and the programs in them; `close` removes all."""

    def __init__(self, xtr, directory):
        self.xtr, self.directory, self.processes = xtr, directory, []
        self.names = sorted({end[0] for link in LINKS for end in link})
        for name in self.names:
            shell("ip", "netns", "add", self.namespace(name))
            shell("ip", "-n", self.namespace(name), "link", "set", "lo", "up")
        try:
            for first, second in LINKS:
                self.connect(first, second)
            for name, route in ROUTES:
                self.ip(name, "route", "add", *route.split())
            for name in ("xtr-a", "core", "xtr-b"):
                self.write(name, "net/ipv4/ip_forward", 1)
        except Exception:
            self.close()
            raise

    def namespace(self, name):
        return f"bench-{os.getpid()}-{name}"

    def ip(self, name, *arguments):
        return shell("ip", "-n", self.namespace(name), *arguments)

    def write(self, name, setting, value):
        shell("ip", "netns", "exec", self.namespace(name), "sh", "-c", f"echo {value} > /proc/sys/{setting}")

    def connect(self, first, second):
        queues = ["numrxqueues", "1", "numtxqueues", "1"]
        shell("ip", "-n", self.namespace(first[0]), "link", "add", first[1], *queues, "type", "veth",
              "peer", "name", second[1], *queues, "netns", self.namespace(second[0]))
        for name, interface, address in (first, second):
            self.write(name, f"net/ipv6/conf/{interface}/disable_ipv6", 1)
            shell("ip", "netns", "exec", self.namespace(name), "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off")
            self.ip(name, "address", "add", f"{address}/24", "dev", interface)
        for name, interface, _ in (first, second):
            self.ip(name, "link", "set", interface, "mtu", str(MTU), "up")

    # Programs

    def start(self, name, *arguments, label):
        log = open(os.path.join(self.directory, f"{label}.log"), "w")  # anew: readiness is read from it
        command = ["nice", "-n", "-20", "ip", "netns", "exec", self.namespace(name), *arguments]  # ahead of whatever else runs here
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def stop(self, *processes):
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            self.processes.remove(process)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def run(self, name, *arguments):
        """Of .build-c/control: its result."""
        program = os.path.join(PROGRAMS, "control")
        command = ["nice", "-n", "-20", "ip", "netns", "exec", self.namespace(name), program, *map(str, arguments)]
        return json.loads(shell(*command))

    def control_socket(self, label):
        return os.path.join(self.directory, f"{label}.sock")

    def show(self, label, what):
        return json.loads(shell(self.xtr, "show", what, "--json", "--socket", self.control_socket(label)))

    def answers(self, label):
        command = [self.xtr, "show", "control", "--socket", self.control_socket(label)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def start_map_server(self, write):
        """`write(path, control_socket)` makes the file."""
        path = os.path.join(self.directory, "map-server.toml")
        write(path, self.control_socket("map-server"))
        process = self.start("core", self.xtr, "map-server", path, label="map-server")
        log = os.path.join(self.directory, "map-server.log")
        until("the map-server", lambda: process.poll() is not None or "map-server on" in open(log).read(), 60)
        if process.poll() is not None:
            raise RuntimeError("the map-server did not start: see map-server.log")
        return process

    def start_router(self, name, database, mapping_system):
        path = os.path.join(self.directory, f"{name}.toml")
        links = ("a1", "a2") if name == "xtr-a" else ("b1", "b2")
        text = f'[router]\ncontrol-socket = "{self.control_socket(name)}"\n\n[[interface]]\nname = "site"\nrole = "site"\n'
        text += "".join(f'\n[[interface]]\nname = "{link}"\nrole = "core"\n' for link in links)
        text += f'\n{database}\n[mapping-system]\nmap-resolvers = ["{MAP_SERVER[name]}"]\n{mapping_system}'
        with open(path, "w") as file:
            file.write(text)
        process = self.start(name, self.xtr, "run", path, label=name)
        until(name, lambda: process.poll() is not None or self.answers(name), 20)
        if process.poll() is not None:
            raise RuntimeError(f"{name} did not start: see {name}.log")
        return process

    def sender(self):
        """A socket of host-a."""
        return in_namespace(self.namespace("host-a"), lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def receiver(self, port):
        """A socket of host-b, for every EID there."""
        def make():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind(("0.0.0.0", port))
            made.settimeout(2)
            return made
        return in_namespace(self.namespace("host-b"), make)

    def close(self):
        self.stop(*list(self.processes))
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", self.namespace(name)], capture_output=True)


def map_server_entry(name, key, more=""):
    return f'\n[[mapping-system.map-server]]\naddress = "{MAP_SERVER[name]}"\nkey = "{key}"\n{more}'


def database(prefixes, rlocs=None):
    """[[database]] tables."""
    locators = ", ".join(f'{{ address = "{rloc}", priority = {number + 1}, weight = 100 }}' for number, rloc in enumerate(rlocs or []))
    entry = f"rlocs = [{locators}]\n" if rlocs else ""
    return "".join(f'[[database]]\neid-prefix = "{prefix}"\n{entry}\n' for prefix in prefixes)


def addresses(first, count):
    start = int(ipaddress.ip_address(first))
    return [str(ipaddress.ip_address(start + number)) for number in range(count)]


def write_two_sites(eids):
    """What writes the configuration of a map-server for both sites; site B may register these prefixes."""
    def write(path, control_socket):
        prefixes = "".join(f'[[site.eid-prefix]]\neid-prefix = "{eid}"\n' for eid in eids)
        with open(path, "w") as file:
            file.write(f'[map-server]\ncontrol-socket = "{control_socket}"\n\n[[site]]\nname = "a"\nkey = "a"\n'
                       f'[[site.eid-prefix]]\neid-prefix = "10.1.0.0/24"\n\n[[site]]\nname = "b"\nkey = "b"\n{prefixes}')
    return write
