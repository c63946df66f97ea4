// SPDX-License-Identifier: Apache-2.0
//
// The ETR's stages: DataPlane/Decapsulate.swift. The senders it remembers: DataPlane/Unsafe/PeerTable.swift.

#include "packet.h"

/// RFC 6040 4.2; −1: drop.
static inline int combine_ecn(uint8_t inner, uint8_t outer) {
  unsigned place = (inner & 3u) << 3 | (outer & 3u) << 1;
  return place == 6 ? -1 : (int)(0xFFE6D500 >> place & 3);
}

COLD bool has_right_checksum(const uint8_t *datagram, size_t available, const uint8_t *addresses, size_t address_bytes) {
  if (available < 8 || u16(datagram + 4) < 8 || u16(datagram + 4) > available || u16(datagram + 6) == 0) return true;
  size_t length = u16(datagram + 4), i = 0;
  uint64_t sum = 17 + length;
  for (size_t a = 0; a < address_bytes; a += 2) sum += u16(addresses + a);
  for (; i + 2 <= length; i += 2) sum += u16(datagram + i);
  if (i < length) sum += (uint64_t)datagram[i] << 8;
  while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
  return sum == 0xFFFF;
}

COLD void pass_up(struct packet *packet) {
  uint16_t type, vlan;
  size_t offset;
  if (!read_ethernet(packet, &type, &offset, &vlan)) { packet->verdict = FRAME_MALFORMED; return; }
  packet->start += offset;
  packet->length -= offset;
  packet->verdict = CONTROL;
}

static HOT void read_lisp(struct packet *packet, uint8_t *udp, size_t available) {
  if (available < 8 || u16(udp + 4) < 8 || u16(udp + 4) > available) { packet->verdict = UDP_MALFORMED; return; }
  if (u16(udp + 2) != 4341) { packet->verdict = NOT_LISP; return; }
  size_t length = u16(udp + 4) - 8u;
  if (length < 8) { packet->verdict = LISP_TRUNCATED; return; }
  uint64_t lisp = u64(udp + 8);
  if (lisp >> 56 & 3) { packet->verdict = ENCRYPTED_WITHOUT_KEY; return; }
  uint32_t instance = lisp >> 59 & 1 ? (lisp >> 8) & 0xFFFFFF : 0;
  packet->instance = instance;
  if (instance == 0xFFFFFF) { pass_up(packet); return; }
  packet->inner_offset = udp + 16 - packet->start;
  packet->inner_length = length - 8;
}

static inline uint64_t load(const _Atomic uint64_t *word) { return atomic_load_explicit(word, memory_order_relaxed); }

static inline size_t ipv4_place(uint32_t address) { return address * 0x9E3779B1u >> 22; }
static inline size_t ipv6_place(struct ipv6_address address) {
  return (address.high ^ (address.low << 32 | address.low >> 32)) * 0x9E3779B97F4A7C15u >> 56;
}
static inline bool holds_ipv4(const struct peer_table *peers, uint32_t address, uint64_t epoch) {
  return load(&peers->ipv4[ipv4_place(address)]) == (epoch | address);
}
static inline bool holds_ipv6(const struct peer_table *peers, struct ipv6_address address, uint64_t epoch) {
  const struct ipv6_peer *slot = &peers->ipv6[ipv6_place(address)];
  return ((load(&slot->low) ^ address.low) | (load(&slot->high) ^ address.high) | (load(&slot->epoch) ^ epoch)) == 0;
}

COLD void note_peer(struct peer_table *peers, const uint8_t *outer) {
  uint64_t epoch = load(&peers->epoch);
  if (outer[0] >> 4 == 4) {
    uint32_t address = u32(outer + 12);
    if (holds_ipv4(peers, address, epoch)) return;
    atomic_store_explicit(&peers->ipv4[ipv4_place(address)], epoch | address, memory_order_relaxed);
  } else {
    struct ipv6_address address = {u64(outer + 8), u64(outer + 16)};
    if (holds_ipv6(peers, address, epoch)) return;
    struct ipv6_peer *slot = &peers->ipv6[ipv6_place(address)];
    uint64_t before = load(&slot->sequence);
    atomic_store_explicit(&slot->sequence, before + 1, memory_order_relaxed);
    atomic_store_explicit(&slot->high, address.high, memory_order_release);
    atomic_store_explicit(&slot->low, address.low, memory_order_release);
    atomic_store_explicit(&slot->epoch, epoch, memory_order_relaxed);
    atomic_store_explicit(&slot->sequence, before + 2, memory_order_release);
  }
}

