# SPDX-License-Identifier: Apache-2.0
"""Signs a Map-Register, Map-Notify and Map-Notify-Ack with each algorithm of RFC 9301 12.5 by Python's hmac alone, and prints the authentication
data that RecordedAuthenticationTests expects: python3 signatures.py"""

import hashlib
import hmac

SECRET = b"a secret"
NONCE = bytes.fromhex("0123456789abcdef")
RECORD = bytes.fromhex("000005a0 01 18 10 00 0000 0001 0a010000  01 64 ff 00 0005 0001 c0000201")
IDENTITY = bytes.fromhex("000102030405060708090a0b0c0d0e0f 00000000000000ff")
MESSAGES = {
    "Map-Register": (bytes.fromhex("3a000101"), RECORD + IDENTITY),
    "Map-Notify": (bytes.fromhex("40000001"), RECORD + IDENTITY),
    "Map-Notify-Ack": (bytes.fromhex("50000001"), RECORD),
}


def message_key(name):
    """HKDF (RFC 5869 2.2 and 2.3) of nonce and secret, with the salt of section 5.6 or 5.7, no info, 32 octets: one block."""
    extracted = hmac.new(f"{name} Authentication".encode(), NONCE + SECRET, hashlib.sha256).digest()
    return hmac.new(extracted, b"\x01", hashlib.sha256).digest()


for name, (word, rest) in MESSAGES.items():
    for algorithm, (digest, length) in {1: (hashlib.sha1, 20), 2: (hashlib.sha256, 32), 3: (hashlib.sha256, 32)}.items():
        zeroed = word + NONCE + bytes([7, algorithm, 0, length]) + bytes(length) + rest
        key = message_key(name) if algorithm == 3 else SECRET
        print(name, algorithm, hmac.new(key, zeroed, digest).hexdigest())
