# SPDX-License-Identifier: Apache-2.0
"""Reads the UDP and TCP payloads out of a classic capture, out of an Encapsulated Control Message, and the messages out of a
segment of the reliable transport. make-fixtures.py uses it for the bytes; what they mean is Wireshark's to say."""

import dataclasses
import ipaddress
import struct

ECM = 8
REGISTRATION = 17  # of the reliable transport: carries a Map-Register
END_MARKER = bytes.fromhex("9facade9")


@dataclasses.dataclass
class Datagram:
    transport: str
    source: str
    destination: str
    source_port: int
    destination_port: int
    payload: bytes
    beyond: bytes  # of the IP packet, after the end that the UDP length gives

    def addresses(self):
        return (self.transport, self.source, self.source_port, self.destination, self.destination_port)

    def table(self):
        table = {"transport": self.transport, "source": self.source, "sourcePort": self.source_port,
                 "destination": self.destination, "destinationPort": self.destination_port, "payload": self.payload.hex()}
        if self.beyond:
            table["beyond"] = self.beyond.hex()
        return table


def ip_payload(packet):
    """(source, destination, protocol, payload), or None; as many bytes as were captured."""
    if packet[0] >> 4 == 4:
        total = struct.unpack_from("!H", packet, 2)[0]
        addresses, protocol, header = packet[12:20], packet[9], (packet[0] & 15) * 4
    elif packet[0] >> 4 == 6:
        total = struct.unpack_from("!H", packet, 4)[0] + 40
        addresses, protocol, header = packet[8:40], packet[6], 40
    else:
        return None
    half = len(addresses) // 2
    return (str(ipaddress.ip_address(addresses[:half])), str(ipaddress.ip_address(addresses[half:])), protocol,
            packet[header:total])


def datagram(packet):
    """The UDP datagram or TCP segment in an IP packet, or None."""
    parts = ip_payload(packet)
    if parts is None or parts[2] not in (6, 17):
        return None
    source, destination, protocol, payload = parts
    ports = struct.unpack_from("!HH", payload)
    if protocol == 6:
        return Datagram("tcp", source, destination, *ports, payload[(payload[12] >> 4) * 4:], b"")
    length = struct.unpack_from("!H", payload, 4)[0]
    return Datagram("udp", source, destination, *ports, payload[8:length], payload[length:])


def datagrams(path, port):
    """(frame number, datagram) of every frame whose source or destination port is the given one."""
    data = path.read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}[data[:4]]
    link = struct.unpack_from(f"{order}I", data, 20)[0]
    if link != 1:
        raise ValueError(f"{path.name}: link type {link}, not Ethernet")
    number, offset = 0, 24
    while offset < len(data):
        captured = struct.unpack_from(f"{order}I", data, offset + 8)[0]
        frame = data[offset + 16:offset + 16 + captured]
        number, offset = number + 1, offset + 16 + captured
        if frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
            found = datagram(frame[14:])
            if found and port in (found.source_port, found.destination_port):
                yield number, found


def encapsulated(payload):
    """The datagram in an Encapsulated Control Message without a security part, or None."""
    if len(payload) < 24 or payload[0] >> 4 != ECM:
        return None
    return datagram(payload[4:])


def reliable_messages(payload):
    """The messages of the reliable transport in the payload of a segment that begins and ends with whole ones."""
    while payload:
        kind, length, identifier = struct.unpack_from("!HHI", payload)
        message, payload = payload[:length], payload[length:]
        if len(message) != length or message[-4:] != END_MARKER:
            raise ValueError("a message goes on in the next segment")
        yield {"type": kind, "length": length, "id": identifier, "bytes": message,
               "register": message[8:-4] if kind == REGISTRATION else None}
