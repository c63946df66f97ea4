// SPDX-License-Identifier: Apache-2.0
//
// What the steering program and its loader agree on: the layout of the maps' keys and values. Included by
// steer.bpf.c (for the kernel) and by Sources/CLinux/include/clinux_bpf.h (for Swift). Nothing here is on the wire.
#pragma once

#include <linux/types.h>

/// Bits of `steer_config.role`. 0: everything passes.
#define STEER_CORE 1 /* lift LISP data to our RLOCs */
#define STEER_SITE 2 /* lift what the site's hosts send to elsewhere */

/// Bits of the values in map `addresses`. Every address of the host is there; those that are RLOCs are marked.
#define STEER_OWN 1
#define STEER_RLOC 2

/// Limits of ours on what the rules of one interface name. The maps hold twice as much, so that new rules always fit beside
/// the old ones that they replace. A trie's nodes are allocated one by one, so its limit costs nothing; a hash map has its
/// buckets (16 bytes each) from the start.
#define STEER_ADDRESSES_MAX 4096
#define STEER_ADDRESSES_CAPACITY (2 * STEER_ADDRESSES_MAX)
#define STEER_PREFIXES_MAX 131072
#define STEER_PREFIXES_CAPACITY (2 * STEER_PREFIXES_MAX)

/// The one value of map `config`: all of it is 8 bytes.
struct steer_config {
  __u8 mac[6]; /* frames to this address only, in wire order */
  __u8 role;   /* STEER_CORE | STEER_SITE */
  __u8 zero;
};

/// The key of map `addresses` (vlan 0) and, behind a length, of map `prefixes`: a string of bits, most significant first.
struct steer_address {
  __be16 vlan;     /* VLAN ID, 0: untagged */
  __u8 family;     /* 4 or 6 */
  __u8 zero;       /* keeps what follows aligned */
  __u8 octets[16]; /* IPv4 in the first four, the others 0 */
} __attribute__((aligned(4)));

/// The key of map `prefixes`, as BPF_MAP_TYPE_LPM_TRIE wants it.
struct steer_prefix {
  __u32 length; /* in bits, from `vlan` on: 32 + the prefix's length */
  struct steer_address address;
};

/// How many bits of `steer_address` come before the octets.
#define STEER_ADDRESS_PREAMBLE 32