/// Stage 1.
static HOT void read_outer(struct packet *packet, const struct forwarding_state *state, bool verifies, const struct peer_table *peers,
                           uint64_t epoch) {
  uint16_t type, vlan;
  size_t offset;
  if (!read_ethernet(packet, &type, &offset, &vlan)) { packet->verdict = FRAME_MALFORMED; return; }
  uint8_t *p = packet->start + offset;
  size_t length = packet->length - offset;
  uint8_t traffic_class, time_to_live;
  size_t header;
  if (type == 0x0800) {
    if (!is_ipv4(p, length)) { packet->verdict = OUTER_MALFORMED; return; }
    if (!has_valid_header_checksum(p)) { packet->verdict = HEADER_CHECKSUM_WRONG; return; }
    if (p[9] != 17) { packet->verdict = NOT_LISP; return; }
    if (u16(p + 6) & 0x3FFF) { packet->verdict = OUTER_FRAGMENT; return; }
    if (p[0] != 0x45 && is_routed_on(p)) { packet->verdict = OUTER_OPTION_REFUSED; return; }
    uint32_t source = u32(p + 12);
    if (source >> 24 == 0 || source >> 24 == 127 || source >> 29 == 7 || is_own_ipv4(state, source)) {
      packet->verdict = OUTER_SOURCE_INVALID;
      return;
    }
    if (!holds_ipv4(peers, source, epoch)) packet->outer_offset = offset;
    header = (size_t)(p[0] & 15) << 2;
    length = u16(p + 2);
    traffic_class = p[1];
    time_to_live = p[8];
    if (verifies && !has_right_checksum(p + header, length - header, p + 12, 8)) { packet->verdict = UDP_CHECKSUM_WRONG; return; }
  } else if (type == 0x86DD) {
    if (!is_ipv6(p, length)) { packet->verdict = OUTER_MALFORMED; return; }
    header = 40;
    if (p[6] != 17) {
      struct upper_layer upper;
      if (!upper_layer(p, &upper) || upper.protocol != 17) { packet->verdict = NOT_LISP; return; }
      if (upper.is_fragment) { packet->verdict = OUTER_FRAGMENT; return; }
      if (is_refused_by_extension(p)) { packet->verdict = OUTER_OPTION_REFUSED; return; }
      header = upper.offset;
    }
    struct ipv6_address source = {u64(p + 8), u64(p + 16)};
    if (source.high >> 56 == 0xFF || (source.high == 0 && source.low <= 1) || is_own_ipv6(state, source)) {
      packet->verdict = OUTER_SOURCE_INVALID;
      return;
    }
    if (!holds_ipv6(peers, source, epoch)) packet->outer_offset = offset;
    length = u16(p + 4) + 40u;
    traffic_class = u16(p) >> 4;
    time_to_live = p[7];
    if (verifies && !has_right_checksum(p + header, length - header, p + 8, 32)) { packet->verdict = UDP_CHECKSUM_WRONG; return; }
  } else {
    packet->verdict = NOT_IP;
    return;
  }
  packet->traffic_class = traffic_class;
  packet->time_to_live = time_to_live;
  read_lisp(packet, p + header, length - header);
}

COLD void merge_traffic_class(struct packet *packet, uint8_t outer, bool copies_dscp) {
  int ecn = combine_ecn(packet->traffic_class, outer);
  if (ecn < 0) { packet->verdict = CONGESTION_MARK_LOST; return; }
  packet->traffic_class = ((copies_dscp ? outer : packet->traffic_class) & 0xFC) | ecn;
}

static HOT void merge(struct packet *packet, uint8_t family, uint16_t length, uint8_t time_to_live, uint8_t traffic_class, bool copies_dscp) {
  packet->inner_family = family;
  packet->inner_length = length;
  if (time_to_live < packet->time_to_live) packet->time_to_live = time_to_live;
  uint8_t outer = packet->traffic_class;
  packet->traffic_class = traffic_class;
  if ((traffic_class ^ outer) & (copies_dscp ? 0xFF : 0x03)) merge_traffic_class(packet, outer, copies_dscp);
}

/// Stage 2.
static HOT void read_inner(struct cengine *engine, size_t place, struct table_view table, struct roots_cache *cache, bool copies_dscp) {
  struct packet *packet = &engine->packets[place];
  struct instance_roots roots = find_roots(cache, packet->instance, table);
  if ((roots.ipv4 | roots.ipv6) == 0) { packet->verdict = INSTANCE_UNKNOWN; return; }
  const uint8_t *p = packet->start + packet->inner_offset;
  size_t available = packet->inner_length;
  if (available < 20) { packet->verdict = INNER_TRUNCATED; return; }
  if (p[0] >> 4 == 4) {
    if (!is_ipv4(p, available)) { packet->verdict = INNER_TRUNCATED; return; }
    if (!has_valid_header_checksum(p)) { packet->verdict = HEADER_CHECKSUM_WRONG; return; }
    merge(packet, 4, u16(p + 2), p[8], p[1], copies_dscp);
    put_ipv4_lookup(&engine->lookups, place, table, roots.ipv4, p + 16);
  } else if (p[0] >> 4 == 6) {
    if (!is_ipv6(p, available)) { packet->verdict = INNER_TRUNCATED; return; }
    merge(packet, 6, u16(p + 4) + 40, p[7], u16(p) >> 4, copies_dscp);
    put_ipv6_lookup(&engine->lookups, place, table, roots.ipv6, p + 24);
  } else {
    packet->verdict = INNER_VERSION_UNKNOWN;
  }
}

