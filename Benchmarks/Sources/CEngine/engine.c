// SPDX-License-Identifier: Apache-2.0
//
// A batch from descriptors to descriptors: DataPlane/Batch.swift and Engine.swift.

#include "cengine.h"

#include <stdlib.h>

#include "packet.h"

struct cengine *cengine_create(void *counters) {
  struct cengine *engine = aligned_alloc(64, sizeof *engine);
  if (!engine) return NULL;
  memset(engine, 0, sizeof *engine);
  engine->counters = counters;
  atomic_store_explicit(&engine->peers.epoch, 1ull << 32, memory_order_relaxed);
  return engine;
}

void cengine_destroy(struct cengine *engine) { free(engine); }

static const struct forwarding_state *current(const void *root) {
  return atomic_load_explicit((const _Atomic(struct forwarding_state *) *)root, memory_order_acquire);
}

bool cengine_understands(const void *root, unsigned port, uint8_t role, uint32_t instance, uint64_t generation) {
  const struct forwarding_state *state = current(root);
  if (state->generation != generation || state->roles[port & 15] != role || state->untagged_instance[port & 15] != instance) return false;
  // The last fields: the site has one space of its own, a core port's state none.
  return role == SITE ? state->local_space_count == 1 && state->local_spaces[0].instance == instance : state->local_space_count == 0;
}

static inline void append(struct cengine *engine, uint8_t *start, uint32_t length) {
  engine->packets[engine->count++] = (struct packet){.start = start, .length = length};
  __builtin_prefetch(start, 0, 3);
}

void cengine_forward(struct cengine *engine, uint8_t *area, const struct cengine_descriptor *in, struct cengine_descriptor *out,
                     size_t count, unsigned port, const void *root) {
  engine->count = 0;
  for (size_t i = 0; i < count; i++) append(engine, area + in[i].address, in[i].length);
  clear_lookups(&engine->lookups, engine->count);
  const struct forwarding_state *state = current(root);
  if (state->roles[port & 15] == SITE)
    encapsulate(engine, port & 15, state);
  else
    decapsulate(engine, state);
  for (size_t i = 0; i < engine->count; i++) {
    const struct packet *packet = &engine->packets[i];
    out[i] = (struct cengine_descriptor){packet->start - area, packet->length, packet->verdict};
  }
}

/// Walks at most eight extension headers; false when the chain is longer, cut off, or runs past the packet.
__attribute__((noinline)) bool upper_layer(const uint8_t *p, struct upper_layer *found) {
  size_t end = u16(p + 4) + 40u;
  *found = (struct upper_layer){.protocol = p[6], .offset = 40};
  for (int i = 0; i <= 8; i++) {
    const uint8_t *header = p + found->offset;
    switch (found->protocol) {
      case 0: case 43: case 60:
        if (found->offset + 8 > end) return false;
        found->protocol = header[0];
        found->offset += (header[1] + 1u) * 8;
        break;
      case 44:
        if (found->offset + 8 > end) return false;
        found->protocol = header[0];
        found->is_fragment |= (u16(header + 2) & 0xFFF9) != 0;
        found->is_later_fragment = u16(header + 2) & 0xFFF8;
        found->offset += 8;
        if (found->is_later_fragment) return true;
        break;
      default:
        return found->offset <= end;
    }
    if (found->offset > end) return false;
  }
  return false;
}

// Wire/Packet/HeaderOptions.swift.

__attribute__((noinline)) bool is_routed_on(const uint8_t *p) {
  size_t end = (size_t)(p[0] & 15) << 2;
  for (size_t at = 20; at < end && p[at] != 0;) {
    if (p[at] == 1) { at++; continue; }
    if (at + 2 > end || p[at + 1] < 2 || at + p[at + 1] > end) return true;
    if ((p[at] == 131 || p[at] == 137) && (p[at + 1] < 3 || p[at + 2] <= p[at + 1])) return true;
    at += p[at + 1];
  }
  return false;
}

static bool has_refusing_option(const uint8_t *option, const uint8_t *end) {
  while (option < end) {
    if (*option == 0) { option++; continue; }
    if (*option >> 6 != 0 || option + 2 > end) return true;
    option += 2 + option[1];
  }
  return option > end;
}

__attribute__((noinline)) bool is_refused_by_extension(const uint8_t *p) {
  const uint8_t *header = p + 40;
  for (uint8_t kind = p[6];; ) {
    size_t length = kind == 44 ? 8 : (header[1] + 1u) * 8;
    if (kind != 0 && kind != 43 && kind != 44 && kind != 60) return false;
    if (kind == 0 && header != p + 40) return true;
    if ((kind == 0 || kind == 60) && has_refusing_option(header + 2, header + length)) return true;
    if (kind == 43 && header[3] != 0) return true;
    if (kind == 44 && (u16(header + 2) & 0xFFF8) != 0) return false;
    kind = header[0];
    header += length;
  }
}

