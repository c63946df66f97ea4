// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "clinux_lab.h"

#include <sys/mman.h>

int clinux_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }
