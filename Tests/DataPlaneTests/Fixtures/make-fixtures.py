#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the captures and the table that PcapFixtureTests.swift reads: packets, and what a LISP router has to make of them, by an
implementation that shares nothing with the router (scapy, Debian's python3-scapy). It may be run again at any time and writes the
same bytes each time; with --check it writes nothing and exits 1 when the files differ. The tests do not need it.

For each group of packets:
    NAME-in.pcap         frames as they arrive
    NAME-out.pcap        frames as they are transmitted
    NAME-slow-path.pcap  IP packets as the slow path gets them: punts, and drops that earn an ICMP error
fixtures.json says how the router is set up, and for every frame of NAME-in.pcap in its order: name, port, verdict, the
place of its output in the other captures, the counter it counts in; and what all counters have to say in the end.
"""

import io
import json
import pathlib
import re
import sys

from scapy.config import conf
from scapy.utils import RawPcapWriter

import decapsulation
import encapsulation
import network

HERE = pathlib.Path(__file__).resolve().parent
ETHERNET, RAW_IP = 1, 101  # link types


def capture(packets, link_type):
    """A capture in the classic format; packet i is taken in second i."""
    file = io.BytesIO()
    file.close = lambda: None
    writer = RawPcapWriter(file, linktype=link_type, endianness="<", snaplen=65535)
    writer.write_header(None)
    for second, packet in enumerate(packets):
        writer.write_packet(packet, sec=second, usec=0)
    writer.flush()
    return file.getvalue()


def drop_reasons():
    """The router's names for its drops: a packet is listed when its reason exists."""
    source = HERE.parents[2] / "Sources/DataPlane/State/Verdict.swift"
    return re.findall(r'case \.\w+: "([a-z0-9-]+)"', source.read_text(encoding="utf-8"))


def table(groups):
    """fixtures.json: a line for each thing."""
    def lines(things):
        return ",\n".join(f"      {json.dumps(thing)}" for thing in things)

    parts = []
    for group in map(lambda group: group.table(), groups):
        parts.append(f'  {{"name": {json.dumps(group["name"])}, "settings": {json.dumps(group["settings"])},\n'
                     f'    "totals": {json.dumps(group["totals"])},\n    "packets": [\n{lines(group["packets"])}\n    ]}}')
    return (f'{{"ports": [\n{lines(network.PORTS)}\n],\n"mappings": [\n{lines(network.MAPPINGS)}\n],\n"groups": [\n'
            + ",\n".join(parts) + "\n]}\n").encode()


def main():
    conf.verb = 0
    groups = [group for direction in (encapsulation, decapsulation) for group in direction.groups(drop_reasons())]
    files = {"fixtures.json": table(groups)}
    for group in groups:
        files[f"{group.name}-in.pcap"] = capture(group.frames, ETHERNET)
        files[f"{group.name}-out.pcap"] = capture(group.sent, ETHERNET)
        files[f"{group.name}-slow-path.pcap"] = capture(group.handed, RAW_IP)
    differing = 0
    for name, octets in sorted(files.items()):
        path = HERE / name
        if not path.exists() or path.read_bytes() != octets:
            differing += 1
            print(f"{name}: {len(octets)} bytes" + (" differ" if "--check" in sys.argv else ""))
            if "--check" not in sys.argv:
                path.write_bytes(octets)
    count = sum(len(group.rows) for group in groups)
    print(f"{count} packets in {len(groups)} groups, {len(files)} files, {differing} changed")
    return 1 if differing and "--check" in sys.argv else 0


sys.exit(main())
