# SPDX-License-Identifier: Apache-2.0
"""What Wireshark's LISP dissector (tshark) says about control messages, as the tables that README.md describes. make-fixtures.py
uses it. The dissector knows no Map-Notify-Ack; it has the format of a Map-Notify, so it is decoded as one."""

import json
import pathlib
import struct
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree

MAP_NOTIFY, MAP_NOTIFY_ACK, ECM = 4, 5, 8
FLAGS = {
    "lisp.mreq.flags.auth": "A", "lisp.mreq.flags.mrp": "M", "lisp.mreq.flags.probe": "P", "lisp.mreq.flags.smr": "S",
    "lisp.mreq.flags.pitr": "p", "lisp.mreq.flags.smri": "s",
    "lisp.mrep.flags.probe": "P", "lisp.mrep.flags.enlr": "E", "lisp.mrep.flags.sec": "S",
    "lisp.mreg.flags.pmr": "P", "lisp.mreg.flags.sec": "S", "lisp.mreg.flags.xtrid": "I", "lisp.mreg.flags.rtr": "R",
    "lisp.mreg.flags.wmn": "M", "lisp.mnot.flags.xtrid": "I", "lisp.mnot.flags.rtr": "R",
    "lisp.ecm.flags.sec": "S", "lisp.ecm.flags.ddt": "D",
}
NUMBERS = {
    "lisp.type": "type", "lisp.mreq.res": "reserved", "lisp.mrep.res": "reserved", "lisp.mreg.res": "reserved",
    "lisp.mnot.res": "reserved", "lisp.ecm.res": "reserved", "lisp.irc": "itrRLOCCount", "lisp.records": "recordCount",
    "lisp.keyid": "keyID", "lisp.authlen": "authenticationLength",
    "lisp.mreq.record.res": "reserved", "lisp.mreq.record.prefix.length": "maskLength",
    "lisp.mapping.ttl": "ttl", "lisp.mapping.loccnt": "locatorCount", "lisp.mapping.eid.masklen": "maskLength",
    "lisp.mapping.act": "action", "lisp.mapping.auth": "authoritative", "lisp.mapping.res1": "reserved",
    "lisp.mapping.res2": "reserved2", "lisp.mapping.ver": "mapVersion",
    "lisp.loc.priority": "priority", "lisp.loc.weight": "weight", "lisp.loc.multicast_priority": "multicastPriority",
    "lisp.loc.multicast_weight": "multicastWeight", "lisp.loc.flags": "flags",
    "lisp.lcaf.res1": "reserved1", "lisp.lcaf.flags": "flags", "lisp.lcaf.type": "lcaf", "lisp.lcaf.res2": "reserved2",
    "lisp.lcaf.length": "length", "lisp.lcaf.iid": "instanceID",
}
TEXTS = {"lisp.nonce": "nonce", "lisp.auth": "authentication", "lisp.xtrid": "xTRID", "lisp.siteid": "siteID", "data": "trailing"}
PARTS = {"lisp.mapping": "records", "lisp.mreq.record": "records", "lisp.loc": "locators"}
ADDRESSES = {"lisp.mreq.srceid": "sourceEID", "lisp.mreq.record.prefix": "eid", "lisp.mapping.eid": "eid", "lisp.loc": "locator"}


def json_line(table):
    return json.dumps(table, ensure_ascii=False, separators=(",", ":"))


def packets(capture):
    """(frame number, packet) of a capture as tshark's PDML."""
    run = subprocess.run(["tshark", "-r", capture, "-n", "-T", "pdml"], check=True, capture_output=True)
    for packet in ElementTree.fromstring(run.stdout).iter("packet"):
        yield int(packet.find("proto[@name='geninfo']/field[@name='num']").get("show")), packet


