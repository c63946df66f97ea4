# SPDX-License-Identifier: Apache-2.0
"""What an ETR has to do with packets from the core (RFC 9300 5.1, 5.3, 8, 16; RFC 6040 4.2; RFC 6830 12), as tables for
make-fixtures.py."""

from scapy.layers.inet import ICMP, IP, IPOption, IPOption_LSRR, IPOption_NOP, IPOption_RR, IPOption_SSRR, TCP, UDP
from scapy.layers.inet6 import (HBHOptUnknown, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting, PadN)
from scapy.packet import Raw

from encapsulation import to4, to6
from network import BOTH, CORE, CORE_VLAN, HOST_MAC, LARGEST_INSTANCE, OWN, PEER, SITE, SITE_MAC, mapping
from packets import LISP, Group, changed, frame, ipv4, ipv6, life, traffic_class, with_field, with_header_checksum

FOURTH, SIXTH = "10.1.0.0/16", "2001:db8:a::/48"

# RFC 6040 figure 4: what leaves the tunnel. Lines by the inner field, columns by the outer one; Not-ECT 0, ECT(1) 1, ECT(0) 2, CE 3.
ECN = {0: {0: 0, 2: 0, 1: 0, 3: None},
       2: {0: 2, 2: 2, 1: 1, 3: 3},
       1: {0: 1, 2: 1, 1: 1, 3: 3},
       3: {0: 3, 2: 3, 1: 3, 3: 3}}


def from4(layer=None, to="10.1.0.5", source="10.2.0.7", **fields):
    return ipv4(source, to, layer, **fields)


def from6(layer=None, to="2001:db8:a::5", source="2001:db8:b::7", **fields):
    return ipv6(source, to, layer, **fields)


def lisp(inner, family=4, header=None, instance=0, udp=None, extension=None, **fields):
    """An encapsulated packet from the peer, towards us. `fields` are those of the outer IP header."""
    header = header if header is not None else LISP.of(instance)
    datagram = UDP(**({"sport": 0xC123, "dport": 4341, "chksum": 0} | (udp or {}))) / header / Raw(bytes(inner))
    if family == 4:
        outer = IP(**({"src": PEER[4], "dst": OWN[4], "ttl": 255, "id": 0x4321, "flags": "DF", "proto": 17} | fields))
    else:
        outer = IPv6(**({"src": PEER[6], "dst": OWN[6], "hlim": 255, "fl": 0xABCDE} | fields))
    return outer / extension / datagram if extension is not None else outer / datagram


def merged(inner, outer, copiesDSCP=False):
    """TTL and class of the inner packet after the outer header is off; class None: the congestion mark is lost."""
    ecn = ECN[traffic_class(inner) & 3][traffic_class(outer) & 3]
    dscp = traffic_class(outer if copiesDSCP else inner) & 0xFC
    return min(life(inner), life(outer)), None if ecn is None else dscp | ecn


class Decapsulation(Group):
    def goes(self, name, inner, outer, prefix=None, instance=0, port=CORE, vlan=None, padding=b""):
        """The inner packet goes to its host; or to the kernel where its TTL is used up or the host is not known."""
        prefix = prefix or (FOURTH if isinstance(inner, IP) else SIXTH)
        hosts = mapping(instance, prefix)["locators"]
        lifetime, trafficClass = merged(inner, outer, self.settings.get("copiesDSCP", False))
        assert trafficClass is not None, name
        if lifetime <= 1:
            verdict, sent = "punt(time-exceeded)", {"slowPath": changed(inner, lifetime, trafficClass)}
        elif not hosts or not hosts[0]["resolved"]:
            verdict, sent = "punt(inner-neighbour)", {"slowPath": changed(inner, lifetime, trafficClass)}
        else:
            packet = changed(inner, lifetime - 1, trafficClass)
            verdict = f"transmit({SITE})"
            sent = {"output": frame(packet, hosts[0]["vlan"], to=HOST_MAC, source=SITE_MAC)}
        self.totals["decapsulated"] += 1
        self.add(name, port, frame(outer, vlan, padding=padding), verdict, **sent, counted=(instance, prefix, 0),
                 byteCount=len(inner), instance=instance)

    def drops(self, name, outer, reason, vlan=None, padding=b"", type=None, **more):
        self.add(name, CORE, outer if isinstance(outer, bytes) else frame(outer, vlan, type=type, padding=padding),
                 f"drop({reason})", **more)


