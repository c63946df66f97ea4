// SPDX-License-Identifier: Apache-2.0
//
// The Swift code is built for x86-64-v3 (Package.swift): on an older processor it would end in an illegal instruction. Before it
// runs, this says why not. Built for the baseline itself.
#include <unistd.h>

#if defined(__x86_64__)
__attribute__((constructor)) static void require_processor(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
      __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt"))
    return;
  static const char text[] = "this build needs a processor with x86-64-v3 (AVX2, BMI, FMA; Intel since 2013, AMD since 2015): "
                             "build it without -march=x86-64-v3 in Package.swift\n";
  if (write(2, text, sizeof text - 1) < 0) _exit(2);
  _exit(1);
}
#endif