def address(fields):
    """The address whose address family is the first field: {afi, text}, or for an LCAF {afi, lcaf, …, inner}. Its fields are used up."""
    afi = int(fields.pop(0).get("show"))
    table = {"afi": afi}
    if not afi:
        fields[:1] = [] if fields and fields[0].get("name").endswith(".string") else fields[:1]
    elif fields:
        field = fields.pop(0)
        canonical = field if field.get("name") == "lisp.lcaf" else field.find("field[@name='lisp.lcaf']")
        table |= lcaf(canonical) if canonical is not None else {"text": field.get("show")}
    return table


def lcaf(field):
    """A LISP canonical address: its header, the instance ID, and the addresses within."""
    table, inner, fields = {}, [], list(field)
    for part in fields.pop(0):
        number(part, table)
    while fields:
        name = fields[0].get("name")
        if name == "lisp.lcaf.afi_list.item":
            inner.append(address(list(fields.pop(0))))
        elif name.endswith(".afi"):
            inner.append(address(fields))
        elif not number(fields[0], table):
            raise ValueError(f"{name} in an LCAF")
        else:
            fields.pop(0)
    return table | {"inner": inner}


def number(field, table):
    """Enters a number under its name; false when the field is none. Reserved bits are left out when they are 0."""
    name = NUMBERS.get(field.get("name"))
    if name is None:
        return False
    value = int(field.get("show"), 0)
    if value or not name.startswith("reserved"):
        table[name] = bool(value) if name == "authoritative" else value
    return True


def part(fields):
    """A message, a record or a locator: the table of its fields, in their order."""
    table, fields = {}, list(fields)
    while fields:
        name = fields[0].get("name")
        family = name.removesuffix(".afi")
        if name in FLAGS:
            table["flags"] = table.get("flags", "") + (FLAGS[name] if fields[0].get("show") == "1" else "")
            fields.pop(0)
        elif name == "lisp.mreq.flags":
            fields[:1] = list(fields[0])
        elif name == "lisp.mreq.itr_rloc":
            table.setdefault("itrRLOCs", []).append(address(list(fields.pop(0))))
        elif name in PARTS:
            table.setdefault(PARTS[name], []).append(part(fields.pop(0)))
        elif family != name and family in ADDRESSES:
            table[ADDRESSES[family]] = address(fields)
        elif name in TEXTS:
            table[TEXTS[name]] = fields.pop(0).get("value")
        elif number(fields[0], table) or name in ("_ws.expert", ""):
            fields.pop(0)
        else:
            raise ValueError(f"what is {name}?")
    return table


def message(protocols):
    """The table of the LISP message at the head of a packet's protocols, with the message that it carries."""
    table = part(field for field in protocols[0] if field.tag == "field")
    if table.get("type") == ECM:
        carried = [protocol for protocol in protocols[1:] if protocol.get("name") == "lisp"]
        table["carried"] = message(carried)
    return table


def decode(capture):
    """What the dissector says, by frame number."""
    tables = {}
    for frame, packet in packets(capture):
        protocols = [protocol for protocol in packet.iter("proto") if protocol.get("name") == "lisp"]
        if not protocols:
            continue
        tables[frame] = message(protocols)
        if tables[frame].get("type") == MAP_NOTIFY_ACK:
            udp = packet.find("proto[@name='udp']/field[@name='udp.payload']")
            tables[frame] = decode_alone(bytes.fromhex(udp.get("value")))
        if packet.find(".//proto[@name='_ws.malformed']") is not None:
            tables[frame]["malformed"] = True
    return tables


def decode_alone(payload):
    """What the dissector says about a message that is given as its bytes."""
    kind = payload[0] >> 4
    if kind == MAP_NOTIFY_ACK:
        payload = bytes([MAP_NOTIFY << 4 | payload[0] & 15]) + payload[1:]
    udp = struct.pack("!HHHH", 4342, 4342, 8 + len(payload), 0) + payload
    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])) + udp
    with tempfile.TemporaryDirectory() as folder:
        capture = pathlib.Path(folder) / "one.pcap"
        capture.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
                            + struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)
        table = decode(capture)[1]
    return table | {"type": kind}
