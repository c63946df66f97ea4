// SPDX-License-Identifier: Apache-2.0
//
// A fixed piece of work on registers, timed: the driver runs it before and after what it measures. A machine that shares
// its cores with others is slower at times; figures taken between two runs of this that differ are not worth much.
// Prints nanoseconds per step (a multiplication that waits for the one before): the smallest and the median of 41 runs. And how
// often in the two seconds after, and for how long at most, the program was kept from running for over a millisecond: no forwarder
// forwards in that time, and what arrives meanwhile has to fit into its receive ring.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { runs = 41, steps = 1000000 };

static const double watchedSeconds = 2, pauseSeconds = 1e-3;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(void) {
  static double samples[runs];
  uint64_t value = 0x9E3779B97F4A7C15;
  for (int run = 0; run < runs; run++) {
    double start = now();
    for (int step = 0; step < steps; step++) {
      value = value * 6364136223846793005u + 1442695040888963407u;
      __asm__ volatile("" : "+r"(value));
    }
    samples[run] = (now() - start) * 1e9 / steps;
  }
  qsort(samples, runs, sizeof samples[0], ascending);
  int pauses = 0;
  double longest = 0;
  for (double last = now(), end = last + watchedSeconds; last < end;) {
    double time = now(), gap = time - last;
    if (gap > pauseSeconds) pauses++;
    if (gap > longest) longest = gap;
    last = time;
  }
  printf("{\"min\": %.4f, \"median\": %.4f, \"pauses_per_second\": %.1f, \"longest_pause_ms\": %.2f}\n", samples[0], samples[runs / 2],
         pauses / watchedSeconds, longest * 1e3);
  return 0;
}
