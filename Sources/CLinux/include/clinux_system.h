// SPDX-License-Identifier: Apache-2.0
//
// Threads, network namespaces and many datagrams in one call: GNU extensions, which Swift's Glibc module does not show.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/// Run the calling thread on processor `cpu` only. 0 or an errno value.
int clinux_pin_thread(int cpu);

/// Give the calling thread the nice value of the process's main thread: threads that descend from the Swift runtime's pools carry
/// the pool's instead of what the operator gave the process. 0 or an errno value.
int clinux_adopt_nice(void);

/// Name the calling thread; at most 15 bytes count. 0 or an errno value.
int clinux_name_thread(const char *name);

/// Move the calling thread into the network namespace that `fd` refers to. 0, or -1 with errno.
int clinux_setns_network(int fd);

/// Put the calling thread into a new network namespace. 0, or -1 with errno.
int clinux_unshare_network(void);

/// struct mmsghdr, which <sys/socket.h> hides behind _GNU_SOURCE.
struct clinux_message {
  struct msghdr header;
  unsigned int byte_count;
};

/// sendmmsg(2): the number sent, or -1 and errno.
int clinux_send_messages(int fd, struct clinux_message *messages, unsigned int count, int flags);

/// recvmmsg(2) without a timeout: the number received, or -1 and errno.
int clinux_receive_messages(int fd, struct clinux_message *messages, unsigned int count, int flags);
