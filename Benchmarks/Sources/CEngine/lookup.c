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

static HOT void locate(struct lookups *lookups, uint16_t place, uint8_t octet, const uint8_t *blocks) {
  uint32_t position = entry_position(blocks, lookups->entries[place], octet);
  __builtin_prefetch((const uint32_t *)blocks + position, 0, 3);
  lookups->positions[place] = position;
}

static HOT void run_narrow(struct lookups *lookups, const uint8_t *blocks) {
  for (size_t i = 0, count = lookups->narrow_count; i < count; i++) {
    uint16_t place = lookups->narrow[i];
    locate(lookups, place, (uint8_t)(lookups->first[place] >> 16), blocks);
  }
  for (size_t i = 0, count = lookups->narrow_count; i < count; i++) {
    uint16_t place = lookups->narrow[i];
    uint32_t next = entry_at(blocks, lookups->positions[place]);
    lookups->entries[place] = next;
    if (is_link(next)) follow(lookups, place, next, blocks);
  }
}

static HOT void descend(struct lookups *lookups, const uint8_t *blocks) {
  size_t count = lookups->wide_count;
  for (size_t i = 0; i < count; i++) {
    uint16_t place = lookups->wide[i];
    uint32_t shape = ((const struct node *)block_of(blocks, lookups->entries[place]))->shape;
    locate(lookups, place, (uint8_t)(lookups->first[place] >> (shape & 63)), blocks);
  }
  lookups->wide_count = 0;
  for (size_t i = 0; i < count; i++) {
    uint16_t place = lookups->wide[i];
    follow(lookups, place, entry_at(blocks, lookups->positions[place]), blocks);
  }
}

static HOT void pass_records(struct lookups *lookups, const uint8_t *blocks) {
  size_t count = lookups->record_count;
  lookups->record_count = 0;
  for (size_t i = 0; i < count; i++) {
    uint16_t place = lookups->records[i];
    uint64_t first = lookups->first[place], second = lookups->second[place];
    const struct record *record = (const struct record *)block_of(blocks, lookups->entries[place]);
    uint32_t next = is_covered(record, first, second) ? record->target : record->inherited;
    while (is_page(next)) next = page_entry(blocks, next, (uint8_t)(first >> (((const struct page *)block_of(blocks, next))->shape & 63)));
    if (is_link(next) && record->length >= 64) next = walk(blocks, next, first, second);
    follow(lookups, place, next, blocks);
  }
}

void run_lookups(struct lookups *lookups, struct table_view table) {
  const uint8_t *blocks = table.blocks;
  run_narrow(lookups, blocks);
  while ((lookups->wide_count | lookups->record_count) != 0) {
    descend(lookups, blocks);
    pass_records(lookups, blocks);
  }
}
