// SPDX-License-Identifier: Apache-2.0
//
// The batched lookup: PrefixTable/Unsafe/LookupBatch.swift, and what of NodeReader.swift it needs.
#pragma once

#include <string.h>

#include "state.h"

#define HOT inline __attribute__((always_inline))
#define STAGE __attribute__((noinline))
#define COLD static __attribute__((noinline))

struct lookups {
  uint64_t first[128], second[128];
  uint32_t entries[131];
  uint32_t positions[131];
  uint8_t octets[131];
  uint16_t nodes[129], records[129];
  bool ends_soon;
  size_t count;
};

static HOT bool is_link(uint32_t entry) { return (int32_t)entry > 0; }
static HOT bool is_node(uint32_t entry) { return (entry & 3) == 1; }
static HOT bool is_record(uint32_t entry) { return (entry & 3) == 2; }
static HOT bool is_page(uint32_t entry) { return (entry & 3) == 3; }
static HOT uint32_t entry_value(uint32_t entry) { return entry << 1 >> 3; }
static HOT const uint8_t *block_of(const uint8_t *blocks, uint32_t link) { return blocks + (size_t)(link & ~3u) * 8; }

static HOT void prefetch_link(const uint8_t *blocks, uint32_t entry) {
  __builtin_prefetch(blocks + (size_t)(is_link(entry) ? entry : 0) * 8, 0, 3);
}

static HOT uint32_t page_entry(const uint8_t *blocks, uint32_t page, uint8_t octet) {
  return ((const struct page *)block_of(blocks, page))->entries[octet];
}

/// Counted in words, without BEFORE_ENTRIES.
enum { BEFORE_ENTRIES = offsetof(struct node, entries) - 4 - 8 };
static HOT uint32_t entry_position(const uint8_t *blocks, uint32_t link, uint8_t octet) {
  const struct node *node = (const struct node *)block_of(blocks, link);
  uint32_t rank = node->runs_before[octet >> 6] + (uint32_t)__builtin_popcountll(node->map[octet >> 6] << (~octet & 63));
  return link * 2 + rank;
}

static HOT uint32_t entry_at(const uint8_t *blocks, uint32_t position) {
  return *(const uint32_t *)(blocks + (size_t)position * 4 + BEFORE_ENTRIES);
}

static HOT bool is_covered(const struct record *record, uint64_t first, uint64_t second) {
  if (record->length <= 64) return __builtin_bswap64(record->first ^ first) >> (64 - record->length) == 0;
  return record->first == first && __builtin_bswap64(record->second ^ second) >> (128 - record->length) == 0;
}

/// Follows an entry to the end.
uint32_t walk(const uint8_t *blocks, uint32_t entry, uint64_t first, uint64_t second);

static inline struct instance_roots find_instance(struct table_view table, uint32_t instance) {
  uint64_t key = __builtin_bswap64((uint64_t)instance << 40);
  uint32_t block = entry_value(walk(table.blocks, table.root, key, 0));
  if (block == 0) return (struct instance_roots){0, 0};
  return *(const struct instance_roots *)(table.blocks + (size_t)block * 32);
}

static HOT void clear_lookups(struct lookups *lookups, size_t reserved) {
  lookups->count = reserved;
  for (size_t i = 0; i < reserved; i++) lookups->entries[i] = 0;
}

static HOT void read_page(const uint8_t *blocks, uint32_t *entry, uint64_t *octets) {
  if (!is_page(*entry)) return;
  *entry = page_entry(blocks, *entry, (uint8_t)*octets);
  *octets >>= 8;
}

/// The address is in network byte order.
static HOT void put_ipv6_lookup(struct lookups *lookups, size_t place, struct table_view table, uint32_t root, const uint8_t *address) {
  memcpy(&lookups->first[place], address, 8);
  memcpy(&lookups->second[place], address + 8, 8);
  uint32_t entry = root;
  uint64_t octets = lookups->first[place];
  for (int i = 0; i < 3; i++) read_page(table.blocks, &entry, &octets);
  prefetch_link(table.blocks, entry);
  lookups->entries[place] = entry;
  lookups->octets[place] = (uint8_t)octets;
}

static HOT void put_ipv4_lookup(struct lookups *lookups, size_t place, struct table_view table, uint32_t root, const uint8_t *address) {
  uint32_t octets32;
  memcpy(&octets32, address, 4);
  uint32_t entry = root;
  uint64_t octets = octets32;
  for (int i = 0; i < 2; i++) read_page(table.blocks, &entry, &octets);
  prefetch_link(table.blocks, entry);
  lookups->first[place] = octets32;
  lookups->entries[place] = entry;
  lookups->octets[place] = (uint8_t)octets;
}

static HOT uint32_t lookup_value(const struct lookups *lookups, size_t place) { return entry_value(lookups->entries[place]); }

void run_lookups(struct lookups *lookups, struct table_view table);
