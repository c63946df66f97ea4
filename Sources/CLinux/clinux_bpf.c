// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "clinux_bpf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char messages[4096];

// Appends; when there is no room for all, the oldest characters go.
static int keep(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char *text;
  int length = vasprintf(&text, format, arguments);
  if (length < 0) return 0;
  size_t old = strlen(messages), capacity = sizeof messages - 1, fresh = (size_t)length;
  if (fresh > capacity) fresh = capacity;
  size_t kept = old + fresh > capacity ? capacity - fresh : old;
  memmove(messages, messages + old - kept, kept);
  memcpy(messages + kept, text + length - fresh, fresh);
  messages[kept + fresh] = 0;
  free(text);
  return 0;
}

void clinux_bpf_keep_messages(void) { libbpf_set_print(keep); }

const char *clinux_bpf_messages(void) { return messages; }

void clinux_bpf_forget_messages(void) { messages[0] = 0; }
