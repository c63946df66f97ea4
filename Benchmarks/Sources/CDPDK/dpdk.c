// SPDX-License-Identifier: Apache-2.0
//
// Thin: every function is a loop around one of DPDK's.

#include "cdpdk.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lpm.h>

enum { BATCH = 64 };

static struct rte_lpm *lpm;
static struct rte_fib *fib;
static struct rte_fib6 *fib6;
static uint32_t answers32[BATCH];
static uint64_t answers64[BATCH];

bool dpdk_start(void) {
  char *arguments[] = {"table", "--no-huge", "--no-shconf", "--no-pci", "-m", "3000", "--log-level=3", "--force-max-simd-bitwidth=512"};
  return rte_eal_init(sizeof arguments / sizeof *arguments, arguments) >= 0;
}

bool dpdk_create(size_t ipv4_count, size_t ipv6_count) {
  struct rte_lpm_config lpm_config = {.max_rules = ipv4_count, .number_tbl8s = 40000};
  struct rte_fib_conf fib_config = {.type = RTE_FIB_DIR24_8, .max_routes = ipv4_count,
                                    .dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = 40000}};
  struct rte_fib6_conf fib6_config = {.type = RTE_FIB6_TRIE, .max_routes = ipv6_count,
                                      .trie = {.nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = 600000}};
  lpm = rte_lpm_create("lpm", 0, &lpm_config);
  fib = rte_fib_create("fib", 0, &fib_config);
  fib6 = rte_fib6_create("fib6", 0, &fib6_config);
  return lpm != NULL && fib != NULL && fib6 != NULL;
}

bool dpdk_add_ipv4(uint32_t address, uint8_t length, uint32_t value) {
  return rte_lpm_add(lpm, address, length, value) == 0 && rte_fib_add(fib, address, length, value) == 0;
}

bool dpdk_add_ipv6(const uint8_t address[16], uint8_t length, uint32_t value) { return rte_fib6_add(fib6, address, length, value) == 0; }

bool dpdk_select(enum dpdk_lookup lookup) {
  switch (lookup) {
  case DPDK_LPM_BULK:
  case DPDK_LPM_X4: return true;
  case DPDK_FIB_SCALAR: return rte_fib_select_lookup(fib, RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO) == 0;
  case DPDK_FIB_AVX512: return rte_fib_select_lookup(fib, RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512) == 0;
  case DPDK_FIB6_SCALAR: return rte_fib6_select_lookup(fib6, RTE_FIB6_LOOKUP_TRIE_SCALAR) == 0;
  case DPDK_FIB6_AVX512: return rte_fib6_select_lookup(fib6, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512) == 0;
  }
  return false;
}

static void look_up_x4(const uint32_t *addresses) {
  for (size_t i = 0; i < BATCH; i += 4) {
    rte_lpm_lookupx4(lpm, _mm_loadu_si128((const __m128i *)(addresses + i)), answers32 + i, 0);
  }
}

void dpdk_look_up_ipv4(enum dpdk_lookup lookup, const uint32_t *addresses, size_t count, uint32_t *all) {
  bool is_fib = lookup == DPDK_FIB_SCALAR || lookup == DPDK_FIB_AVX512;
  for (size_t i = 0; i < count; i += BATCH) {
    if (lookup == DPDK_LPM_BULK) rte_lpm_lookup_bulk(lpm, addresses + i, answers32, BATCH);
    if (lookup == DPDK_LPM_X4) look_up_x4(addresses + i);
    if (is_fib) rte_fib_lookup_bulk(fib, (uint32_t *)addresses + i, answers64, BATCH);
    __asm__ volatile("" ::: "memory");
    if (all == NULL) continue;
    for (size_t k = 0; k < BATCH; k++) {
      if (lookup == DPDK_LPM_BULK) all[i + k] = answers32[k] & RTE_LPM_LOOKUP_SUCCESS ? answers32[k] & 0xFFFFFF : 0;
      if (lookup == DPDK_LPM_X4) all[i + k] = answers32[k];
      if (is_fib) all[i + k] = answers64[k];
    }
  }
}

void dpdk_look_up_ipv6(enum dpdk_lookup lookup, const struct dpdk_ipv6 *addresses, size_t count, uint32_t *all) {
  (void)lookup;
  for (size_t i = 0; i < count; i += BATCH) {
    rte_fib6_lookup_bulk(fib6, (uint8_t(*)[16])(addresses + i), answers64, BATCH);
    __asm__ volatile("" ::: "memory");
    if (all == NULL) continue;
    for (size_t k = 0; k < BATCH; k++) all[i + k] = answers64[k];
  }
}