FAMILIES = [("IPv4 under IPv4", from4(), 4), ("IPv6 under IPv4", from6(), 4),
            ("IPv4 under IPv6", from4(), 6), ("IPv6 under IPv6", from6(), 6)]


def lives(family, lifetime):
    return {"ttl": lifetime} if family == 4 else {"hlim": lifetime}


def classes(family, trafficClass):
    return {"tos": trafficClass} if family == 4 else {"tc": trafficClass}


def delivered():
    group = Decapsulation("decapsulate")
    for name, inner, family in FAMILIES:
        group.goes(name, inner, lisp(inner, family))
        for instance in (7, LARGEST_INSTANCE):
            group.goes(f"{name}, instance {instance}", inner, lisp(inner, family, instance=instance), instance=instance)
        group.goes(f"{name}, tagged, padded", inner, lisp(inner, family), vlan=CORE_VLAN, padding=b"\xee" * 11)
        for inside, outside in ((64, 63), (63, 64), (2, 255), (255, 2), (255, 255), (1, 255), (64, 1), (0, 64), (64, 0)):
            packet = changed(inner, inside)
            group.goes(f"{name}, TTL {inside} under {outside}", packet, lisp(packet, family, **lives(family, outside)))
        for inside, outside in ((0, 46), (46, 0), (63, 1)):
            packet = changed(inner, 64, inside << 2)
            group.goes(f"{name}, DSCP {inside} under {outside}", packet, lisp(packet, family, **classes(family, outside << 2)))
        congestion(group, name, inner, family)
        group.goes(f"{name}, a right UDP checksum", inner, lisp(inner, family, udp={"chksum": None}))
        group.goes(f"{name}, a UDP checksum that nobody looks at", inner, lisp(inner, family, udp={"chksum": 0xDEAD}))
    outsides(group)
    flags(group)
    insides(group)
    lengths(group)
    hosts(group)
    return group


def congestion(group, name, inner, family):
    for inside, line in ECN.items():
        for outside, result in line.items():
            packet = changed(inner, 64, 26 << 2 | inside)
            outer = lisp(packet, family, **classes(family, 10 << 2 | outside))
            if result is None:
                group.drops(f"{name}, ECN {inside} under {outside}", outer, "congestion-mark-lost")
            else:
                group.goes(f"{name}, ECN {inside} under {outside}", packet, outer)


def outsides(group):
    """Outer headers of other shapes."""
    group.goes("outer options", from4(), lisp(from4(), options=[IPOption_NOP()] * 8))
    group.goes("40 bytes of outer options", from6(), lisp(from6(), options=[IPOption_NOP()] * 40))
    group.goes("outer options, tagged", from4(), lisp(from4(), options=[IPOption_RR(routers=["0.0.0.0"]), IPOption_NOP()]), vlan=9)
    group.goes("a used-up outer source route", from4(),
               lisp(from4(), options=[IPOption_LSRR(routers=["192.0.2.131"], pointer=8), IPOption_NOP()]))
    group.goes("an unknown outer option", from4(), lisp(from4(), options=[IPOption(option=30, value=b"\0\0")]))
    group.goes("an unknown outer destination option that may be skipped", from4(),
               lisp(from4(), 6, extension=IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=b"xtr")])))
    group.goes("outer destination options", from4(), lisp(from4(), 6, extension=IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])))
    group.goes("outer hop-by-hop and destination options", from6(),
               lisp(from6(), 6, extension=IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(20))])))
    group.goes("an outer routing header that is used up", from4(),
               lisp(from4(), 6, extension=IPv6ExtHdrRouting(type=2, segleft=0, addresses=["::"])))
    group.goes("an atomic outer fragment is whole", from4(), lisp(from4(), 6, extension=IPv6ExtHdrFragment(id=9)))
    group.goes("outer DF clear", from4(), lisp(from4(), flags=0))
    group.goes("another source", from4(), lisp(from4(), src="203.0.113.77", udp={"sport": 1}))
    group.goes("source port 4341", from4(), lisp(from4(), udp={"sport": 4341}))
    group.goes("both roles: LISP for us", from4(), lisp(from4()), port=BOTH)
    group.goes("both roles: LISP over IPv6 for us", from4(), lisp(from4(), 6), port=BOTH)


