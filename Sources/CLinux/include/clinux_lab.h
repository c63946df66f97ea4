// SPDX-License-Identifier: Apache-2.0
//
// What the lab (network namespaces, traffic endpoints) needs and Swift cannot import: calls that <...> only declares
// under _GNU_SOURCE, and the packet-socket structs.
#pragma once

#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/wait.h>

/// struct mmsghdr, which <sys/socket.h> hides behind _GNU_SOURCE.
struct clinux_message {
  struct msghdr header;
  unsigned int byte_count;
};

/// memfd_create(2), close-on-exec. A descriptor, or -1 and errno.
int clinux_memory_file(const char *name);

/// sendmmsg(2): the number sent, or -1 and errno.
int clinux_send_messages(int fd, struct clinux_message *messages, unsigned int count, int flags);

/// recvmmsg(2) without a timeout: the number received, or -1 and errno.
int clinux_receive_messages(int fd, struct clinux_message *messages, unsigned int count, int flags);

/// W* macros of <sys/wait.h>, which Swift does not import.
static inline int clinux_did_exit(int status) { return WIFEXITED(status); }
static inline int clinux_exit_status(int status) { return WEXITSTATUS(status); }
static inline int clinux_termination_signal(int status) { return WTERMSIG(status); }
