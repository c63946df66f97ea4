// SPDX-License-Identifier: Apache-2.0
//
// The whole batch goes down one level per two passes.

#include "lookup.h"

uint32_t walk(const uint8_t *blocks, uint32_t entry, uint64_t first, uint64_t second) {
  while (is_link(entry)) {
    const uint8_t *block = block_of(blocks, entry);
    if (is_record(entry)) {
      const struct record *record = (const struct record *)block;
      entry = is_covered(record, first, second) ? record->target : record->inherited;
      continue;
    }
    uint32_t shape = is_node(entry) ? ((const struct node *)block)->shape : ((const struct page *)block)->shape;
    uint8_t octet = (uint8_t)((shape & 64 ? second : first) >> (shape & 63));
    entry = is_node(entry) ? entry_at(blocks, entry_position(blocks, entry, octet)) : page_entry(blocks, entry, octet);
  }
  return entry;
}

struct lists {
  size_t node_count, record_count;
};

static HOT void add(struct lookups *lookups, struct lists *lists, size_t place, uint32_t entry) {
  lookups->nodes[lists->node_count] = (uint16_t)place;
  lists->node_count += entry & 1;
  lookups->records[lists->record_count] = (uint16_t)place;
  lists->record_count += entry >> 1 & 1;
}

static HOT void follow(struct lookups *lookups, struct lists *lists, size_t place, uint32_t entry, const uint8_t *blocks) {
  prefetch_link(blocks, entry);
  lookups->entries[place] = entry;
  add(lookups, lists, place, entry);
}

static HOT void locate(struct lookups *lookups, size_t place, uint32_t node, uint8_t octet, const uint8_t *blocks) {
  uint32_t position = entry_position(blocks, node, octet);
  __builtin_prefetch(blocks + (size_t)position * 4 + BEFORE_ENTRIES, 0, 3);
  lookups->positions[place] = position;
}

static HOT void take(struct lookups *lookups, struct lists *lists, size_t place, const uint8_t *blocks, bool ends_soon) {
  uint32_t entry = lookups->entries[place];
  if (entry & 1) lookups->entries[place] = entry = entry_at(blocks, lookups->positions[place]);
  if (ends_soon && !is_link(entry)) return;
  prefetch_link(blocks, entry);
  add(lookups, lists, place, entry);
}

static HOT void take_first(struct lookups *lookups, struct lists *lists, const uint8_t *blocks, bool ends_soon) {
  for (size_t place = 0, count = lookups->count; place < count; place += 4)
    for (size_t i = 0; i < 4; i++) take(lookups, lists, place + i, blocks, ends_soon);
}

static HOT void read_first(struct lookups *lookups, struct lists *lists, const uint8_t *blocks) {
  for (size_t i = 0; i < 3; i++) lookups->entries[lookups->count + i] = 0;
  for (size_t place = 0, count = lookups->count; place < count; place += 4) {
    for (size_t i = 0; i < 4; i++) {
      uint32_t node = lookups->entries[place + i];
      if (node & 1) locate(lookups, place + i, node, lookups->octets[place + i], blocks);
    }
  }
  if (lookups->ends_soon) take_first(lookups, lists, blocks, true);
  else take_first(lookups, lists, blocks, false);
  lookups->ends_soon = (lists->node_count + lists->record_count) * 8 < lookups->count;
}

static HOT void descend(struct lookups *lookups, struct lists *lists, const uint8_t *blocks) {
  size_t count = lists->node_count;
  for (size_t i = 0; i < count; i++) {
    uint16_t place = lookups->nodes[i];
    uint32_t node = lookups->entries[place], shape = ((const struct node *)block_of(blocks, node))->shape;
    locate(lookups, place, node, (uint8_t)(lookups->first[place] >> (shape & 63)), blocks);
  }
  lists->node_count = 0;
  for (size_t i = 0; i < count; i++) {
    uint16_t place = lookups->nodes[i];
    follow(lookups, lists, place, entry_at(blocks, lookups->positions[place]), blocks);
  }
}

static HOT void pass_records(struct lookups *lookups, struct lists *lists, const uint8_t *blocks) {
  size_t count = lists->record_count;
  lists->record_count = 0;
  for (size_t i = 0; i < count; i++) {
    uint16_t place = lookups->records[i];
    uint64_t first = lookups->first[place], second = lookups->second[place];
    const struct record *record = (const struct record *)block_of(blocks, lookups->entries[place]);
    uint32_t next = is_covered(record, first, second) ? record->target : record->inherited;
    while (is_page(next)) next = page_entry(blocks, next, (uint8_t)(first >> (((const struct page *)block_of(blocks, next))->shape & 63)));
    if (is_link(next) && record->length >= 64) next = walk(blocks, next, first, second);
    follow(lookups, lists, place, next, blocks);
  }
}

void run_lookups(struct lookups *lookups, struct table_view table) {
  struct lists lists = {0, 0};
  read_first(lookups, &lists, table.blocks);
  while ((lists.node_count | lists.record_count) != 0) {
    descend(lookups, &lists, table.blocks);
    pass_records(lookups, &lists, table.blocks);
  }
}
