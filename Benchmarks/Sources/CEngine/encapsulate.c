// SPDX-License-Identifier: Apache-2.0
//
// The ITR's stages: DataPlane/Classify.swift and Encapsulate.swift.

#include "packet.h"

static const uint64_t k1 = 0x9E3779B97F4A7C15, k2 = 0xD6E8FEB86659FD93, k3 = 0xA0761D6478BD642F, k4 = 0xE7037ED1A0B428DB;

static inline uint64_t fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)(product >> 64) ^ (uint64_t)product;
}
static inline uint32_t mix(uint64_t addresses, uint32_t ports, uint8_t number) {
  return fold(addresses ^ k1, ((uint64_t)ports << 8 | number) ^ k2);
}
static inline bool has_ports(uint8_t number) { return number == 6 || number == 17 || number == 132; }

static inline uint32_t hash_ipv4(const uint8_t *p) {
  uint64_t addresses = raw64(p + 12);
  if (u16(p + 6) & 0x1FFF) return mix(addresses, 0, 0);
  size_t header = (size_t)(p[0] & 15) << 2;
  return mix(addresses, has_ports(p[9]) && header + 4 <= u16(p + 2) ? raw32(p + header) : 0, p[9]);
}

COLD uint32_t hash_behind_extensions(const uint8_t *p, uint64_t addresses) {
  struct upper_layer upper;
  if (!upper_layer(p, &upper) || upper.is_later_fragment) return mix(addresses, 0, 0);
  bool has_room = has_ports(upper.protocol) && upper.offset + 4 <= u16(p + 4) + 40u;
  return mix(addresses, has_room ? raw32(p + upper.offset) : 0, upper.protocol);
}

static inline uint32_t hash_ipv6(const uint8_t *p) {
  uint64_t addresses = fold(raw64(p + 8) ^ k1, raw64(p + 16) ^ k2) ^ fold(raw64(p + 24) ^ k3, raw64(p + 32) ^ k4);
  if (!has_ports(p[6])) return hash_behind_extensions(p, addresses);
  return mix(addresses, u16(p + 4) >= 4 ? raw32(p + 40) : 0, p[6]);
}

COLD bool is_local(uint32_t mapping, const struct chain *chain) {
  if (mapping == 0) return false;
  const struct set_block *set = block(chain->sets, chain->mappings[mapping].set);
  return set && set->action == LOCAL;
}

/// A space of ours, of the instance whose entries lie under one root.
struct known_range {
  uint32_t root;
  struct local_space space;
};

static inline bool is_known(const struct known_range *known, uint32_t root, uint64_t octets) {
  return root == known->root && ((octets ^ known->space.octets) & known->space.mask) == 0;
}

COLD bool decide(struct known_range *known, uint32_t root, uint32_t instance, uint32_t family, uint64_t octets,
                 const struct forwarding_state *state) {
  for (int64_t i = 0; i < state->local_space_count; i++) {
    const struct local_space *space = &state->local_spaces[i];
    if (space->instance != instance || space->family != family || ((octets ^ space->octets) & space->mask) != 0) continue;
    known->root = root;
    known->space = *space;
    return true;
  }
  return false;
}

COLD uint16_t look_up_source(struct lookups *lookups, uint32_t root, const uint8_t *source, size_t bytes, struct table_view table) {
  uint16_t place = (uint16_t)lookups->count++;
  // As LookupBatch.add does it, for both families.
  uint8_t address[16] = {0};
  memcpy(address, source, bytes);
  put_ipv6_lookup(lookups, place, table, root, address);
  return place;
}

static HOT void describe(struct packet *packet, uint8_t family, uint16_t length, uint8_t time_to_live, uint8_t traffic_class,
                            uint32_t flow_hash) {
  packet->inner_family = family;
  packet->inner_length = length;
  packet->time_to_live = time_to_live;
  packet->traffic_class = traffic_class;
  packet->flow_hash = flow_hash;
}

