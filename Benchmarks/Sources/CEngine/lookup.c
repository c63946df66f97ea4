// SPDX-License-Identifier: Apache-2.0
//
// The whole batch goes down one level per pass.

#include "lookup.h"

/// Reads one slot; true when there is a deeper node to read.
static inline bool step(struct lookup *item, struct table_view table) {
  struct slot slot = *find_slot(table, item->node, item->bits >> 56);
  if (slot.value != 0) item->value = slot.value;
  if (slot.child == 0) return false;
  item->bits <<= 8;
  item->node = slot.child;
  __builtin_prefetch(find_slot(table, slot.child, item->bits >> 56), 0, 3);
  return true;
}

static __attribute__((noinline)) void switch_to_low(struct lookups *lookups, size_t walking) {
  for (size_t i = 0; i < walking; i++) lookups->items[lookups->active[i]].bits = lookups->items[lookups->active[i]].low;
}

void run_lookups(struct lookups *lookups, struct table_view table) {
  size_t walking = 0;
  for (size_t i = 0; i < lookups->count; i++)
    if (step(&lookups->items[i], table)) lookups->active[walking++] = i;
  for (int depth = 1; walking != 0 && depth < 16; depth++) {
    if (depth == 8) switch_to_low(lookups, walking);
    size_t still = 0;
    for (size_t i = 0; i < walking; i++)
      if (step(&lookups->items[lookups->active[i]], table)) lookups->active[still++] = lookups->active[i];
    walking = still;
  }
}