def flags(group):
    """Flags that must not keep a packet from its host (RFC 9300 5.3)."""
    for name, header in (
            ("a nonce", LISP(N=1, nonce=0x123456)), ("a nonce and an echo request", LISP(N=1, E=1, nonce=0xFFFFFF)),
            ("E without N", LISP(E=1, nonce=0x123456)), ("map-versions", LISP(V=1, nonce=0x001002)),
            ("N and V both", LISP(N=1, V=1, nonce=0x123456)), ("N, V and E", LISP(N=1, V=1, E=1, nonce=0x123456)),
            ("locator-status-bits", LISP(L=1, instance=0xFFFFFF, lsb=0xFF)), ("the reserved bit", LISP(R=1)),
            ("fields without their flags", LISP(nonce=0xFFFFFF, instance=0xFFFFFF, lsb=0xFF))):
        group.goes(name, from4(), lisp(from4(), header=header))
        group.goes(f"{name}, IPv6", from6(), lisp(from6(), 6, header=header))
    everything = LISP(N=1, L=1, E=1, V=1, I=1, R=1, nonce=0xFFFFFF, instance=7, lsb=0xFF)
    group.goes("all flags in instance 7", from4(), lisp(from4(), header=everything), instance=7)
    group.goes("I with instance 0", from4(), lisp(from4(), header=LISP(I=1)))


def insides(group):
    """Inner packets of other shapes."""
    group.goes("inner options", from4(options=[IPOption_NOP()] * 4), lisp(from4(options=[IPOption_NOP()] * 4)))
    datagram = UDP(sport=9, dport=5001) / bytes(range(56))
    for name, more, offset in (("first", 1, 0), ("middle", 1, 3), ("last", 0, 6)):
        part = slice(offset * 8, (offset + 3) * 8)
        inner = from4(Raw(from4(datagram)[Raw].load[part]), proto=17, flags="MF" if more else 0, frag=offset)
        group.goes(f"inner fragment, {name}", inner, lisp(inner))
        inner = from6(IPv6ExtHdrFragment(nh=17, offset=offset, m=more, id=5) / Raw(from6(datagram)[Raw].load[part]))
        group.goes(f"inner IPv6 fragment, {name}", inner, lisp(inner, 6))
    options = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0")])
    for name, inner in (("inner hop-by-hop options", from6(options / UDP(sport=9, dport=5001))),
                        ("inner destination options", from6(IPv6ExtHdrDestOpt() / TCP(sport=443, dport=40000, flags="SA"))),
                        ("inner ICMP", from4(ICMP(type=0, id=7, seq=1) / b"ping")),
                        ("inner ICMPv6", from6(ICMPv6EchoRequest(id=7, seq=1, data=b"ping"))),
                        ("an inner header alone", from4(Raw(b""), proto=253)),
                        ("an inner IPv6 header alone", from6(Raw(b""), nh=59))):
        group.goes(name, inner, lisp(inner))
    for checksum in (0, 1, 0xFEFE, 0xFEFF, 0xFFFE):
        inner = with_header_checksum(checksum, from4(tos=0x02))
        for lifetime in (255, 17):
            group.goes(f"inner header checksum {checksum:#06x} under TTL {lifetime}, marked", inner, lisp(inner, ttl=lifetime, tos=0x03))
            group.goes(f"inner header checksum {checksum:#06x} under TTL {lifetime}", inner, lisp(inner, ttl=lifetime))
    inner = with_header_checksum(0, from4())
    group.goes("inner header checksum 0 written as 0xFFFF", inner, lisp(with_field(inner, chksum=0xFFFF)))


def lengths(group):
    """What is longer than the packet it carries is trimmed."""
    for name, inner, family in FAMILIES:
        trailing = bytes(inner) + b"\xee" * 13
        group.goes(f"{name}, octets behind the inner packet", inner, lisp(trailing, family))
        group.goes(f"{name}, octets behind the UDP datagram", inner, lisp(trailing, family, udp={"len": 16 + len(inner)}),
                   padding=b"\xee" * 3)
    small = from4(Raw(b"\1"), proto=253)
    group.goes("a short inner packet", small, lisp(small), padding=b"\xee" * 40)


