# SPDX-License-Identifier: Apache-2.0
"""The router that the fixtures are made for: its ports, addresses and mappings. They go into fixtures.json, from which the tests
set the engine up; encapsulation.py and decapsulation.py say what such a router has to do with each packet."""

# Ports.
SITE, CORE, BOTH, TAGGED = 0, 1, 2, 3

# Link-layer addresses: ours, and those of whom we send to.
SITE_MAC, HOST_MAC = "02:00:00:00:51:17", "02:00:00:00:00:51"
CORE_MAC, NEXT_HOP_MAC = "02:00:00:00:c0:7e", "02:00:00:00:0c:09"

OWN = {4: "192.0.2.1", 6: "2001:db8:1::1"}
PEER = {4: "198.51.100.2", 6: "2001:db8:2::2"}

LARGEST_INSTANCE = 0xFFFFFE  # 0xFFFFFF is control
CORE_VLAN = 200

PORTS = [
    {"port": SITE, "roles": ["site"], "instance": 0, "vlans": {}},
    {"port": CORE, "roles": ["core"], "vlans": {}},
    {"port": BOTH, "roles": ["site", "core"], "instance": 0, "vlans": {}},
    # Instance 30 has no EIDs.
    {"port": TAGGED, "roles": ["site"], "vlans": {"7": 7, "4094": LARGEST_INSTANCE, "30": 30}},
]


def local(prefix, instance=0, vlan=None, mtu=1500, resolved=True, host=True):
    """One of our EID-prefixes; its host is on the site port, or is not known at all."""
    hosts = [{"vlan": vlan, "mtu": mtu, "resolved": resolved}] if host else []
    return {"instance": instance, "prefix": prefix, "action": "local", "locators": hosts}


def remote(prefix, family, instance=0, peer=None, **changes):
    """An EID-prefix of another site, behind a locator of a family."""
    locator = {"peer": peer or PEER[family], "port": 4341, "vlan": None, "mtu": 1500, "resolved": True, "usable": True}
    return {"instance": instance, "prefix": prefix, "action": "encapsulate", "locators": [locator | changes]}


def negative(prefix, action):
    return {"instance": 0, "prefix": prefix, "action": action, "locators": []}


def with_two_locators(prefix):
    """The first one cannot be used: everything takes the second."""
    first = remote(prefix, 4, peer="198.51.100.9", usable=False)
    return first | {"locators": first["locators"] + remote(prefix, 4)["locators"]}


MAPPINGS = [
    local("10.1.0.0/16"), local("2001:db8:a::/48"),
    local("10.1.20.0/24", mtu=1000), local("2001:db8:a:20::/64", mtu=1280),
    local("10.1.21.0/24", resolved=False), local("2001:db8:a:21::/64", resolved=False),
    local("10.1.22.0/24", host=False),
    remote("10.2.0.0/16", 4), remote("2001:db8:b::/48", 4),
    remote("10.3.0.0/16", 6), remote("2001:db8:c::/48", 6),
    remote("10.10.0.0/16", 4, vlan=CORE_VLAN), remote("2001:db8:d::/48", 6, vlan=CORE_VLAN),
    remote("10.12.0.0/16", 4, port=16384), remote("10.18.0.0/16", 6, port=16384),
    with_two_locators("10.13.0.0/16"),
    remote("10.14.0.0/16", 4, resolved=False), remote("2001:db8:e::/48", 6, resolved=False),
    remote("10.16.0.0/16", 4, mtu=1400), remote("2001:db8:f::/48", 6, mtu=1400),
    # A prefix of ours that moved to the other site.
    remote("10.1.99.0/24", 4),
    negative("10.4.0.0/16", "nativeForward"), negative("2001:db8:4::/48", "nativeForward"),
    negative("10.5.0.0/16", "sendMapRequest"),
    negative("10.6.0.0/16", "drop"), negative("2001:db8:6::/48", "drop"),
    negative("10.2.9.0/24", "drop"),
    negative("10.7.0.0/16", "policyDenied"), negative("10.8.0.0/16", "authenticationFailure"),
    negative("10.9.0.0/16", "encapsulate"),
    local("10.1.0.0/16", 7, vlan=7), local("2001:db8:a::/48", 7, vlan=7),
    remote("10.2.0.0/16", 6, 7), remote("2001:db8:b::/48", 6, 7),
    local("10.1.0.0/16", LARGEST_INSTANCE, vlan=4094), local("2001:db8:a::/48", LARGEST_INSTANCE, vlan=4094),
    remote("10.2.0.0/16", 4, LARGEST_INSTANCE, vlan=CORE_VLAN), remote("2001:db8:b::/48", 6, LARGEST_INSTANCE),
]


def mapping(instance, prefix):
    return next(entry for entry in MAPPINGS if (entry["instance"], entry["prefix"]) == (instance, prefix))
