// SPDX-License-Identifier: Apache-2.0
//
// What the processor can do and Swift has no words for.
#pragma once

/// Ask for the cache line at `address`, to be read soon.
static inline __attribute__((always_inline)) void clinux_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/// Ask for the cache line at `address`, to be written soon.
static inline __attribute__((always_inline)) void clinux_prefetch_write(const void *address) { __builtin_prefetch(address, 1, 3); }

/// Tell the core that this is a spin loop.
static inline __attribute__((always_inline)) void clinux_pause(void) { __builtin_ia32_pause(); }
