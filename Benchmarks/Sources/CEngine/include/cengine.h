// SPDX-License-Identifier: Apache-2.0
//
// The engine once more, in C: the same stages over the same published state, statement for statement, as good as C can be
// written. The benchmark runs it beside the Swift engine and compares times and bytes. It reads the tables that the Swift side
// built, in place, so that both wait for the same memory.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A frame as the rings name it.
struct cengine_descriptor {
  uint64_t address;
  uint32_t length;
  uint32_t verdict;  // out only: 0x100 | port, 0x200 | drop reason, 0x300 | punt reason
};

struct cengine;

/// `counters` has room for {packets, bytes} of every locator.
struct cengine *cengine_create(void *counters);
void cengine_destroy(struct cengine *engine);

/// Receives up to 64 frames at `in` on `port`, decides and rewrites, and writes what is to be sent to `out`. `root` is the
/// word that names the published state.
void cengine_forward(struct cengine *engine, uint8_t *area, const struct cengine_descriptor *in, struct cengine_descriptor *out,
                     size_t count, unsigned port, const void *root);

/// Whether the state behind `root` is laid out as this engine believes: the port's role and instance, as a sample.
bool cengine_understands(const void *root, unsigned port, uint8_t role, uint32_t instance, uint64_t generation);
