// SPDX-License-Identifier: Apache-2.0
//
// The whole batch goes down one level per pass.

#include "lookup.h"

/// Reads one slot at `depth` and asks for the next; returns the node to go on in.
static inline uint32_t step(struct lookup *item, size_t depth, const struct slot *slots) {
  struct slot slot = slots[item->position];
  item->value = slot.value != 0 ? slot.value : item->value;
  size_t position = (size_t)slot.child << 8 | ((const uint8_t *)item)[depth + 1];
  item->position = position;
  __builtin_prefetch(slots + position, 0, 3);
  return slot.child;
}

void run_lookups(struct lookups *lookups, struct table_view table) {
  const struct slot *slots = table.slots;
  size_t walking = 0;
  for (size_t i = 0, count = lookups->count; i < count; i++) {
    uint32_t child = step(&lookups->items[i], 1, slots);
    lookups->walking[walking] = i;
    walking += child != 0;
  }
  for (size_t depth = 2; walking != 0 && depth < 16; depth++) {
    size_t still = 0;
    for (size_t i = 0; i < walking; i++) {
      uint16_t place = lookups->walking[i];
      uint32_t child = step(&lookups->items[place], depth, slots);
      lookups->walking[still] = place;
      still += child != 0;
    }
    walking = still;
  }
}