def hosts(group):
    for prefix, to in (("10.1.21.0/24", "10.1.21.5"), ("10.1.22.0/24", "10.1.22.5")):
        inner = from4(to=to, tos=0x02)
        group.goes(f"host {to} not resolved", inner, lisp(inner, ttl=17, tos=0x03), prefix, padding=b"\xee" * 4)
    inner = from6(to="2001:db8:a:21::5")
    group.goes("IPv6 host not resolved", inner, lisp(inner, 6), "2001:db8:a:21::/64")
    inner = from4(Raw(bytes(1000 - 20)), to="10.1.20.5", proto=253)
    group.goes("as large as the site's MTU", inner, lisp(inner), "10.1.20.0/24")
    inner = from4(Raw(bytes(1001 - 20)), to="10.1.20.5", proto=253)
    group.drops("one byte more than the site's MTU", lisp(inner), "delivery-too-big", slowPath=inner, mtu=1000)
    inner = from6(Raw(bytes(1281 - 40)), to="2001:db8:a:20::5", nh=253)
    group.drops("one byte more than the site's IPv6 MTU", lisp(inner, 6), "delivery-too-big", slowPath=inner, mtu=1280)


def refused():
    """What is not delivered."""
    group = Decapsulation("decapsulate-refused")
    for family in (4, 6):
        for key in (1, 2, 3):
            group.drops(f"key {key} under IPv{family}", lisp(from4(), family, header=LISP(KK=key)), "encrypted-without-key")
        group.drops(f"a key, all flags, instance 7 under IPv{family}",
                    lisp(from4(), family, header=LISP(N=1, L=1, E=1, V=1, I=1, KK=1, instance=7)), "encrypted-without-key")
        control = lisp(from4(), family, header=LISP(I=1, instance=0xFFFFFF))
        for vlan in (None, CORE_VLAN):
            group.add(f"instance 0xFFFFFF under IPv{family}, tag {vlan}", CORE, frame(control, vlan), "punt(control)",
                      slowPath=control, instance=0xFFFFFF)
        group.drops(f"an instance we do not have under IPv{family}", lisp(from4(), family, instance=8), "instance-unknown")
        group.drops(f"UDP to the control port under IPv{family}", lisp(from4(), family, udp={"dport": 4342}), "not-lisp")
        group.drops(f"UDP from port 4341 to another under IPv{family}", lisp(from4(), family, udp={"sport": 4341, "dport": 9}), "not-lisp")
        for to in ("10.2.0.8", "172.16.0.1", "10.4.0.1", "10.6.0.1", "10.1.99.1", "224.0.0.5", "255.255.255.255"):
            group.drops(f"IPv4 destination {to} under IPv{family}", lisp(from4(to=to), family), "destination-not-local")
        for to in ("2001:db8:b::8", "2001:db8:ffff::1", "ff02::1", "::"):
            group.drops(f"IPv6 destination {to} under IPv{family}", lisp(from6(to=to), family), "destination-not-local")
    group.drops("TCP to port 4341", IP(src=PEER[4], dst=OWN[4], flags="DF") / TCP(sport=1, dport=4341), "not-lisp")
    group.drops("TCP over IPv6 to port 4341", IPv6(src=PEER[6], dst=OWN[6]) / TCP(sport=1, dport=4341), "not-lisp")
    group.drops("ARP", frame(from4(), type=0x0806), "not-ip")
    sources(group)
    fragments(group)
    refusing_options(group)
    outer_lies(group)
    udp_lies(group)
    inner_lies(group)
    return group


def sources(group):
    for source in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "239.255.255.255", "255.255.255.255", OWN[4]):
        group.drops(f"outer source {source}", lisp(from4(), src=source), "outer-source-invalid")
    for source in ("::", "::1", "ff02::1", "ff0e::1", OWN[6]):
        group.drops(f"outer source {source}", lisp(from4(), 6, src=source), "outer-source-invalid")


def fragments(group):
    for name, flags, offset in (("first", "MF", 0), ("middle", "MF", 5), ("last", 0, 5), ("a first one with DF", "MF+DF", 0)):
        group.drops(f"outer fragment, {name}", lisp(from4(), flags=flags, frag=offset), "outer-fragment")
    for name, more, offset in (("first", 1, 0), ("middle", 1, 5), ("last", 0, 5)):
        header = IPv6ExtHdrFragment(offset=offset, m=more, id=5)
        group.drops(f"outer IPv6 fragment, {name}", lisp(from4(), 6, extension=header), "outer-fragment")
    group.drops("outer IPv6 fragment behind hop-by-hop options",
                lisp(from4(), 6, extension=IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment(m=1, id=5)), "outer-fragment")


