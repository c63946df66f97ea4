// SPDX-License-Identifier: Apache-2.0
//
// The longest-prefix-match tables of DPDK, as the table benchmark uses them: rte_lpm, rte_fib (DIR-24-8) and rte_fib6 (trie).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Which table, and which of its lookup functions.
enum dpdk_lookup {
  DPDK_LPM_BULK,
  DPDK_LPM_X4,
  DPDK_FIB_SCALAR,
  DPDK_FIB_AVX512,
  DPDK_FIB6_SCALAR,
  DPDK_FIB6_AVX512,
};

/// An address as it lies in a packet.
struct dpdk_ipv6 {
  uint8_t octets[16];
};

/// Starts DPDK without huge pages, devices or other processes. False: it does not start.
bool dpdk_start(void);

/// Empty tables for that many prefixes. False: no memory.
bool dpdk_create(size_t ipv4_count, size_t ipv6_count);

/// Adds a prefix to rte_lpm and rte_fib. The value has 24 bits. False: refused.
bool dpdk_add_ipv4(uint32_t address, uint8_t length, uint32_t value);

/// Adds a prefix to rte_fib6.
bool dpdk_add_ipv6(const uint8_t address[16], uint8_t length, uint32_t value);

/// Whether the processor has what the lookup asks for; selects it.
bool dpdk_select(enum dpdk_lookup lookup);

/// Looks `count` addresses up (host byte order), a multiple of 64, 64 at a time; the answers of each batch are written to `answers`
/// and, when `all` is not null, copied there. A miss is 0.
void dpdk_look_up_ipv4(enum dpdk_lookup lookup, const uint32_t *addresses, size_t count, uint32_t *all);

/// The same for IPv6 addresses.
void dpdk_look_up_ipv6(enum dpdk_lookup lookup, const struct dpdk_ipv6 *addresses, size_t count, uint32_t *all);
