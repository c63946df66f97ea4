// SPDX-License-Identifier: Apache-2.0
//
// One packet on its way, and the loads and stores in network byte order: DataPlane/Batch.swift and Wire/Unsafe/PacketBytes.swift.
#pragma once

#include <stdint.h>
#include <string.h>

#include "lookup.h"
#include "state.h"

#define KNOWN_SOURCE 0

struct packet {
  uint8_t *start;
  uint32_t length;
  uint16_t verdict;
  uint16_t inner_offset;
  uint16_t inner_length;
  uint16_t source_place;
  uint8_t inner_family;
  uint8_t time_to_live;
  uint8_t traffic_class;
  uint32_t flow_hash;
  uint32_t instance;
  struct template_block *template;
  uint32_t counter;
  uint16_t outer_offset;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct packet) == 64, "one line");

struct cengine {
  struct packet packets[64];
  struct lookups lookups;
  size_t count;
  struct locator_counter *counters;
  uint64_t encapsulated;
  uint64_t decapsulated;
  struct peer_table peers;
};

static inline uint16_t u16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t u32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t u64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }
static inline uint32_t raw32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t raw64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void put16(uint8_t *p, uint16_t v) { v = __builtin_bswap16(v); memcpy(p, &v, 2); }
static inline void put32(uint8_t *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); }
static inline void put64(uint8_t *p, uint64_t v) { v = __builtin_bswap64(v); memcpy(p, &v, 8); }

/// Ethernet with at most one tag: the type, where the payload begins, the VLAN; false when the frame is too short.
static inline bool read_ethernet(const struct packet *packet, uint16_t *type, size_t *offset, uint16_t *vlan) {
  if (packet->length < 14) return false;
  *type = u16(packet->start + 12);
  *offset = 14;
  *vlan = 0;
  if (*type != 0x8100) return true;
  if (packet->length < 18) return false;
  *type = u16(packet->start + 16);
  *offset = 18;
  *vlan = u16(packet->start + 14) & 0xFFF;
  return true;
}

/// Whether version, header length and total length agree with the bytes there are.
static inline bool is_ipv4(const uint8_t *p, size_t length) {
  return length >= 20 && (uint8_t)(p[0] - 0x45) <= 10 && u16(p + 2) <= length && (size_t)(p[0] & 15) << 2 <= u16(p + 2);
}
static inline bool is_ipv6(const uint8_t *p, size_t length) {
  return length >= 40 && p[0] >> 4 == 6 && (size_t)u16(p + 4) + 40 <= length;
}

/// The one's complement sum of an IPv4 header is a multiple of 0xFFFF.
static inline bool has_valid_header_checksum(const uint8_t *p) {
  uint64_t first = raw64(p), second = raw64(p + 8), sum = (uint32_t)first + (first >> 32) + (uint32_t)second + (second >> 32) + raw32(p + 16);
  for (size_t i = 20, length = (size_t)(p[0] & 15) << 2; i < length; i += 4) sum += raw32(p + i);
  return sum % 0xFFFF == 0;
}

/// The checksum of a sum of words.
static inline uint16_t checksum_of(uint32_t sum) { return ~(uint16_t)((sum + (sum << 16 | sum >> 16)) >> 16); }

/// The checksum after a word changed (RFC 1624).
static inline uint16_t updated(uint16_t checksum, uint16_t old, uint16_t new) {
  return checksum_of((uint16_t)~checksum + (uint16_t)~old + (uint32_t)new);
}

/// What the chain of extension headers ends in.
struct upper_layer {
  uint8_t protocol;
  size_t offset;
  bool is_fragment;
  bool is_later_fragment;
};
bool upper_layer(const uint8_t *p, struct upper_layer *found);
bool is_routed_on(const uint8_t *p);
bool is_refused_by_extension(const uint8_t *p);

/// From a mapping to its template.
struct chain {
  const struct mapping_record *mappings;
  handle_table sets;
  handle_table templates;
};

static inline const void *block(handle_table table, uint32_t handle) {
  return atomic_load_explicit(table + handle, memory_order_acquire);
}

static inline void count(struct cengine *engine, uint32_t counter, size_t length) {
  engine->counters[counter].packets += 1;
  engine->counters[counter].bytes += length;
}

static inline bool is_own_ipv4(const struct forwarding_state *state, uint32_t address) {
  for (int64_t i = 0; i < state->own_ipv4_count; i++)
    if (state->own_ipv4[i] == address) return true;
  return false;
}
static inline bool is_own_ipv6(const struct forwarding_state *state, struct ipv6_address address) {
  for (int64_t i = 0; i < state->own_ipv6_count; i++)
    if (state->own_ipv6[i].high == address.high && state->own_ipv6[i].low == address.low) return true;
  return false;
}

/// The roots of the instance that was looked up last.
struct roots_cache {
  uint32_t instance;
  struct instance_roots roots;
};
static inline struct instance_roots find_roots(struct roots_cache *cache, uint32_t instance, struct table_view table) {
  if (instance != cache->instance) {
    cache->instance = instance;
    cache->roots = find_instance(table, instance);
  }
  return cache->roots;
}

void encapsulate(struct cengine *engine, unsigned port, const struct forwarding_state *state);
void decapsulate(struct cengine *engine, const struct forwarding_state *state);
