// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "clinux_errno.h"

#include <string.h>

const char *clinux_errno_words(int code) { return strerrordesc_np(code); }

const char *clinux_errno_name(int code) { return strerrorname_np(code); }
