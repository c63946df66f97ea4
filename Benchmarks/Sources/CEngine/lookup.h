// SPDX-License-Identifier: Apache-2.0
//
// The batched lookup: PrefixTable/Unsafe/LookupBatch.swift.
#pragma once

#include "state.h"

struct lookup {
  uint64_t bits;
  uint64_t low;
  uint32_t node;
  uint32_t value;
};

struct lookups {
  struct lookup items[128];
  uint16_t active[128];
  size_t count;
};

static inline const struct slot *find_slot(struct table_view table, uint32_t node, uint8_t place) {
  return table.slots + ((size_t)node << 8 | place);
}

static inline struct instance_roots find_instance(struct table_view table, uint32_t instance) {
  uint32_t first = find_slot(table, table.root, instance >> 16)->child;
  uint32_t second = find_slot(table, first, instance >> 8)->child;
  const struct slot *last = find_slot(table, second, instance);
  return (struct instance_roots){.ipv4 = last->value, .ipv6 = last->child};
}

static inline uint16_t add_lookup(struct lookups *lookups, struct table_view table, uint32_t root, uint64_t high, uint64_t low) {
  size_t place = lookups->count++;
  lookups->items[place] = (struct lookup){.bits = high, .low = low, .node = root, .value = 0};
  __builtin_prefetch(find_slot(table, root, high >> 56), 0, 3);
  return place;
}

void run_lookups(struct lookups *lookups, struct table_view table);
