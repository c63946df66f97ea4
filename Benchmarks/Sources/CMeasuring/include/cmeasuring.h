// SPDX-License-Identifier: Apache-2.0
//
// What measuring needs and Swift cannot say.
#pragma once

#include <stdbool.h>
#include <stdint.h>

/// `count` dependent multiplications and additions: four cycles each on every core of the last ten years.
uint64_t cmeasuring_calibrate(uint64_t count);

/// Keeps the calling thread on one CPU. False: there is no such CPU, or it is not ours.
bool cmeasuring_pin(int cpu);
