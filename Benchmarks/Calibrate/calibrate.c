// SPDX-License-Identifier: Apache-2.0
//
// A fixed piece of work on registers, timed: the driver runs it before and after what it measures. A machine that shares
// its cores with others is slower at times; figures taken between two runs of this that differ are not worth much.
// Prints nanoseconds per step (a multiplication that waits for the one before): the smallest and the median of 41 runs.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { runs = 41, steps = 1000000 };

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(void) {
  static double samples[runs];
  uint64_t value = 0x9E3779B97F4A7C15;
  for (int run = 0; run < runs; run++) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int step = 0; step < steps; step++) {
      value = value * 6364136223846793005u + 1442695040888963407u;
      __asm__ volatile("" : "+r"(value));
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    samples[run] = ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / steps;
  }
  qsort(samples, runs, sizeof samples[0], ascending);
  printf("{\"min\": %.4f, \"median\": %.4f}\n", samples[0], samples[runs / 2]);
  return 0;
}
