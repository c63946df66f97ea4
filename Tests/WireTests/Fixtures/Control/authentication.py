# SPDX-License-Identifier: Apache-2.0
"""Which key a recorded Map-Register, Map-Notify or Map-Notify-Ack was made with, by Python's hmac; make-fixtures.py uses it."""

import hashlib
import hmac

KEYS = ["secret", "R2", "R3"]
HASHES = {1: hashlib.sha1, 2: hashlib.sha256}


def key(message):
    """{"key": the key, or None when it is not known} for a message whose authentication data are all there; {} for all others."""
    if len(message) < 16 or message[0] >> 4 not in (3, 4, 5):
        return {}
    algorithm, length = message[13], int.from_bytes(message[14:16], "big")
    if algorithm not in HASHES or 16 + length > len(message):
        return {}
    zeroed = message[:16] + bytes(length) + message[16 + length:]
    for candidate in KEYS:
        digest = hmac.new(candidate.encode(), zeroed, HASHES[algorithm]).digest()
        if digest[:length] == message[16:16 + length]:
            return {"key": candidate}
    return {"key": None}
