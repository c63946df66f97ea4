#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the recorded control messages that the tests of Wire/Control read, one file of JSON lines for each run: the bytes of every
LISP control message in the recordings, and what decoders that share nothing with the router (Wireshark's, by tshark 4.0, and for
tcpdump's own captures tcpdump's printed output) make of them. README.md says what the lines hold.

    make-fixtures.py RECORDINGS [--check]

RECORDINGS is the folder with captures/ and lispers.net/ in it. The same bytes are written each time; with --check nothing is
written, and the exit status is 1 when the files differ. The tests do not need it.
"""

import pathlib
import re
import sys

import authentication
import pcap
import wireshark

HERE = pathlib.Path(__file__).resolve().parent
CONTROL_PORT = 4342
# The views of one run that were recorded at the same time; a message that several of them saw is listed once.
RUNS = {
    "oor-v4": ["captures/oor_v4_ca", "captures/oor_v4_cb", "captures/oor_v4_cm"],
    "oor-v6": ["captures/oor_v6_ca", "captures/oor_v6_cb", "captures/oor_v6_cm"],
    "tcpdump-notify": ["captures/tcpdump_lisp_eid_notify"],
    "tcpdump-register": ["captures/tcpdump_lisp_eid_register"],
    "tcpdump-ipv6": ["captures/tcpdump_lisp_ipv6"],
    "tcpdump-invalid": ["captures/tcpdump_lisp_invalid"],
    "tcpdump-invalid-length": ["captures/tcpdump_lisp_invalid_length"],
    "ndpi-registration": ["captures/ndpi_lisp_registration"],
    "lispers-base": ["lispers.net/py2-base"],
    "lispers-change": ["lispers.net/py2-change"],
    "lispers-full": ["lispers.net/py2-full"],
    "lispers-iid": ["lispers.net/py2-iid"],
    "lispers-prio": ["lispers.net/py2-prio"],
    "lispers-ttl": ["lispers.net/py2-ttl"],
}


def tcpdump_frames(recording):
    """What tcpdump's test suite expects to be printed, with -v where it has that, by frame number: the lines without indentation."""
    paths = [path for path in (recording.with_name(f"{recording.name}{end}") for end in ("-v.out", ".out")) if path.exists()]
    frames = {}
    for line in paths[0].read_text(encoding="utf-8").splitlines() if paths else []:
        start = re.match(r"\s+(\d+)  \d{4}-\d\d-\d\d \S+ (.*)", line)
        if start:
            frames[int(start.group(1))] = lines = []
        lines.append(start.group(2) if start else line.strip())
    return frames


def refused_by(line):
    """The decoders that could not make sense of all of a message."""
    tcpdump = re.search(r"\[\|lisp\]|\(invalid\)|\[unsupported", " ".join(line.get("tcpdump", [])))
    return (["tshark"] if line["message"].get("malformed") else []) + (["tcpdump"] if tcpdump else [])


def udp_line(datagram, message):
    """One UDP message; an encapsulated one comes with the message it carries."""
    line = datagram.table()
    line["message"] = message
    inner = pcap.encapsulated(datagram.payload)
    if inner:
        message["inner"] = inner.table()
        message["inner"]["message"] = message.pop("carried")
    return line | authentication.key(datagram.payload)


def tcp_lines(segment):
    """The messages of the reliable transport in one segment, and the Map-Registers that are inside registrations."""
    for transport in pcap.reliable_messages(segment.payload):
        line = segment.table()
        line["payload"] = transport.pop("bytes").hex()
        line["reliable"] = transport
        registered = transport.pop("register")
        if registered:
            line["carries"] = {"payload": registered.hex(), "message": wireshark.decode_alone(registered)}
            line["carries"] |= authentication.key(registered)
        yield line


def lines_of(recordings, views):
    """The lines of one run, in the order of its views and of their frames."""
    seen = set()
    for view in views:
        capture = recordings / f"{view}.pcap"
        decoded = wireshark.decode(capture)
        printed = tcpdump_frames(recordings / view)
        for number, datagram in pcap.datagrams(capture, CONTROL_PORT):
            key = (datagram.addresses(), datagram.payload)
            if key in seen or not datagram.payload:
                continue
            seen.add(key)
            start = {"recording": f"{view.split('/')[1]}.pcap", "frame": number}
            if datagram.transport == "tcp":
                for line in tcp_lines(datagram):
                    yield start | line
                continue
            line = start | udp_line(datagram, decoded[number])
            if number in printed:
                line["tcpdump"] = printed[number]
            refusing = refused_by(line)
            yield line | ({"refusedBy": refusing} if refusing else {})


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    recordings, differences = pathlib.Path(arguments[0]), []
    for run, views in RUNS.items():
        text = "".join(f"{wireshark.json_line(line)}\n" for line in lines_of(recordings, views))
        path = HERE / f"{run}.jsonl"
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            differences.append(path.name)
        print(f"{path.name}: {text.count(chr(10))} messages")
    if differences:
        sys.exit(f"differ: {', '.join(differences)}")


if __name__ == "__main__":
    main()
