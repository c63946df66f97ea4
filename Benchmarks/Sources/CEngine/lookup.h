// SPDX-License-Identifier: Apache-2.0
//
// The batched lookup: PrefixTable/Unsafe/LookupBatch.swift.
#pragma once

#include <string.h>

#include "state.h"

#define HOT inline __attribute__((always_inline))
#define STAGE __attribute__((noinline))
#define COLD static __attribute__((noinline))

struct lookup {
  uint8_t key[16];
  size_t position;
  uint32_t value;
};

struct lookups {
  struct lookup items[128];
  uint16_t walking[129];
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

/// The address is in network byte order, `bytes` long. Reads the root node at once.
static HOT void put_lookup(struct lookups *lookups, size_t place, struct table_view table, uint32_t root, const uint8_t *address,
                              size_t bytes) {
  struct lookup *item = &lookups->items[place];
  struct slot slot = *find_slot(table, root, address[0]);
  size_t position = (size_t)slot.child << 8 | address[1];
  __builtin_prefetch(table.slots + position, 0, 3);
  memcpy(item->key, address, bytes);
  item->position = position;
  item->value = slot.value;
}

void run_lookups(struct lookups *lookups, struct table_view table);