/// Stage 1.
static HOT void read_inner(struct cengine *engine, size_t place, unsigned port, const struct forwarding_state *state,
                              struct table_view table, struct roots_cache *cache,
                              struct known_range known[2]) {
  struct packet *packet = &engine->packets[place];
  uint16_t type, vlan;
  size_t offset;
  if (!read_ethernet(packet, &type, &offset, &vlan)) { packet->verdict = FRAME_MALFORMED; return; }
  uint32_t instance = state->untagged_instance[port];
  if (vlan != 0) instance = state->vlan_instances[port] ? state->vlan_instances[port][vlan] : NO_INSTANCE;
  if (instance == NO_INSTANCE) { packet->verdict = VLAN_UNKNOWN; return; }
  struct instance_roots roots = find_roots(cache, instance, table);
  const uint8_t *p = packet->start + offset;
  size_t length = packet->length - offset;
  if (type == 0x0800) {
    if (!is_ipv4(p, length)) { packet->verdict = INNER_MALFORMED; return; }
    if (!has_valid_header_checksum(p)) { packet->verdict = HEADER_CHECKSUM_WRONG; return; }
    describe(packet, 4, u16(p + 2), p[8], p[1], hash_ipv4(p));
    put_ipv4_lookup(&engine->lookups, place, table, roots.ipv4, p + 16);
    if (!is_known(&known[0], roots.ipv4, raw32(p + 12)) && !decide(&known[0], roots.ipv4, instance, 4, raw32(p + 12), state))
      packet->source_place = look_up_source(&engine->lookups, roots.ipv4, p + 12, 4, table);
  } else if (type == 0x86DD) {
    if (!is_ipv6(p, length) || u16(p + 4) + 40u > 0xFFFF) { packet->verdict = INNER_MALFORMED; return; }
    describe(packet, 6, u16(p + 4) + 40, p[7], u16(p) >> 4, hash_ipv6(p));
    put_ipv6_lookup(&engine->lookups, place, table, roots.ipv6, p + 24);
    if (!is_known(&known[1], roots.ipv6, raw64(p + 8)) && !decide(&known[1], roots.ipv6, instance, 6, raw64(p + 8), state))
      packet->source_place = look_up_source(&engine->lookups, roots.ipv6, p + 8, 16, table);
  } else {
    packet->verdict = NOT_IP;
  }
  packet->instance = instance;
  packet->inner_offset = offset;
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
static HOT void choose_locator(struct cengine *engine, size_t place, const struct chain *chain, uint32_t *local) {
  struct packet *packet = &engine->packets[place];
  if (packet->source_place != KNOWN_SOURCE) {
    uint32_t from = lookup_value(&engine->lookups, packet->source_place);
    if (from != *local || from == 0) {
      if (!is_local(from, chain)) { packet->verdict = SOURCE_NOT_LOCAL; return; }
      *local = from;
    }
  }
  uint32_t mapping = lookup_value(&engine->lookups, place);
  if (mapping == 0) { packet->verdict = MISS; return; }
  struct mapping_record record = chain->mappings[mapping];
  const struct set_block *set = block(chain->sets, record.set);
  if (!set) { packet->verdict = NO_USABLE_LOCATOR; return; }
  if (set->action != ENCAPSULATE) { packet->verdict = other_action(set->action); return; }
  if (packet->time_to_live <= 1) { packet->verdict = TIME_EXCEEDED; return; }
  uint32_t choice = set->choices[(packet->flow_hash >> 24) & set->mask];
  struct template_block *template = (void *)block(chain->templates, choice & 0xFFFFFF);
  if (!template) { packet->verdict = NO_USABLE_LOCATOR; return; }
  __builtin_prefetch(template, 0, 3);
  __builtin_prefetch((const char *)template + 64, 0, 3);
  packet->template = template;
  packet->counter = record.counters + (choice >> 24);
  __builtin_prefetch(engine->counters + packet->counter, 1, 3);
}

/// The one's complement sum over IPv6 pseudo-header and datagram.
COLD void compute_udp_checksum(uint8_t *outer, size_t length) {
  uint64_t sum = 17 + (length - 40);
  for (size_t i = 8; i < 40; i += 2) sum += u16(outer + i);
  size_t i = 40;
  for (; i + 2 <= length; i += 2) sum += u16(outer + i);
  if (i < length) sum += (uint64_t)outer[i] << 8;
  uint16_t result = checksum_of((sum & 0xFFFF) + (sum >> 16));
  put16(outer + 46, result == 0 ? 0xFFFF : result);
}

/// Stage 4.
static HOT void prepend(struct cengine *engine, struct packet *packet, uint8_t traffic_class_mask,
                           bool computes_udp_checksum) {
  const struct template_block *template = packet->template;
  if (packet->inner_length > template->maximum_packet) { packet->verdict = OUTER_TOO_BIG; return; }
  size_t inner_length = packet->inner_length, prefix = template->prefix_length;
  size_t outer_length = inner_length + template->tunnel_length;
  uint32_t seed = template->checksum_seed;
  uint16_t verdict = template->verdict;
  uint8_t time_to_live = packet->time_to_live - 1;
  uint8_t *inner = packet->start + packet->inner_offset;
  if (packet->inner_family == 4) {
    uint32_t word = u32(inner + 8), carry = (uint16_t)word >= 0xFEFF ? 0xFFFF : 0;
    put32(inner + 8, word - 0x01000000 + 0x0100 - carry);
  } else {
    inner[7] = time_to_live;
  }
  uint8_t *outer = inner - template->tunnel_length;
  uint8_t traffic_class = packet->traffic_class & traffic_class_mask;
  uint64_t lisp = packet->instance == 0 ? 0 : 1ull << 59 | (uint64_t)packet->instance << 8;
  uint16_t source_port = 0xC000 | (packet->flow_hash & 0x3FFF);
  if (template->tunnel_family == 4) {
    memcpy(inner - 72, template, 64);
    uint32_t lifetime = (uint32_t)time_to_live << 8;
    uint16_t checksum = checksum_of(seed + traffic_class + (uint16_t)outer_length + lifetime);
    put32(outer, 0x45u << 24 | (uint32_t)traffic_class << 16 | (uint16_t)outer_length);
    put32(outer + 8, (lifetime | 17) << 16 | checksum);
    put16(outer + 20, source_port);
    put16(outer + 24, inner_length + 16);
    put64(outer + 28, lisp);
  } else {
    memcpy(inner - 88, (const uint8_t *)template + 48, 80);
    put32(outer, 6u << 28 | (uint32_t)traffic_class << 20 | (packet->flow_hash & 0xFFFFF));
    put16(outer + 4, outer_length - 40);
    outer[7] = time_to_live;
    put16(outer + 40, source_port);
    put16(outer + 44, inner_length + 16);
    put64(outer + 48, lisp);
    if (computes_udp_checksum) compute_udp_checksum(outer, outer_length);
  }
  count(engine, packet->counter, inner_length);
  engine->encapsulated += 1;
  packet->start = outer - prefix;
  packet->length = outer_length + prefix;
  packet->inner_offset = 0;
  packet->inner_length = outer_length;
  packet->verdict = verdict;
}

static STAGE void read_inner_headers(struct cengine *engine, unsigned port, const struct forwarding_state *state) {
  struct roots_cache cache = {.instance = NO_INSTANCE};
  struct table_view table = state->table;
  struct known_range known[2] = {{.root = ~0u}, {.root = ~0u}};
  for (size_t i = 0, count = engine->count; i < count; i++) read_inner(engine, i, port, state, table, &cache, known);
}

static STAGE void choose_locators(struct cengine *engine, const struct chain *chain) {
  uint32_t local = 0;
  size_t count = engine->count;
  for (size_t i = 0; i < count; i++) __builtin_prefetch(chain->mappings + lookup_value(&engine->lookups, i), 0, 3);
  for (size_t i = 0; i < count; i++)
    if (engine->packets[i].verdict == PENDING) choose_locator(engine, i, chain, &local);
}

static STAGE void prepend_headers(struct cengine *engine, struct settings settings) {
  uint8_t traffic_class_mask = settings.copies_ecn ? 0xFF : 0xFC;
  for (size_t i = 0, count = engine->count; i < count; i++)
    if (engine->packets[i].verdict == PENDING)
      prepend(engine, &engine->packets[i], traffic_class_mask, settings.computes_udp_checksum);
}

void encapsulate(struct cengine *engine, unsigned port, const struct forwarding_state *state) {
  struct chain chain = {state->mappings, state->sets, state->templates};
  read_inner_headers(engine, port, state);
  run_lookups(&engine->lookups, state->table);
  choose_locators(engine, &chain);
  prepend_headers(engine, state->settings);
}
