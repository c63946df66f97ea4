// SPDX-License-Identifier: Apache-2.0
//
// The shims of clinux_netlink.h.
#define _GNU_SOURCE
#include "clinux_netlink.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

// Netlink/Message reads and writes these by offset.
_Static_assert(sizeof(struct nlmsghdr) == 16, "nlmsghdr");
_Static_assert(sizeof(struct ifinfomsg) == 16, "ifinfomsg");
_Static_assert(sizeof(struct ifaddrmsg) == 8, "ifaddrmsg");
_Static_assert(sizeof(struct ndmsg) == 12, "ndmsg");
_Static_assert(sizeof(struct rtmsg) == 12, "rtmsg");
_Static_assert(sizeof(struct rtnexthop) == 8, "rtnexthop");
_Static_assert(sizeof(struct fib_rule_hdr) == 12, "fib_rule_hdr");
_Static_assert(sizeof(struct nhmsg) == 8, "nhmsg");
_Static_assert(sizeof(struct nexthop_grp) == 8, "nexthop_grp");
_Static_assert(sizeof(struct rtattr) == 4, "rtattr");

int clinux_tun_create(int descriptor, const char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
  return ioctl(descriptor, TUNSETIFF, &request);
}

ssize_t clinux_raw_send4(int descriptor, const void *packet, size_t count, uint32_t source, uint32_t destination) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = destination};
  struct iovec data = {.iov_base = (void *)packet, .iov_len = count};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &data, .msg_iovlen = 1,
                           .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  struct in_pktinfo from = {.ipi_spec_dst.s_addr = source};
  header->cmsg_level = IPPROTO_IP;
  header->cmsg_type = IP_PKTINFO;
  header->cmsg_len = CMSG_LEN(sizeof from);
  memcpy(CMSG_DATA(header), &from, sizeof from);
  return sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t clinux_raw_send6(int descriptor, const void *packet, size_t count, const uint8_t *source, const uint8_t *destination) {
  struct sockaddr_in6 to = {.sin6_family = AF_INET6};
  memcpy(&to.sin6_addr, destination, sizeof to.sin6_addr);
  struct iovec data = {.iov_base = (void *)packet, .iov_len = count};
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &data, .msg_iovlen = 1,
                           .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  struct in6_pktinfo from = {.ipi6_ifindex = 0};
  memcpy(&from.ipi6_addr, source, sizeof from.ipi6_addr);
  header->cmsg_level = IPPROTO_IPV6;
  header->cmsg_type = IPV6_PKTINFO;
  header->cmsg_len = CMSG_LEN(sizeof from);
  memcpy(CMSG_DATA(header), &from, sizeof from);
  return sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}
