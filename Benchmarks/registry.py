# SPDX-License-Identifier: Apache-2.0
"""A million registered prefixes for control.py: a map-server's configuration and state file, and signed messages about them.

Every odd address of 10.64.0.0 and on is registered as a prefix of its own: so each even one is a hole of one address. A thousand
sites have 2048 addresses each, one xTR and a key of their own. All locators are one router's.
"""

import hmac
import ipaddress
import os
import random
import sqlite3
import struct
import time

FIRST = int(ipaddress.ip_address("10.64.0.0"))
SITES, ADDRESSES = 1000, 2048  # 2048 addresses of a site, of which 1024 are registered
COUNT = SITES * ADDRESSES // 2
COVERING = "10.64.0.0/11"      # all of it
TTL_MINUTES = 1440
AFI_IPV4, SHA_256 = 1, 2
SCHEMA_VERSION = 1             # of the state file: MapServerRow+SQL.swift


def text(address):
    return str(ipaddress.ip_address(address))


def registered(number):
    """The registered address of this number, below COUNT."""
    return FIRST + 2 * number + 1


def site_of(address):
    return (address - FIRST) // ADDRESSES


def key(site):
    return f"secret of site {site}"


def identity(site):
    """The 128 bits of the xTR-ID; site-ID 0."""
    return site + 1


def record(address, rloc):
    """An EID-record (RFC 9301 5.4): one locator, local and reachable."""
    return struct.pack("!IBBHHHI", TTL_MINUTES, 1, 32, 0x1000, 0, AFI_IPV4, address) + \
        struct.pack("!BBBBHHI", 1, 100, 255, 0, 5, AFI_IPV4, rloc)


def write_configuration(path, control_socket, state=None, more=""):
    lines = ["[map-server]", f'control-socket = "{control_socket}"'] + ([f'state = "{state}"'] if state else [])
    for site in range(SITES):
        lines += ["[[site]]", f'name = "{site}"', f'key = "{key(site)}"', "[[site.eid-prefix]]",
                  f'eid-prefix = "{text(FIRST + site * ADDRESSES)}/21"', "more-specifics = true"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n" + more)


def write_state(path, rloc, count=COUNT):
    """The state file of a map-server where the first `count` prefixes are registered, with their TTL (flag 4), for an hour."""
    locator, now = int(ipaddress.ip_address(rloc)), int(time.time())
    database = sqlite3.connect(path)
    database.executescript(f"""
        CREATE TABLE registrations (
          instance INTEGER, prefix TEXT, site TEXT, xtr TEXT, record BLOB NOT NULL, flags INTEGER NOT NULL, since INTEGER NOT NULL,
          expires INTEGER NOT NULL, PRIMARY KEY (instance, prefix, site, xtr)) WITHOUT ROWID;
        PRAGMA user_version = {SCHEMA_VERSION};""")

    def row(number):
        address = registered(number)
        site = site_of(address)
        octets = f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"
        return 0, f"{octets}/32", str(site), f"{identity(site):032x}/0", record(address, locator), 1 | 4, now, now + 3600
    database.executemany("INSERT INTO registrations VALUES (?, ?, ?, ?, ?, ?, ?, ?)", map(row, range(count)))
    database.commit()
    database.close()


def checksum(data):
    """The Internet checksum of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def map_request(address, nonce, itr):
    """A Map-Request in an Encapsulated Control Message, as our routers send it."""
    request = struct.pack("!IQHHIBBHI", 1 << 28 | 1, nonce, 0, AFI_IPV4, itr, 0, 32, AFI_IPV4, address)
    udp = [4342, 4342, 8 + len(request), 0]
    udp[3] = checksum(struct.pack("!IIHH4H", itr, address, 17, udp[2], *udp) + request)
    ip = [0x4500, 28 + len(request), 0, 0, 0x4011, 0, itr, address]
    ip[5] = checksum(struct.pack("!6H2I", *ip))
    return struct.pack("!I6H2I4H", 8 << 28, *ip, *udp) + request


def map_register(address, nonce, rloc):
    """A Map-Register of one prefix: proxy reply, xTR-ID, wants a Map-Notify; HMAC-SHA-256-128."""
    site = site_of(address)
    head = struct.pack("!IQBBH", 3 << 28 | 1 << 27 | 1 << 25 | 1 << 8 | 1, nonce, 0, SHA_256, 32)
    tail = record(address, rloc) + identity(site).to_bytes(16, "big") + bytes(8)
    return head + hmac.digest(key(site).encode(), head + bytes(32) + tail, "sha256") + tail


def write_messages(path, count, make, seed=1):
    """`count` messages about random registered prefixes, each after its length, with rising nonces."""
    chosen = random.Random(seed)
    nonce = int(time.time() * 1e6) << 8
    with open(path, "wb") as file:
        for number in range(count):
            message = make(registered(chosen.randrange(COUNT)), nonce + number)
            file.write(struct.pack("=H", len(message)) + message)
    return os.path.getsize(path)
