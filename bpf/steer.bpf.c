// SPDX-License-Identifier: Apache-2.0
//
// The steering program: the pinhole through which frames leave the kernel for xtr's AF_XDP sockets. One copy of it, with maps
// of its own, is attached to each of xtr's interfaces; Sources/XDP/SteeringProgram.swift loads it, fills its maps and holds
// its link.
//
// It gives one of two answers:
//
//   lift    the frame goes to the AF_XDP socket of its receive queue, or to the kernel if no socket is there
//   pass    the frame goes to the kernel, as if this program did not exist
//
// and pass is the answer to everything that is not plainly ours: a frame is lifted only when each test below has said yes.
// The program changes nothing in a frame, drops nothing and keeps no state; when the process that attached it is gone, it is
// gone too.
//
//   both    To our MAC address, untagged or with one 802.1Q tag (VLAN ID 0 is a priority and no VLAN: untagged). IPv4 or
//           IPv6 and complete: the frame holds what the IP header promises, and that holds the headers. Two tags (QinQ,
//           802.1ad) pass: the engine does not write them.
//
//   core    The destination is one of our RLOCs, the protocol UDP, the port 4341. Not a fragment: the kernel reassembles.
//           Not instance ID 0xFFFFFF: that is encapsulated control (rule D14). IPv4 options and IPv6 extension headers are
//           walked over. Whether the lengths within agree, and whether the options are any that a tunnel's header may carry
//           (a source route is not), is the engine's to count.
//
//   site    The source is in a local EID-prefix of the frame's VLAN. The destination is in none, is no address of this host
//           and of a kind that is forwarded (no multicast, broadcast, link-local, loopback, unspecified). Not LISP control,
//           UDP or TCP port 4342. So what hosts say to the router (ARP, ND, DHCP, SSH, BGP …) passes, and what they say to
//           each other. Options and fragments are lifted; a fragment that is not the first has no ports to show and is
//           judged by its addresses alone.
//
// An interface in both roles is asked as core, then as site. What core lets pass for the kernel to reassemble or to answer is
// addressed to one of our own addresses, so site never catches it.
//
// IPv6 extension headers: at most EXTENSIONS_MAX of hop-by-hop options, destination options, routing (with no segments left)
// and fragment; a longer chain passes. Whatever else comes (TCP, ESP, none, something new) ends the walk.
//
// A network card that strips VLAN tags hides them from this program; OffloadGuard switches that off.
//
// The maps are filled before `config` names a role, and in a change new entries come before old ones go: no frame meets half
// a rule set that would lose it, at worst one with both the old and the new entries.
//
//   config      array of one   our MAC address, our role
//   addresses   hash           every address of this host, RLOCs marked
//   prefixes    LPM trie       VLAN, family, local EID-prefix
//   sockets     XSKMAP         receive queue → AF_XDP socket
//
// Kernels from 5.15 on load it; clang from 14 on compiles it (-O2 -g -target bpf -mcpu=v3).

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

// Fixed by specifications.
#define LISP_DATA_PORT 4341            // RFC 9300 5.3
#define LISP_CONTROL_PORT 4342         // RFC 9301 4
#define LISP_INSTANCE_BIT 0x08         // I, in the first octet: RFC 9300 5.3
#define LISP_CONTROL_INSTANCE 0xFFFFFF // lispers.net
#define IPV4_FRAGMENT 0x3FFF           // more fragments, and the offset: RFC 791 3.1
#define IPV4_FRAGMENT_OFFSET 0x1FFF
#define IPV6_FRAGMENT_OFFSET 0xFFF8    // RFC 8200 4.5
#define VLAN_ID 0x0FFF                 // IEEE 802.1Q 9.6

// Chosen: every header that RFC 8200 4.1 knows before the transport, once, and one to spare.
#define EXTENSIONS_MAX 6

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct steer_config);
} config SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, STEER_ADDRESSES_CAPACITY);
  __type(key, struct steer_address);
  __type(value, __u32);
} addresses SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, STEER_PREFIXES_CAPACITY);
  __type(key, struct steer_prefix);
  __type(value, __u32);
} prefixes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 1); // the loader makes it the number of receive queues
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

/// What follows an Ethernet type of 0x8100.
struct vlan_tag {
  __be16 control;
  __be16 ethertype;
};

