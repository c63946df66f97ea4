// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "clinux_lab.h"

#include <stddef.h>
#include <sys/mman.h>

_Static_assert(sizeof(struct clinux_message) == sizeof(struct mmsghdr), "clinux_message is mmsghdr");
_Static_assert(offsetof(struct clinux_message, byte_count) == offsetof(struct mmsghdr, msg_len), "byte_count is msg_len");

int clinux_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int clinux_send_messages(int fd, struct clinux_message *messages, unsigned int count, int flags) {
  return sendmmsg(fd, (struct mmsghdr *)messages, count, flags);
}

int clinux_receive_messages(int fd, struct clinux_message *messages, unsigned int count, int flags) {
  return recvmmsg(fd, (struct mmsghdr *)messages, count, flags, NULL);
}
