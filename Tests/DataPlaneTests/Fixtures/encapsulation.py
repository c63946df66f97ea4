# SPDX-License-Identifier: Apache-2.0
"""What an ITR has to do with the packets of its site (RFC 9300 5.3, 7.2, 12; RFC 6040 4.1; RFC 9301 5.4), as tables for
make-fixtures.py. The outer UDP source port and IPv6 flow label are the router's choice: here they are 0xC000 and 0."""

from scapy.layers.inet import ICMP, IP, IPOption_NOP, IPOption_RR, IPOption_Router_Alert, TCP, UDP
from scapy.layers.inet6 import (ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting, PadN, RouterAlert)
from scapy.packet import Raw

from network import BOTH, CORE, CORE_MAC, LARGEST_INSTANCE, NEXT_HOP_MAC, OWN, SITE, TAGGED, mapping
from packets import LISP, Group, changed, flow, frame, ipv4, ipv6, life, traffic_class, with_field, with_header_checksum

FOURTH, SIXTH = "10.2.0.0/16", "2001:db8:b::/48"   # behind an IPv4 RLOC (in instance 7 behind an IPv6 one)
FOURTH_OVER_6, SIXTH_OVER_6 = "10.3.0.0/16", "2001:db8:c::/48"
VLANS = {7: 7, LARGEST_INSTANCE: 4094, 30: 30}  # of the port that takes tagged frames


def to4(layer=None, to="10.2.0.7", source="10.1.0.5", **fields):
    return ipv4(source, to, layer, **fields)


def to6(layer=None, to="2001:db8:b::7", source="2001:db8:a::5", **fields):
    return ipv6(source, to, layer, **fields)


def encapsulated(packet, locator, instance=0, copiesECN=True, checksum=0):
    """The outer packet; TTL and class are the inner ones, the inner packet has one hop less."""
    inner = changed(packet, life(packet) - 1)
    lifetime = life(packet) - 1
    outer_class = traffic_class(packet) if copiesECN else traffic_class(packet) & 0xFC
    if ":" in locator["peer"]:
        outer = IPv6(src=OWN[6], dst=locator["peer"], hlim=lifetime, tc=outer_class, nh=17)
    else:
        outer = IP(src=OWN[4], dst=locator["peer"], ttl=lifetime, tos=outer_class, id=0, flags="DF", proto=17)
    return outer / UDP(sport=0xC000, dport=locator["port"], chksum=checksum) / LISP.of(instance) / Raw(bytes(inner))


class Encapsulation(Group):
    def goes(self, name, packet, prefix=FOURTH, instance=0, port=None, vlan=None, priority=0, padding=b"", locator=0,
             written=None):
        """The packet is encapsulated towards the prefix's locator; or handed over whole where the next hop is not resolved. It came
        with the header checksum `written`, if that is given."""
        port, vlan = self.way_in(port, vlan, instance)
        choice = mapping(instance, prefix)["locators"][locator]
        outer = encapsulated(packet, choice, instance, self.settings.get("copiesECN", True),
                             None if self.settings.get("computesUDPChecksum") and ":" in choice["peer"] else 0)
        if choice["resolved"]:
            verdict = f"transmit({CORE})"
            sent = {"output": frame(outer, choice["vlan"], to=NEXT_HOP_MAC, source=CORE_MAC)}
        else:
            verdict, sent = "punt(outer-neighbour)", {"slowPath": outer}
        self.totals["encapsulated"] += 1
        arriving = packet if written is None else with_field(packet, chksum=written)
        self.add(name, port, frame(arriving, vlan, priority, padding=padding), verdict, **sent, flow=flow(instance, packet),
                 counted=(instance, prefix, locator), byteCount=len(packet), instance=instance)

    def stays(self, name, packet, verdict, instance=0, port=None, vlan=None, padding=b"", mtu=None):
        """The packet goes to the slow path as it came: to be forwarded, reported, or answered with an ICMP error."""
        port, vlan = self.way_in(port, vlan, instance)
        self.add(name, port, frame(packet, vlan, padding=padding), verdict, slowPath=packet, instance=instance, mtu=mtu)

    def way_in(self, port, vlan, instance):
        return (SITE if instance == 0 else TAGGED) if port is None else port, VLANS.get(instance) if vlan is None else vlan


FAMILIES = [("IPv4 over IPv4", to4(), FOURTH), ("IPv6 over IPv4", to6(), SIXTH),
            ("IPv4 over IPv6", to4(to="10.3.0.7"), FOURTH_OVER_6), ("IPv6 over IPv6", to6(to="2001:db8:c::7"), SIXTH_OVER_6)]


