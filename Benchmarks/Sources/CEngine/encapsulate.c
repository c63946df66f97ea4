// SPDX-License-Identifier: Apache-2.0
//
// The ITR's stages: DataPlane/Classify.swift and Encapsulate.swift.

#include "packet.h"

#define COLD static __attribute__((noinline))

static const uint64_t k1 = 0x9E3779B97F4A7C15, k2 = 0xD6E8FEB86659FD93;

static inline uint64_t fold(uint64_t high, uint64_t low) {
  uint64_t x = (high ^ k1) * k2;
  return (x ^ x >> 32 ^ low) * k1;
}
static inline uint32_t mix(uint64_t addresses, uint64_t ports, uint64_t number) {
  uint64_t h = addresses * k1;
  h = (h ^ h >> 32 ^ ports << 8 ^ number) * k2;
  return h >> 32;
}
static inline bool has_ports(uint8_t number) { return number == 6 || number == 17 || number == 132; }

static inline uint32_t hash_ipv4(const uint8_t *p) {
  uint64_t addresses = u64(p + 12);
  if (u16(p + 6) & 0x1FFF) return mix(addresses, 0, 0);
  size_t header = (size_t)(p[0] & 15) << 2;
  return mix(addresses, has_ports(p[9]) && header + 4 <= u16(p + 2) ? u32(p + header) : 0, p[9]);
}

COLD uint32_t hash_behind_extensions(const uint8_t *p, uint64_t addresses) {
  struct upper_layer upper;
  if (!upper_layer(p, &upper) || upper.is_later_fragment) return mix(addresses, 0, 0);
  bool has_room = has_ports(upper.protocol) && upper.offset + 4 <= u16(p + 4) + 40u;
  return mix(addresses, has_room ? u32(p + upper.offset) : 0, upper.protocol);
}

static inline uint32_t hash_ipv6(const uint8_t *p) {
  uint64_t addresses = fold(u64(p + 8), u64(p + 16)) ^ fold(u64(p + 24), u64(p + 32)) * k2;
  if (!has_ports(p[6])) return hash_behind_extensions(p, addresses);
  return mix(addresses, u16(p + 4) >= 4 ? u32(p + 40) : 0, p[6]);
}

/// Stage 1.
static inline void read_inner(struct cengine *engine, struct packet *packet, unsigned port, const struct forwarding_state *state,
                              struct roots_cache *cache) {
  uint16_t type, vlan;
  size_t offset;
  if (!read_ethernet(packet, &type, &offset, &vlan)) { packet->verdict = FRAME_MALFORMED; return; }
  uint32_t instance = state->untagged_instance[port];
  if (vlan != 0) instance = state->vlan_instances[port] ? state->vlan_instances[port][vlan] : NO_INSTANCE;
  if (instance == NO_INSTANCE) { packet->verdict = VLAN_UNKNOWN; return; }
  packet->instance = instance;
  packet->inner_offset = offset;
  struct instance_roots roots = find_roots(cache, instance, state->table);
  const uint8_t *p = packet->start + offset;
  size_t length = packet->length - offset;
  if (type == 0x0800) {
    if (!is_ipv4(p, length)) { packet->verdict = INNER_MALFORMED; return; }
    packet->inner_family = 4;
    packet->inner_length = u16(p + 2);
    packet->time_to_live = p[8];
    packet->traffic_class = p[1];
    packet->flow_hash = hash_ipv4(p);
    packet->destination_place = add_lookup(&engine->lookups, state->table, roots.ipv4, (uint64_t)u32(p + 16) << 32, 0);
    packet->source_place = add_lookup(&engine->lookups, state->table, roots.ipv4, (uint64_t)u32(p + 12) << 32, 0);
  } else if (type == 0x86DD) {
    if (!is_ipv6(p, length) || u16(p + 4) + 40u > 0xFFFF) { packet->verdict = INNER_MALFORMED; return; }
    packet->inner_family = 6;
    packet->inner_length = u16(p + 4) + 40;
    packet->time_to_live = p[7];
    packet->traffic_class = u16(p) >> 4;
    packet->flow_hash = hash_ipv6(p);
    packet->destination_place = add_lookup(&engine->lookups, state->table, roots.ipv6, u64(p + 24), u64(p + 32));
    packet->source_place = add_lookup(&engine->lookups, state->table, roots.ipv6, u64(p + 8), u64(p + 16));
  } else {
    packet->verdict = NOT_IP;
  }
}

COLD bool is_local(uint32_t mapping, const struct forwarding_state *state) {
  if (mapping == 0) return false;
  const struct set_block *set = block(state->sets, state->mappings[mapping].set);
  return set && set->action == LOCAL;
}

COLD uint16_t other_action(uint8_t action) {
  switch (action) {
    case LOCAL: case NATIVE_FORWARD: return NATIVELY;
    case SEND_MAP_REQUEST: return MISS;
    case DROP: return MAPPING_DROP;
    case POLICY_DENIED: return POLICY_DENIED_BY_MAPPING;
    case AUTHENTICATION_FAILURE: return AUTHENTICATION_FAILED;
    default: return NO_USABLE_LOCATOR;
  }
}