def refusing_options(group):
    """Outer headers by which a packet's way does not end here, or must not (RFC 791 3.1; RFC 8200 4.1, 4.2, 4.4)."""
    def refuses(name, *arguments, **fields):
        group.drops(name, lisp(from4(), *arguments, **fields), "outer-option-refused")

    refuses("outer loose source route", options=[IPOption_LSRR(routers=["192.0.2.131"]), IPOption_NOP()])
    refuses("outer strict source route", options=[IPOption_NOP(), IPOption_SSRR(routers=["192.0.2.131"])])
    for name, value in (("of length 0", b"\x1e\0\0\0"), ("of length 1", b"\x1e\1\0\0"), ("that is too long", b"\x1e\5\0\0"),
                        ("cut off", b"\1\1\1\x1e")):
        refuses(f"an outer option {name}", options=value)
    for kind in (0x5E, 0x9E, 0xDE):
        options = [HBHOptUnknown(otype=kind)]
        refuses(f"unknown outer destination option {kind:#x}", 6, extension=IPv6ExtHdrDestOpt(options=options))
        refuses(f"unknown outer hop-by-hop option {kind:#x}", 6, extension=IPv6ExtHdrHopByHop(options=options))
    refuses("an outer destination option that is too long", 6, extension=IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optlen=9)]))
    refuses("outer hop-by-hop options behind others", 6, extension=IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop())
    refuses("an outer routing header with a segment left", 6, extension=IPv6ExtHdrRouting(type=0, segleft=1, addresses=["2001:db8:9::1"]))
    refuses("an outer routing header of another type with a segment left", 6, extension=IPv6ExtHdrRouting(type=4, segleft=1, addresses=["::1"]))


def outer_lies(group):
    for length in (0, 13):
        group.drops(f"a frame of {length} bytes", frame(lisp(from4()))[:length], "frame-malformed")
    group.drops("a frame cut in its tag", frame(lisp(from4()), 9)[:16], "frame-malformed")
    for words in (0, 4, 15):
        group.drops(f"outer header length {words}", lisp(from4(Raw(b""), proto=253), ihl=words, len=56), "outer-malformed")
    for length in (0, 19, 2000):
        group.drops(f"outer total length {length}", lisp(from4(), len=length), "outer-malformed")
    group.drops("outer version 6 under the type of IPv4", lisp(from4(), version=6), "outer-malformed")
    group.drops("outer version 4 under the type of IPv6", lisp(from4(), 6, version=4), "outer-malformed")
    group.drops("outer payload length 2000", lisp(from4(), 6, plen=2000), "outer-malformed")
    for family, cuts in ((4, (14, 33, 34, 41, 49, 50, 70, 88)), (6, (14, 53, 54, 61, 69, 70, 90, 108))):
        for length in cuts:
            group.drops(f"IPv{family} frame cut after {length} bytes", frame(lisp(from4(), family))[:length], "outer-malformed")
    group.drops("outer extension header past the end", IPv6(src=PEER[6], dst=OWN[6], nh=60) / Raw(b"\x11\x05" + bytes(14)), "not-lisp")


def udp_lies(group):
    """UDP lengths that disagree with the packet; and packets that end, honestly, where a header should go on."""
    for family in (4, 6):
        total = len(lisp(from4(), family)[UDP])
        for length in (0, 7, total + 1, 65535):
            group.drops(f"UDP length {length} under IPv{family}", lisp(from4(), family, udp={"len": length}), "udp-malformed",
                        padding=b"\xee" * 20)
        for length in (8, 12, 15):
            group.drops(f"UDP length {length} under IPv{family}", lisp(from4(), family, udp={"len": length}), "lisp-truncated")
        for length, reason in ((0, "udp-malformed"), (4, "udp-malformed"), (7, "udp-malformed"), (8, "lisp-truncated"),
                               (15, "lisp-truncated"), (16, "inner-truncated"), (17, "inner-truncated"), (35, "inner-truncated"),
                               (36, "inner-truncated"), (total - 1, "inner-truncated")):
            datagram = bytes(UDP(sport=0xC123, dport=4341, len=length, chksum=0) / LISP() / from4())[:length]
            outer = (IP(src=PEER[4], dst=OWN[4], proto=17) if family == 4 else IPv6(src=PEER[6], dst=OWN[6], nh=17)) / Raw(datagram)
            group.drops(f"{length} bytes of UDP under IPv{family}", outer, reason, padding=b"\xee" * 60)


