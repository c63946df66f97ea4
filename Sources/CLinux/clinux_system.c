// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "clinux_system.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

_Static_assert(sizeof(struct clinux_message) == sizeof(struct mmsghdr), "clinux_message is mmsghdr");
_Static_assert(offsetof(struct clinux_message, byte_count) == offsetof(struct mmsghdr, msg_len), "byte_count is msg_len");

int clinux_pin_thread(int cpu) {
  if (cpu < 0 || cpu >= CPU_SETSIZE) return EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

int clinux_adopt_nice(void) {
  errno = 0;
  int nice = getpriority(PRIO_PROCESS, (id_t)getpid());
  if (errno != 0) return errno;
  return setpriority(PRIO_PROCESS, 0, nice) == 0 ? 0 : errno;
}

int clinux_name_thread(const char *name) {
  char cut[16] = {0};
  strncpy(cut, name, sizeof cut - 1);
  return pthread_setname_np(pthread_self(), cut);
}

int clinux_setns_network(int fd) { return setns(fd, CLONE_NEWNET); }

int clinux_unshare_network(void) { return unshare(CLONE_NEWNET); }

int clinux_send_messages(int fd, struct clinux_message *messages, unsigned int count, int flags) {
  return sendmmsg(fd, (struct mmsghdr *)messages, count, flags);
}

int clinux_receive_messages(int fd, struct clinux_message *messages, unsigned int count, int flags) {
  return recvmmsg(fd, (struct mmsghdr *)messages, count, flags, NULL);
}