/// Stage 4.
static HOT void choose_host(struct cengine *engine, size_t place, const struct chain *chain) {
  struct packet *packet = &engine->packets[place];
  uint32_t mapping = lookup_value(&engine->lookups, place);
  if (mapping == 0) { packet->verdict = DESTINATION_NOT_LOCAL; return; }
  struct mapping_record record = chain->mappings[mapping];
  const struct set_block *set = block(chain->sets, record.set);
  if (!set || set->action != LOCAL) { packet->verdict = DESTINATION_NOT_LOCAL; return; }
  packet->template = (void *)block(chain->templates, set->choices[0] & 0xFFFFFF);
  packet->counter = record.counters;
  __builtin_prefetch(engine->counters + packet->counter, 1, 3);
  if (packet->template) __builtin_prefetch(packet->template, 0, 3);
}

static HOT uint16_t rewrite(struct cengine *engine, struct packet *packet, uint8_t *inner, uint8_t time_to_live) {
  count(engine, packet->counter, packet->inner_length);
  engine->decapsulated += 1;
  if (packet->outer_offset) note_peer(&engine->peers, packet->start + packet->outer_offset);
  if (packet->inner_family == 4) {
    uint32_t word = u32(inner + 8), new = (uint32_t)time_to_live << 8 | (word >> 16 & 0xFF);
    put32(inner + 8, new << 16 | updated(word, word >> 16, new));
    if (inner[1] != packet->traffic_class) {
      uint16_t old = u16(inner);
      inner[1] = packet->traffic_class;
      put16(inner + 10, updated(u16(inner + 10), old, (old & 0xFF00) | packet->traffic_class));
    }
    return 0x0800;
  }
  inner[7] = time_to_live;
  if ((uint8_t)(u16(inner) >> 4) != packet->traffic_class) put16(inner, (u16(inner) & 0xF00F) | (uint16_t)packet->traffic_class << 4);
  return 0x86DD;
}

COLD void pass_to_kernel(struct cengine *engine, struct packet *packet) {
  uint8_t *inner = packet->start + packet->inner_offset;
  rewrite(engine, packet, inner, packet->time_to_live);
  packet->start = inner;
  packet->length = packet->inner_length;
  packet->inner_offset = 0;
  packet->verdict = packet->time_to_live <= 1 ? TIME_EXCEEDED : INNER_NEIGHBOUR;
}

/// Stage 5.
static HOT void deliver(struct cengine *engine, struct packet *packet) {
  const struct template_block *template = packet->template;
  if (!template || packet->time_to_live <= 1 || template->verdict >> 8 != 1) { pass_to_kernel(engine, packet); return; }
  uint16_t verdict = template->verdict, maximum_packet = template->maximum_packet;
  size_t ethernet = template->ethernet_length, length = packet->inner_length;
  uint8_t *inner = packet->start + packet->inner_offset;
  if (length > maximum_packet) { packet->verdict = DELIVERY_TOO_BIG; return; }
  uint16_t type = rewrite(engine, packet, inner, packet->time_to_live - 1);
  memcpy(inner - 32, (const uint8_t *)template + 32, 32);
  packet->start = inner - ethernet;
  packet->length = length + ethernet;
  put16(inner - 2, type);
  packet->verdict = verdict;
}

static STAGE void read_outer_headers(struct cengine *engine, const struct forwarding_state *state) {
  bool verifies = state->settings.verifies_udp_checksum;
  uint64_t epoch = load(&engine->peers.epoch);
  for (size_t i = 0, count = engine->count; i < count; i++) read_outer(&engine->packets[i], state, verifies, &engine->peers, epoch);
}

static STAGE void read_inner_headers(struct cengine *engine, struct table_view table, bool copies_dscp) {
  struct roots_cache cache = {.instance = NO_INSTANCE};
  for (size_t i = 0, count = engine->count; i < count; i++)
    if (engine->packets[i].verdict == PENDING) read_inner(engine, i, table, &cache, copies_dscp);
}

static STAGE void choose_hosts(struct cengine *engine, const struct chain *chain) {
  size_t count = engine->count;
  for (size_t i = 0; i < count; i++) __builtin_prefetch(chain->mappings + lookup_value(&engine->lookups, i), 0, 3);
  for (size_t i = 0; i < count; i++)
    if (engine->packets[i].verdict == PENDING) choose_host(engine, i, chain);
}

static STAGE void deliver_packets(struct cengine *engine) {
  for (size_t i = 0, count = engine->count; i < count; i++)
    if (engine->packets[i].verdict == PENDING) deliver(engine, &engine->packets[i]);
}

void decapsulate(struct cengine *engine, const struct forwarding_state *state) {
  struct chain chain = {state->mappings, state->sets, state->templates};
  read_outer_headers(engine, state);
  read_inner_headers(engine, state->table, state->settings.copies_dscp);
  run_lookups(&engine->lookups, state->table);
  choose_hosts(engine, &chain);
  deliver_packets(engine);
}