def with_outer_checksum_0():
    """A packet whose outer IPv4 header sums up to 0xFFFF."""
    locator = mapping(0, FOURTH)["locators"][0]
    for lifetime in range(2, 256):
        total = 0xFFFF - int.from_bytes(bytes(encapsulated(to4(Raw(b""), proto=253, ttl=lifetime), locator))[10:12], "big")
        if 0xFFFF - total < 1400:
            packet = to4(Raw(bytes(0xFFFF - total)), proto=253, ttl=lifetime)
            assert bytes(encapsulated(packet, locator))[10:12] == b"\0\0"
            return packet
    raise AssertionError("no such packet")


def forwarded():
    group = Encapsulation("encapsulate")
    for name, packet, prefix in FAMILIES:
        group.goes(name, packet, prefix)
    for name, packet, prefix in FAMILIES:
        for lifetime in (2, 255):
            group.goes(f"{name}, TTL {lifetime}", changed(packet, lifetime), prefix)
        for dscp in (10, 46, 63):
            group.goes(f"{name}, DSCP {dscp}", changed(packet, 64, dscp << 2), prefix)
        for ecn in range(1, 4):
            group.goes(f"{name}, ECN {ecn} under DSCP 34", changed(packet, 64, 34 << 2 | ecn), prefix)
    for instance in (7, LARGEST_INSTANCE):
        group.goes(f"IPv4 in instance {instance}", to4(), FOURTH, instance)
        group.goes(f"IPv6 in instance {instance}", to6(), SIXTH, instance)
        group.goes(f"padded in instance {instance}", to4(TCP(flags="A")), FOURTH, instance, padding=bytes(20))
        group.goes(f"tag with a priority, instance {instance}", to4(), FOURTH, instance, priority=5)
    group.goes("a priority tag counts as none", to4(), vlan=0, priority=7)
    group.goes("IPv4 leaves tagged", to4(to="10.10.0.7"), "10.10.0.0/16")
    group.goes("IPv6 leaves tagged", to6(to="2001:db8:d::7"), "2001:db8:d::/48")
    transports(group)
    oddities(group)
    checksums(group)
    locators(group)
    return group


def transports(group):
    """Upper layers, and flows of more than one packet."""
    for name, layer in (("TCP", TCP(sport=40000, dport=443, flags="S")), ("ICMP echo", ICMP(id=7, seq=1) / b"ping"),
                        ("empty UDP", UDP(sport=9, dport=9))):
        group.goes(f"IPv4, {name}", to4(layer))
        if name != "ICMP echo":
            group.goes(f"IPv6, {name}", to6(layer), SIXTH)
    group.goes("ICMPv6 echo", to6(ICMPv6EchoRequest(id=7, seq=1, data=b"ping")), SIXTH)
    for number, name in ((132, "SCTP"), (50, "ESP"), (47, "GRE"), (253, "an experimental protocol")):
        group.goes(f"IPv4, {name}", to4(Raw(bytes(range(24))), proto=number))
        group.goes(f"IPv6, {name}", to6(Raw(bytes(range(24))), nh=number), SIXTH)
    group.goes("IPv4 with a header alone", to4(Raw(b""), proto=253))
    group.goes("IPv6 with a header alone", to6(Raw(b""), nh=59), SIXTH)
    for size in (1, 100, 777):
        group.goes(f"the same flow, {size} bytes", to4(UDP(sport=5001, dport=9) / bytes(size)))
        group.goes(f"the same IPv6 flow, {size} bytes", to6(UDP(sport=5001, dport=9) / bytes(size)), SIXTH)
    for port in range(5002, 5010):
        group.goes(f"another flow, from port {port}", to4(UDP(sport=port, dport=9) / b"x"))
        group.goes(f"another IPv6 flow, from port {port}", to6(UDP(sport=port, dport=9) / b"x"), SIXTH)
    group.goes("LISP from host to host", to4(UDP(sport=0xC123, dport=4341, chksum=0) / LISP.of(3) / Raw(bytes(to4()))))


