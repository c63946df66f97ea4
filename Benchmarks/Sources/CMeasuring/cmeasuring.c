// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "cmeasuring.h"

#include <pthread.h>
#include <sched.h>

uint64_t cmeasuring_calibrate(uint64_t count) {
  uint64_t x = count;
  for (uint64_t i = 0; i < count; i++) {
    x = x * 0x9E3779B97F4A7C15 + 1;
    __asm__ volatile("" : "+r"(x));
  }
  return x;
}

bool cmeasuring_pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0;
}