/// The beginning of an IPv6 extension header (RFC 8200 4.3 to 4.6); `length` counts 8 octets and not the first 8.
struct extension {
  __u8 next, length;
  union {
    struct {
      __u8 type, segments_left;
    } routing;
    __be16 fragment;
  };
  __u8 rest[4];
};

/// The ports, where TCP and UDP have them.
struct ports {
  __be16 source, destination;
};

/// UDP and LISP headers (RFC 9300 5.3).
struct lisp {
  struct ports ports;
  __be16 udp_length, udp_checksum;
  __u8 flags, nonce[3];
  __be32 instance_and_locator_bits;
};

/// What parsing finds. The frame has been proven to hold `room`, and newer compilers know it; the verifier does not, and wants
/// each read compared with `end`. `barrier_var(room)` keeps the compiler from leaving those comparisons out.
struct packet {
  void *end;       // of the frame
  void *transport; // where the header of `protocol` begins
  __u32 room;      // octets from there to the end of the IP packet
  __u8 protocol;
  _Bool is_fragment;       // any of them
  _Bool is_later_fragment; // one without the transport header
  struct steer_prefix source, destination; // as keys, VLAN not yet set
};

static __always_inline _Bool is_ours(const __u8 *address, const __u8 *mac) {
  const __u16 *a = (const __u16 *)address, *b = (const __u16 *)mac;
  return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/// Reads an IPv4 header; false: not complete, not IPv4.
static __always_inline _Bool parse_ipv4(struct packet *packet, void *start) {
  struct iphdr *header = start;
  if ((void *)(header + 1) > packet->end) return 0;
  __u32 header_length = header->ihl * 4, total_length = bpf_ntohs(header->tot_len);
  if (header->version != 4 || header_length < sizeof *header || total_length < header_length) return 0;
  if (start + total_length > packet->end) return 0;

  packet->transport = start + header_length;
  packet->room = total_length - header_length;
  barrier_var(packet->room);
  packet->protocol = header->protocol;
  packet->is_fragment = (header->frag_off & bpf_htons(IPV4_FRAGMENT)) != 0;
  packet->is_later_fragment = (header->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET)) != 0;
  packet->source.length = packet->destination.length = STEER_ADDRESS_PREAMBLE + 32;
  packet->source.address.family = packet->destination.address.family = 4;
  __builtin_memcpy(packet->source.address.octets, &header->saddr, 4);
  __builtin_memcpy(packet->destination.address.octets, &header->daddr, 4);
  return 1;
}

/// Moves `transport` over one extension header; false: not complete, or to be routed on by the kernel.
static __always_inline _Bool skip_extension(struct packet *packet) {
  struct extension *header = packet->transport;
  if ((void *)(header + 1) > packet->end) return 0;
  __u32 length = (header->length + 1) * 8;
  if (packet->protocol == IPPROTO_ROUTING && header->routing.segments_left != 0) return 0;
  if (packet->protocol == IPPROTO_FRAGMENT) {
    length = sizeof *header; // the octet that is a length elsewhere is reserved here
    packet->is_fragment = 1;
    packet->is_later_fragment = (header->fragment & bpf_htons(IPV6_FRAGMENT_OFFSET)) != 0;
  }
  if (packet->room < length) return 0; // and so what was read is the packet's
  packet->protocol = header->next;
  packet->transport += length;
  packet->room -= length;
  return 1;
}

static __always_inline _Bool is_extension(__u8 protocol) {
  return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_ROUTING ||
         protocol == IPPROTO_FRAGMENT;
}

/// Reads an IPv6 header and the extension headers; false: not complete, not IPv6, too long a chain.
static __always_inline _Bool parse_ipv6(struct packet *packet, void *start) {
  struct ipv6hdr *header = start;
  if ((void *)(header + 1) > packet->end) return 0;
  if (header->version != 6) return 0;
  packet->room = bpf_ntohs(header->payload_len);
  if ((void *)(header + 1) + packet->room > packet->end) return 0;
  barrier_var(packet->room);

  packet->transport = header + 1;
  packet->protocol = header->nexthdr;
  packet->source.length = packet->destination.length = STEER_ADDRESS_PREAMBLE + 128;
  packet->source.address.family = packet->destination.address.family = 6;
  __builtin_memcpy(packet->source.address.octets, &header->saddr, 16);
  __builtin_memcpy(packet->destination.address.octets, &header->daddr, 16);

#pragma unroll
  for (int i = 0; i < EXTENSIONS_MAX; i++) {
    if (packet->is_later_fragment || !is_extension(packet->protocol)) return 1;
    if (!skip_extension(packet)) return 0;
  }
  return packet->is_later_fragment || !is_extension(packet->protocol);
}