def oddities(group):
    """Options, extension headers, fragments, padding."""
    group.goes("IPv4 with a router alert", to4(options=[IPOption_Router_Alert()]))
    group.goes("IPv4 with a route to record", to4(options=[IPOption_RR(routers=["0.0.0.0"] * 9), IPOption_NOP()]))
    group.goes("IPv4 with 40 bytes of options over IPv6", to4(to="10.3.0.7", options=[IPOption_NOP()] * 40), FOURTH_OVER_6)
    for name, headers in (
            ("hop-by-hop options", IPv6ExtHdrHopByHop(options=[RouterAlert(value=0)])),
            ("destination options", IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(12))])),
            ("a routing header", IPv6ExtHdrRouting(type=2, addresses=["2001:db8:b::9"], segleft=1)),
            ("three extension headers", IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(addresses=[], segleft=0))):
        group.goes(f"IPv6 with {name}", to6(headers / UDP(sport=5001, dport=9) / b"xtr fixture"), SIXTH)
    datagram = UDP(sport=5001, dport=9) / bytes(range(64))
    for name, flags, offset in (("first", "MF", 0), ("middle", "MF", 3), ("last", 0, 6)):
        part = slice(offset * 8, (offset + 3) * 8)
        group.goes(f"IPv4, {name} fragment", to4(Raw(to4(datagram)[Raw].load[part]), proto=17, flags=flags, frag=offset))
        header = IPv6ExtHdrFragment(nh=17, offset=offset, m=1 if flags else 0, id=0x01020304)
        group.goes(f"IPv6, {name} fragment", to6(header / Raw(to6(datagram)[Raw].load[part])), SIXTH)
    group.goes("IPv4 that may be fragmented", to4(flags=0))
    short = TCP(sport=40000, dport=443, flags="A")
    group.goes("a short frame padded with zeros", to4(short), padding=bytes(6))
    group.goes("a short frame padded with other octets", to4(short, id=2), padding=b"\xee" * 6)
    group.goes("much padding", to6(), SIXTH, padding=b"\xee" * 300)
    group.goes("both roles: what is not LISP for us is the site's", to4(), port=BOTH)


def checksums(group):
    """IPv4 header checksums next to 0 and 0xFFFF: the two ways to write zero (RFC 1624)."""
    for checksum in (0, 1, 0xFEFE, 0xFEFF, 0xFF00, 0xFFFE):
        packet = with_header_checksum(checksum, to4())
        group.goes(f"inner header checksum {checksum:#06x} before the hop", packet)
        group.goes(f"inner header checksum {checksum:#06x} before the hop, over IPv6",
                   with_header_checksum(checksum, to4(to="10.3.0.7")), FOURTH_OVER_6)
    group.goes("inner header checksum 0 written as 0xFFFF", with_header_checksum(0, to4()), written=0xFFFF)
    group.goes("outer header checksum 0", with_outer_checksum_0())


def locators(group):
    group.goes("a mapping that names a port", to4(to="10.12.0.7"), "10.12.0.0/16")
    group.goes("a mapping that names a port, over IPv6", to4(to="10.18.0.7"), "10.18.0.0/16")
    group.goes("the first locator is down", to4(to="10.13.0.7"), "10.13.0.0/16", locator=1)
    group.goes("next hop of the RLOC not resolved", to4(to="10.14.0.7"), "10.14.0.0/16", padding=b"\xee" * 9)
    group.goes("next hop of the IPv6 RLOC not resolved", to6(to="2001:db8:e::7"), "2001:db8:e::/48")
    group.goes("as large as the way takes over IPv4", to4(Raw(bytes(1364 - 20)), to="10.16.0.7", proto=253), "10.16.0.0/16")
    group.goes("as large as the way takes over IPv6", to6(Raw(bytes(1344 - 40)), to="2001:db8:f::7", nh=253), "2001:db8:f::/48")


def refused():
    """What is not encapsulated."""
    group = Encapsulation("encapsulate-refused")
    for lifetime in (0, 1):
        group.stays(f"IPv4, TTL {lifetime}", to4(ttl=lifetime), "punt(time-exceeded)", padding=b"\xee" * 7)
        group.stays(f"IPv6, hop limit {lifetime}", to6(hlim=lifetime), "punt(time-exceeded)")
    group.stays("IPv4, no mapping", to4(to="172.16.0.1"), "punt(miss)", padding=b"\xee" * 7)
    group.stays("IPv6, no mapping", to6(to="2001:db8:ffff::1"), "punt(miss)")
    group.stays("no mapping in this instance", to4(to="10.3.0.7"), "punt(miss)", 7)
    group.stays("native-forward", to4(to="10.4.0.1"), "punt(native-forward)")
    group.stays("IPv6 native-forward", to6(to="2001:db8:4::1"), "punt(native-forward)")
    group.stays("to our own site", to4(to="10.1.77.1"), "punt(native-forward)")
    group.stays("send-map-request", to4(to="10.5.0.1"), "punt(miss)")
    group.stays("drop", to4(to="10.6.0.1"), "drop(mapping-drop)")
    group.stays("IPv6 drop", to6(to="2001:db8:6::1"), "drop(mapping-drop)")
    group.stays("a hole in a mapped prefix", to4(to="10.2.9.1"), "drop(mapping-drop)")
    group.stays("policy-denied", to4(to="10.7.0.1"), "drop(policy-denied)")
    group.stays("authentication-failure", to4(to="10.8.0.1"), "drop(authentication-failure)")
    group.stays("no usable locator", to4(to="10.9.0.1"), "drop(no-usable-locator)")
    group.stays("one byte more than the way takes over IPv4", to4(Raw(bytes(1365 - 20)), to="10.16.0.7", proto=253),
                "drop(outer-too-big)", padding=b"\xee" * 5, mtu=1364)
    group.stays("one byte more than the way takes over IPv6", to6(Raw(bytes(1345 - 40)), to="2001:db8:f::7", nh=253),
                "drop(outer-too-big)", mtu=1344)
    for name, packet in (("the other site", to4(source="10.2.0.5")), ("nobody", to4(source="192.168.1.1")),
                         ("a prefix of ours that moved away", to4(source="10.1.99.5")), ("0.0.0.0", to4(source="0.0.0.0")),
                         ("the other IPv6 site", to6(source="2001:db8:b::5")), ("a link-local address", to6(source="fe80::1"))):
        group.add(f"source of {name}", SITE, frame(packet), "drop(source-not-local)")
    group.add("an instance without EIDs", TAGGED, frame(to4(), 30), "drop(source-not-local)")
    group.add("a VLAN without an instance", TAGGED, frame(to4(), 8), "drop(vlan-unknown)")
    group.add("no tag where only VLANs have instances", TAGGED, frame(to4()), "drop(vlan-unknown)")
    malformed(group)
    return group


