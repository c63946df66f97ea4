# SPDX-License-Identifier: Apache-2.0
"""Packets as scapy makes them, the LISP header that scapy lacks, and a group of fixtures. Used by the tables of encapsulation.py
and decapsulation.py."""

from scapy.fields import BitField, ByteField, ThreeBytesField, XBitField
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

ROUTER_MAC, SENDER_MAC = "02:00:00:00:0a:02", "02:00:00:00:0a:01"


class LISP(Packet):
    """RFC 9300 5.1 and 5.3, with an instance ID: I = 1, or all of the second word 0."""
    name = "LISP"
    fields_desc = [BitField("N", 0, 1), BitField("L", 0, 1), BitField("E", 0, 1), BitField("V", 0, 1), BitField("I", 0, 1),
                   BitField("R", 0, 1), BitField("KK", 0, 2), XBitField("nonce", 0, 24), ThreeBytesField("instance", 0),
                   ByteField("lsb", 0)]

    @classmethod
    def of(cls, instance):
        return cls(I=1, instance=instance) if instance else cls()


def ipv4(source, destination, layer=None, **fields):
    """An IPv4 packet around `layer` (a UDP datagram unless told), whose checksums scapy computes."""
    layer = layer if layer is not None else UDP(sport=5001, dport=9) / b"xtr fixture"
    number = {UDP: 17, TCP: 6, ICMP: 1}.get(type(layer), 0)
    payload = bytes(IP(src=source, dst=destination) / layer)[20:]
    return IP(**({"src": source, "dst": destination, "proto": number, "id": 0x1234, "flags": "DF"} | fields)) / Raw(payload)


def ipv6(source, destination, layer=None, **fields):
    """The same in IPv6; extension headers are part of `layer`."""
    layer = layer if layer is not None else UDP(sport=5001, dport=9) / b"xtr fixture"
    whole = IPv6(src=source, dst=destination) / layer
    built = bytes(whole)
    # With extension headers the payload begins with them: their number is where scapy put it.
    return IPv6(**({"src": source, "dst": destination, "nh": built[6]} | fields)) / Raw(built[40:])


def life(packet):
    return packet.ttl if packet.version == 4 else packet.hlim


def traffic_class(packet):
    return packet.tos if packet.version == 4 else packet.tc


def changed(packet, timeToLive, trafficClass=None):
    """The packet with another TTL (and class), and the checksum that scapy computes for that."""
    packet = packet.copy()
    if isinstance(packet, IP):
        packet.ttl = timeToLive
        packet.tos = packet.tos if trafficClass is None else trafficClass
    else:
        packet.hlim = timeToLive
        packet.tc = packet.tc if trafficClass is None else trafficClass
    return packet


def with_field(packet, **fields):
    packet = packet.copy()
    for name, value in fields.items():
        setattr(packet, name, value)
    return packet


def with_header_checksum(wanted, packet):
    """The packet with the identification that makes its header checksum what is wanted."""
    total = 0xFFFF - int.from_bytes(bytes(with_field(packet, id=0))[10:12], "big")
    packet = with_field(packet, id=(0xFFFF - wanted - total) % 0xFFFF)
    assert bytes(packet)[10:12] == wanted.to_bytes(2, "big")
    return packet


def frame(packet, vlan=None, priority=0, type=None, to=ROUTER_MAC, source=SENDER_MAC, padding=b""):
    """An Ethernet frame around a packet, or around octets, then with a type."""
    type = type if type is not None else 0x86DD if isinstance(packet, IPv6) else 0x0800
    tag = b"" if vlan is None else bytes(Dot1Q(vlan=vlan, prio=priority, type=type))
    header = Ether(dst=to, src=source, type=type if vlan is None else 0x8100)
    return bytes(header) + tag + bytes(packet) + padding


def flow(instance, packet):
    """What names a packet's flow (RFC 9300 section 12): the 5-tuple, or the addresses of later fragments."""
    number, payload, name = None, packet[Raw].load, f"{instance} {packet.src} {packet.dst}"
    if isinstance(packet, IP):
        if packet.frag:
            return name
        number = packet.proto
    else:
        number = packet.nh
        while number in (0, 43, 44, 60):
            if number == 44 and int.from_bytes(payload[2:4], "big") >> 3:
                return name
            length = 8 if number == 44 else 8 * (payload[1] + 1)
            number, payload = payload[0], payload[length:]
    return f"{name} {number}" + (f" {payload[:4].hex()}" if number in (6, 17, 132) and len(payload) >= 4 else "")


class Group:
    """Fixtures that are judged under the same settings: captures, and rows of the table."""

    def __init__(self, name, **settings):
        self.name, self.settings = name, settings
        self.rows, self.frames, self.sent, self.handed = [], [], [], []
        self.totals = {"encapsulated": 0, "decapsulated": 0}

    def add(self, name, port, octets, verdict, output=None, slowPath=None, counted=None, byteCount=0, **more):
        """`output` is the frame to be transmitted, `slowPath` the packet that the slow path gets; `counted` is the counter that
        counts `byteCount` bytes: (instance, prefix, locator)."""
        assert name not in [row["name"] for row in self.rows], name
        row = {"name": name, "port": port, "verdict": verdict} | {key: value for key, value in more.items() if value is not None}
        for key, packet, capture in (("output", output, self.sent), ("slowPath", slowPath, self.handed)):
            if packet is not None:
                row[key] = len(capture)
                capture.append(bytes(packet))
        if counted:
            instance, prefix, locator = counted
            row["counted"] = {"instance": instance, "prefix": prefix, "locator": locator, "bytes": byteCount}
        self.frames.append(octets)
        self.rows.append(row)

    def table(self):
        """What fixtures.json says of the group, with the sums that its packets make."""
        verdicts, counters = {}, {}
        for row in self.rows:
            verdicts[row["verdict"]] = verdicts.get(row["verdict"], 0) + 1
            if counted := row.get("counted"):
                key = (counted["instance"], counted["prefix"], counted["locator"])
                packets, octets = counters.get(key, (0, 0))
                counters[key] = (packets + 1, octets + counted["bytes"])
        sums = [{"instance": i, "prefix": prefix, "locator": locator, "packets": packets, "bytes": octets}
                for (i, prefix, locator), (packets, octets) in sorted(counters.items())]
        return {"name": self.name, "settings": self.settings, "packets": self.rows,
                "totals": self.totals | {"verdicts": dict(sorted(verdicts.items())), "counters": sums}}
