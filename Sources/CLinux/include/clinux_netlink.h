// SPDX-License-Identifier: Apache-2.0
//
// What module Netlink needs of C: libmnl, the rtnetlink constants, and the calls that Swift cannot make because they are
// variadic, are macros, or take structs built from unions.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// ioctl(TUNSETIFF): makes `descriptor` (an open /dev/net/tun) a new TUN device without packet information, single queue;
/// EBUSY when an interface of that name exists. Here because ioctl is variadic and ifreq is a struct of unions.
int clinux_tun_create(int descriptor, const char *name);

/// sendmsg of a complete IPv4 packet on a raw socket with IP_HDRINCL. The source is also given as IP_PKTINFO, because the
/// kernel does not look into the packet for it when it chooses a route. Addresses in network byte order. Here because
/// control messages are made with macros.
ssize_t clinux_raw_send4(int descriptor, const void *packet, size_t count, uint32_t source, uint32_t destination);

/// The same for IPv6; the addresses are 16 octets each.
ssize_t clinux_raw_send6(int descriptor, const void *packet, size_t count, const uint8_t *source, const uint8_t *destination);