def malformed(group):
    """Frames that are not sound. Nothing of them is sent anywhere."""
    def dropped(name, octets, reason="inner-malformed"):
        group.add(name, SITE, octets, f"drop({reason})")

    for length in (0, 1, 13):
        dropped(f"a frame of {length} bytes", frame(to4())[:length], "frame-malformed")
    dropped("a frame cut in its tag", frame(to4(), 0)[:17], "frame-malformed")
    for name, type in (("ARP", 0x0806), ("QinQ", 0x88A8), ("MPLS", 0x8847), ("a length as type", 0x05DC)):
        dropped(name, frame(to4(), type=type), "not-ip")
    dropped("two tags", frame(to4(), 0, type=0x8100), "not-ip")
    dropped("IPv4 under the type of IPv6", frame(to4(), type=0x86DD))
    dropped("IPv6 under the type of IPv4", frame(to6(), type=0x0800))
    for version in (0, 5, 6, 15):
        dropped(f"version {version}", frame(to4(version=version)))
    for words in (0, 4, 15):
        dropped(f"header length {words}", frame(to4(ihl=words)))
    for length in (0, 19, 40, 65535):
        dropped(f"IPv4 total length {length} of 39", frame(to4(len=length)))
    dropped("total length beyond the packet, covered by padding but for one byte", frame(to4(len=50), padding=bytes(10)))
    for length in (20, 65535):
        dropped(f"IPv6 payload length {length} of 19", frame(to6(plen=length)))
    for length in (14, 33, 34, 52):
        dropped(f"IPv4 cut after {length} bytes of the frame", frame(to4())[:length])
    for length in (14, 53, 54, 72):
        dropped(f"IPv6 cut after {length} bytes of the frame", frame(to6())[:length])


def wrong_checksums(group):
    """RFC 1812 5.2.2: a router verifies the header checksum of what it forwards."""
    right = int.from_bytes(bytes(to4())[10:12], "big")
    for name, packet in (("", to4(chksum=right ^ 1)), (", 0", to4(chksum=0)),
                         (", options", to4(options=[IPOption_NOP()] * 4, chksum=right))):
        group.add(f"wrong header checksum{name}", SITE, frame(packet), "drop(header-checksum-wrong)")


def computed():
    """With a UDP checksum over IPv6 (RFC 6935, RFC 8200 8.1). Its sum with the source port does not depend on that port."""
    group = Encapsulation("encapsulate-computed-checksum", computesUDPChecksum=True)
    for name, packet, prefix in FAMILIES:
        group.goes(name, packet, prefix)
    for size in (1, 2, 3, 255, 1001):
        group.goes(f"IPv4, {size} bytes", to4(UDP(sport=1, dport=2) / (bytes(range(256)) * 4)[:size], to="10.3.0.7"), FOURTH_OVER_6)
    group.goes("IPv6 in instance 7", to6(), SIXTH, 7, padding=b"\xee" * 3)
    group.goes("next hop not resolved", to6(to="2001:db8:e::7"), "2001:db8:e::/48")
    return group


def compatible():
    """RFC 6040 4.1, compatibility mode: the outer ECN field is Not-ECT, the inner one stays."""
    group = Encapsulation("encapsulate-compatibility", copiesECN=False)
    for name, packet, prefix in FAMILIES:
        for ecn in range(4):
            group.goes(f"{name}, ECN {ecn}", changed(packet, 64, 46 << 2 | ecn), prefix)
    return group


def groups(reasons):
    """The groups; `reasons` are the drop reasons there are."""
    refusals = refused()
    if "header-checksum-wrong" in reasons:
        wrong_checksums(refusals)
    return [forwarded(), refusals, computed(), compatible()]