def inner_lies(group):
    for family in (4, 6):
        for version in (0, 5, 7, 15):
            group.drops(f"inner version {version} under IPv{family}", lisp(from4(version=version), family), "inner-version-unknown")
        for words in (0, 4, 15):
            group.drops(f"inner header length {words} under IPv{family}", lisp(from4(ihl=words), family), "inner-truncated")
        size = len(from4())
        for length in (0, 19, size + 1, 65535):
            group.drops(f"inner total length {length} of {size} under IPv{family}", lisp(from4(len=length), family), "inner-truncated",
                        padding=b"\xee" * 30)
        size = len(from6()) - 40
        for length in (size + 1, 65535):
            group.drops(f"inner payload length {length} of {size} under IPv{family}", lisp(from6(plen=length), family), "inner-truncated",
                        padding=b"\xee" * 30)
        for length in (19, 20, 39, 40, 58):
            group.drops(f"{length} bytes of an inner IPv6 packet under IPv{family}", lisp(bytes(from6())[:length], family),
                        "inner-truncated")


def wrong_checksums(group):
    """RFC 1812 5.2.2, for the outer header and for the packet that is forwarded."""
    outer = int.from_bytes(bytes(lisp(from4()))[10:12], "big")
    group.drops("wrong outer header checksum", lisp(from4(), chksum=outer ^ 0x0100), "header-checksum-wrong")
    group.drops("wrong outer header checksum, options", lisp(from4(), chksum=outer, options=[IPOption_NOP()] * 4), "header-checksum-wrong")
    inner = int.from_bytes(bytes(from4())[10:12], "big")
    for family in (4, 6):
        group.drops(f"wrong inner header checksum under IPv{family}", lisp(from4(chksum=inner ^ 0x0100), family), "header-checksum-wrong")


def verified():
    """With verification of non-zero UDP checksums (RFC 6936)."""
    group = Decapsulation("decapsulate-verified-checksum", verifiesUDPChecksum=True)
    for name, inner, family in FAMILIES:
        group.goes(f"{name}, none", inner, lisp(inner, family))
        right = lisp(inner, family, udp={"chksum": None})
        group.goes(f"{name}, right", inner, right)
        group.goes(f"{name}, right, padded", inner, right, padding=b"\xee" * 7)
        group.goes(f"{name}, right, octets behind the datagram", inner, trailed(right))
        value = type(right)(bytes(right))[UDP].chksum
        for wrong in (value ^ 1, value ^ 0xFFFF, 0xFFFF if value != 0xFFFF else 1):
            group.drops(f"{name}, {wrong:#06x}", lisp(inner, family, udp={"chksum": wrong}), "udp-checksum-wrong")
        full = with_full_sum(inner, family)
        group.goes(f"{name}, 0xFFFF", inner, full)
    group.goes("right behind destination options", from4(), lisp(from4(), 6, extension=IPv6ExtHdrDestOpt(), udp={"chksum": None}))
    group.goes("right, odd length", from4(Raw(b"\1\2\3"), proto=253), lisp(from4(Raw(b"\1\2\3"), proto=253), 6, udp={"chksum": None}))
    return group


def trailed(packet):
    """The packet with octets that belong to the IP packet and not to the UDP datagram."""
    octets = bytes(packet)
    outer = type(packet)(octets)
    datagram = octets[len(octets) - outer[UDP].len:]
    return (IP(src=PEER[4], dst=OWN[4], ttl=255, proto=17) if outer.version == 4 else
            IPv6(src=PEER[6], dst=OWN[6], hlim=255, nh=17)) / Raw(datagram + b"\xee" * 9)


def with_full_sum(inner, family):
    """A datagram whose checksum would be 0 and is therefore sent as 0xFFFF (RFC 768): the source port makes up for the rest."""
    port = int.from_bytes(bytes(lisp(inner, family, udp={"sport": 0, "chksum": None}))[-len(inner) - 10:-len(inner) - 8], "big")
    packet = lisp(inner, family, udp={"sport": port, "chksum": None})
    assert bytes(packet)[-len(inner) - 10:-len(inner) - 8] == b"\xff\xff"
    return packet


def uniform():
    """With the outer DSCP copied to the inner header (RFC 2983, uniform model)."""
    group = Decapsulation("decapsulate-uniform", copiesDSCP=True)
    for name, inner, family in FAMILIES:
        for inside, outside in ((0, 46), (46, 0), (46, 46), (1, 62)):
            packet = changed(inner, 64, inside << 2 | 2)
            group.goes(f"{name}, DSCP {inside} under {outside}, marked", packet, lisp(packet, family, **classes(family, outside << 2 | 3)))
    return group


def groups(reasons):
    """The groups; `reasons` are the drop reasons there are."""
    refusals = refused()
    if "header-checksum-wrong" in reasons:
        wrong_checksums(refusals)
    return [delivered(), refusals, verified(), uniform()]