/// Stage 3.
static inline void choose_locator(struct cengine *engine, struct packet *packet, const struct forwarding_state *state, uint32_t *local) {
  uint32_t from = engine->lookups.items[packet->source_place].value;
  if (from != *local || from == 0) {
    if (!is_local(from, state)) { packet->verdict = SOURCE_NOT_LOCAL; return; }
    *local = from;
  }
  uint32_t mapping = engine->lookups.items[packet->destination_place].value;
  if (mapping == 0) { packet->verdict = MISS; return; }
  struct mapping_record record = state->mappings[mapping];
  const struct set_block *set = block(state->sets, record.set);
  if (!set) { packet->verdict = NO_USABLE_LOCATOR; return; }
  if (set->action != ENCAPSULATE) { packet->verdict = other_action(set->action); return; }
  if (packet->time_to_live <= 1) { packet->verdict = TIME_EXCEEDED; return; }
  uint32_t choice = set->choices[(packet->flow_hash >> 24) & set->mask];
  packet->ordinal = choice >> 24;
  packet->counter = record.counters + packet->ordinal;
  struct template_block *template = (void *)block(state->templates, choice & 0xFFFFFF);
  if (!template) { packet->verdict = NO_USABLE_LOCATOR; return; }
  packet->template = template;
  __builtin_prefetch(template, 0, 3);
  __builtin_prefetch((const char *)template + 64, 0, 3);
}

static inline uint16_t checksum(uint64_t sum) {
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return ~(uint16_t)sum;
}

/// The one's complement sum over IPv6 pseudo-header and datagram.
COLD void compute_udp_checksum(uint8_t *outer, size_t length) {
  uint64_t sum = 17 + (length - 40);
  for (size_t i = 8; i < 40; i += 2) sum += u16(outer + i);
  size_t i = 40;
  for (; i + 2 <= length; i += 2) sum += u16(outer + i);
  if (i < length) sum += (uint64_t)outer[i] << 8;
  uint16_t result = checksum((sum & 0xFFFF) + (sum >> 16));
  put16(outer + 46, result == 0 ? 0xFFFF : result);
}

/// Stage 4.
static inline void prepend(struct cengine *engine, struct packet *packet, struct settings settings) {
  const struct template_block *template = packet->template;
  size_t inner_length = packet->inner_length, ethernet = template->ethernet_length, header = template->header_length;
  size_t outer_length = inner_length + header - ethernet;
  if (outer_length > template->mtu) { packet->verdict = OUTER_TOO_BIG; return; }
  uint8_t time_to_live = packet->time_to_live - 1;
  uint8_t *inner = packet->start + packet->inner_offset;
  inner[packet->inner_family == 4 ? 8 : 7] = time_to_live;
  if (packet->inner_family == 4) {
    uint32_t sum = u16(inner + 10) + 0x0100u;
    put16(inner + 10, sum + (sum >= 0xFFFF));
  }
  copy_header(template, inner, header > 64);
  uint8_t *outer = inner - (header - ethernet);
  uint8_t traffic_class = settings.copies_ecn ? packet->traffic_class : packet->traffic_class & 0xFC;
  uint64_t lisp = packet->instance == 0 ? 0 : 1ull << 59 | (uint64_t)packet->instance << 8;
  uint16_t source_port = 0xC000 | (packet->flow_hash & 0x3FFF);
  if (template->tunnel_family == 4) {
    outer[1] = traffic_class;
    put16(outer + 2, outer_length);
    outer[8] = time_to_live;
    put16(outer + 10, checksum((uint64_t)template->checksum_seed + traffic_class + (uint16_t)outer_length + ((uint32_t)time_to_live << 8)));
    put16(outer + 20, source_port);
    put16(outer + 24, inner_length + 16);
    put64(outer + 28, lisp);
  } else {
    put32(outer, 6u << 28 | (uint32_t)traffic_class << 20 | (packet->flow_hash & 0xFFFFF));
    put16(outer + 4, outer_length - 40);
    outer[7] = time_to_live;
    put16(outer + 40, source_port);
    put16(outer + 44, inner_length + 16);
    put64(outer + 48, lisp);
    if (settings.computes_udp_checksum) compute_udp_checksum(outer, outer_length);
  }
  count(engine, packet->counter, inner_length);
  engine->encapsulated += 1;
  size_t before = template->is_resolved ? ethernet : 0;
  packet->start = outer - before;
  packet->length = outer_length + before;
  packet->inner_offset = 0;
  packet->verdict = template->is_resolved ? TRANSMIT | template->port : OUTER_NEIGHBOUR;
}

void encapsulate(struct cengine *engine, unsigned port, const struct forwarding_state *state) {
  struct roots_cache cache = {.instance = NO_INSTANCE};
  uint32_t local = 0;
  for (size_t i = 0; i < engine->count; i++) read_inner(engine, &engine->packets[i], port, state, &cache);
  run_lookups(&engine->lookups, state->table);
  for (size_t i = 0; i < engine->lookups.count; i++) __builtin_prefetch(state->mappings + engine->lookups.items[i].value, 0, 3);
  for (size_t i = 0; i < engine->count; i++)
    if (engine->packets[i].verdict == PENDING) choose_locator(engine, &engine->packets[i], state, &local);
  for (size_t i = 0; i < engine->count; i++)
    if (engine->packets[i].verdict == PENDING) prepend(engine, &engine->packets[i], state->settings);
}
