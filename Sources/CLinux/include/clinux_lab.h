// SPDX-License-Identifier: Apache-2.0
//
// What the lab (network namespaces, traffic endpoints) needs and Swift cannot import: calls that <...> only declares
// under _GNU_SOURCE, and the packet-socket structs.
#pragma once

#include <linux/if_packet.h>
#include <sys/wait.h>

/// memfd_create(2), close-on-exec. A descriptor, or -1 and errno.
int clinux_memory_file(const char *name);

/// W* macros of <sys/wait.h>, which Swift does not import.
static inline int clinux_did_exit(int status) { return WIFEXITED(status); }
static inline int clinux_exit_status(int status) { return WEXITSTATUS(status); }
static inline int clinux_termination_signal(int status) { return WTERMSIG(status); }
