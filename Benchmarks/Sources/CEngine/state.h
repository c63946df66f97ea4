// SPDX-License-Identifier: Apache-2.0
//
// The published state as the C engine reads it: the layouts of Sources/DataPlane/State and Unsafe, and of Sources/PrefixTable,
// word for word. When one of those changes, this changes; `cengine_understands` and the comparison of bytes tell.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NO_INSTANCE 0xFFFFFFFFu

// PrefixTable/Unsafe/NodeReader.swift
struct node {
  uint64_t map[4];
  uint8_t runs_before[4];
  uint32_t inherited;
  uint32_t shape;
  uint32_t entries[];
};

struct page {
  uint32_t entries[256];
  uint32_t inherited;
  uint32_t shape;
};

struct record {
  uint64_t first, second;  // network byte order
  uint32_t target;
  uint32_t inherited;
  uint32_t length;
};

struct instance_roots {
  uint32_t ipv4;
  uint32_t ipv6;
};

// PrefixTable/TableView.swift
struct table_view {
  const uint8_t *blocks;
  uint32_t root;
};

// DataPlane/Unsafe/MappingRecords.swift
struct mapping_record {
  uint32_t set;
  uint32_t counters;
};

// DataPlane/Unsafe/SetBlock.swift
struct set_block {
  uint8_t action;
  uint8_t free0;
  uint16_t mask;
  uint32_t free1;
  uint32_t choices[];
};

enum action { ENCAPSULATE = 1, LOCAL, NATIVE_FORWARD, SEND_MAP_REQUEST, DROP, POLICY_DENIED, AUTHENTICATION_FAILURE };

// DataPlane/Unsafe/TemplateBlock.swift
struct template_block {
  uint16_t maximum_packet;
  uint8_t ethernet_length;
  uint8_t tunnel_length;
  uint8_t tunnel_family;
  uint8_t prefix_length;
  uint16_t verdict;
  uint32_t checksum_seed;
  uint32_t nonce_word;
  uint8_t rest[112];
};
_Static_assert(sizeof(struct template_block) == 128, "TemplateBlock.byteCount");

// DataPlane/Unsafe/HandleTable.swift
typedef const _Atomic(void *) *handle_table;

// DataPlane/State/ForwardingState.swift. What is here for LISP headers that tell more than an instance ID is not asked for: no benchmark does.
struct settings {
  bool copies_ecn;
  bool computes_udp_checksum;
  bool verifies_udp_checksum;
  bool copies_dscp;
  uint32_t status_bits;
  bool has_no_status_bits;
  bool notes_status_bits;
  bool exchanges_nonces;
} __attribute__((packed));

struct ipv6_address {
  uint64_t high;
  uint64_t low;
};

struct local_space {
  uint32_t instance;
  uint32_t family;
  uint64_t octets, mask;  // network byte order
};

struct forwarding_state {
  uint64_t generation;
  struct table_view table;
  const struct mapping_record *mappings;
  handle_table sets;
  handle_table templates;
  struct settings settings;
  uint8_t roles[16];
  uint32_t untagged_instance[16];
  const uint32_t *vlan_instances[16];
  int64_t own_ipv4_count;
  uint32_t own_ipv4[16];
  int64_t own_ipv6_count;
  struct ipv6_address own_ipv6[16];
  int64_t local_space_count;
  struct local_space local_spaces[16];
};

enum role { SITE = 1, CORE = 2 };

// DataPlane/Unsafe/WorkerCounters.swift
struct locator_counter {
  uint64_t packets;
  uint64_t bytes;
};

// DataPlane/Unsafe/PeerTable.swift
enum { IPV4_PEERS = 1024, IPV6_PEERS = 256 };
struct ipv6_peer {
  _Atomic uint64_t sequence, epoch, high, low;
};
struct peer_table {
  _Atomic uint64_t epoch;
  _Alignas(64) _Atomic uint64_t ipv4[IPV4_PEERS];
  struct ipv6_peer ipv6[IPV6_PEERS];
};

// DataPlane/State/Verdict.swift
enum verdict { PENDING = 0, TRANSMIT = 0x100, DROPPED = 0x200, PUNTED = 0x300 };

enum drop {
  FRAME_MALFORMED = DROPPED, VLAN_UNKNOWN, NOT_IP, HEADER_CHECKSUM_WRONG,
  INNER_MALFORMED, SOURCE_NOT_LOCAL, MAPPING_DROP, POLICY_DENIED_BY_MAPPING, AUTHENTICATION_FAILED, NO_USABLE_LOCATOR, OUTER_TOO_BIG,
  OUTER_MALFORMED, OUTER_FRAGMENT, OUTER_OPTION_REFUSED, UDP_MALFORMED, NOT_LISP, LISP_TRUNCATED, UDP_CHECKSUM_WRONG, ENCRYPTED_WITHOUT_KEY,
  OUTER_SOURCE_INVALID, INSTANCE_UNKNOWN, INNER_VERSION_UNKNOWN, INNER_TRUNCATED, DESTINATION_NOT_LOCAL, CONGESTION_MARK_LOST,
  DELIVERY_TOO_BIG
};

enum punt { MISS = PUNTED, NATIVELY, TIME_EXCEEDED, OUTER_NEIGHBOUR, INNER_NEIGHBOUR, CONTROL };