static __always_inline _Bool core_lifts(struct packet *packet) {
  struct lisp *header = packet->transport;
  if (packet->protocol != IPPROTO_UDP || packet->is_fragment || packet->room < sizeof *header) return 0;
  if ((void *)(header + 1) > packet->end) return 0; // for the verifier: `room` has said so
  if (header->ports.destination != bpf_htons(LISP_DATA_PORT)) return 0;
  __u32 instance = bpf_ntohl(header->instance_and_locator_bits) >> 8;
  if (header->flags & LISP_INSTANCE_BIT && instance == LISP_CONTROL_INSTANCE) return 0;

  __u32 *kind = bpf_map_lookup_elem(&addresses, &packet->destination.address);
  return kind && *kind & STEER_RLOC;
}

static __always_inline _Bool is_control(struct packet *packet) {
  struct ports *ports = packet->transport;
  if (packet->is_later_fragment || (packet->protocol != IPPROTO_UDP && packet->protocol != IPPROTO_TCP)) return 0;
  if (packet->room < sizeof *ports || (void *)(ports + 1) > packet->end) return 1; // no ports: nor is it traffic
  return ports->destination == bpf_htons(LISP_CONTROL_PORT);
}

/// Whether routers forward to addresses of this kind at all.
static __always_inline _Bool is_forwarded(const struct steer_address *address) {
  const __u8 *a = address->octets;
  const __u32 *words = (const __u32 *)a;
  if (address->family == 4)
    return a[0] != 0 && a[0] != 127 && (a[0] & 0xF0) != 0xE0 && !(a[0] == 169 && a[1] == 254) && words[0] != 0xFFFFFFFF;
  if (a[0] == 0xFF || (a[0] == 0xFE && (a[1] & 0xC0) == 0x80)) return 0;
  return words[0] || words[1] || words[2] || (words[3] & bpf_htonl(0xFFFFFFFE)); // neither :: nor ::1
}

static __always_inline _Bool site_lifts(struct packet *packet, __be16 vlan) {
  if (!is_forwarded(&packet->destination.address) || is_control(packet)) return 0;
  if (bpf_map_lookup_elem(&addresses, &packet->destination.address)) return 0;
  packet->source.address.vlan = packet->destination.address.vlan = vlan;
  return bpf_map_lookup_elem(&prefixes, &packet->source) && !bpf_map_lookup_elem(&prefixes, &packet->destination);
}

SEC("xdp")
int xtr_steer(struct xdp_md *context) {
  struct packet packet = {.end = (void *)(long)context->data_end};
  void *start = (void *)(long)context->data;
  __u32 zero = 0;
  struct steer_config *self = bpf_map_lookup_elem(&config, &zero);
  if (!self) return XDP_PASS; // for the verifier: an array of one has a first element

  struct ethhdr *ethernet = start;
  if ((void *)(ethernet + 1) > packet.end || !is_ours(ethernet->h_dest, self->mac)) return XDP_PASS;
  start = ethernet + 1;
  __be16 ethertype = ethernet->h_proto, vlan = 0;
  if (ethertype == bpf_htons(ETH_P_8021Q)) {
    struct vlan_tag *tag = start;
    if ((void *)(tag + 1) > packet.end) return XDP_PASS;
    vlan = tag->control & bpf_htons(VLAN_ID);
    ethertype = tag->ethertype;
    start = tag + 1;
  }

  if (ethertype == bpf_htons(ETH_P_IP)) {
    if (!parse_ipv4(&packet, start)) return XDP_PASS;
  } else if (ethertype == bpf_htons(ETH_P_IPV6)) {
    if (!parse_ipv6(&packet, start)) return XDP_PASS;
  } else {
    return XDP_PASS;
  }

  if ((self->role & STEER_CORE && core_lifts(&packet)) || (self->role & STEER_SITE && site_lifts(&packet, vlan)))
    return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
  return XDP_PASS;
}

// No helper that the kernel reserves for GPL programs is called.
char steer_license[] SEC("license") = "Apache-2.0";
