// SPDX-License-Identifier: Apache-2.0
//
// What module XDP needs of the system: libxdp's socket set-up, the kernel's AF_XDP structures, and ioctl on an interface.
#pragma once

#include <assert.h>
#include <bpf/bpf.h>
#include <linux/ethtool.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

// Swift declares the descriptor itself (struct Descriptor) and lays it over the rings.
static_assert(sizeof(struct xdp_desc) == 16, "a descriptor is 16 bytes");
// The kernel before 5.9 fills only the first three counters; the structure that Swift hands over has all six.
static_assert(sizeof(struct xdp_statistics) == 48, "six counters");
static_assert(sizeof(struct sockaddr_xdp) == 16, "bind to a queue");

/// What SIOCGIFHWADDR, SIOCGIFMTU and SIOCGIFFLAGS answer, without the union of struct ifreq, which Swift reads badly.
struct clinux_interface {
  unsigned char hardware_address[6];
  unsigned short hardware_type;
  unsigned int flags;
  int mtu;
};

/// Fill `out` for the interface `name` through `socket`, whose network namespace counts. 0, or -1 with errno.
/// Exists because ioctl is variadic and struct ifreq a union.
int clinux_interface_read(int socket, const char *name, struct clinux_interface *out);

/// SIOCETHTOOL with `request`, one of the structures of linux/ethtool.h with its `cmd` set. What ioctl returns.
/// Exists because ioctl is variadic and struct ifreq a union.
int clinux_ethtool(int socket, const char *name, void *request);
