// SPDX-License-Identifier: Apache-2.0
//
// Both ends of the load, loaded by load.c. `send` is run by BPF_PROG_TEST_RUN with live frames: each time it is called it
// turns one frame into the next packet of the cycle and sends it by XDP_TX, or drops it when no packet is due yet.
// `receive` sits on the far interface and counts what arrives.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "load.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, loadFrameLimit);
  __type(key, __u32);
  __type(value, struct LoadFrame);
} frames SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct LoadState);
} state SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct LoadExpectation);
} expectation SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct LoadReceived);
} received SEC(".maps");

/// Whether a packet may leave now. A sender that was held up catches up by `burst` packets and gives up the others: the
/// load stays what it says, and a pause of the machine does not become a burst that no forwarder could take.
static __always_inline int isDue(struct LoadState *s) {
  if (s->stopping) return 0;
  if (!s->rate) return 1;
  __u64 now = bpf_ktime_get_ns();
  if (!s->origin) s->origin = now;
  __u64 due = (now - s->origin) * s->rate / 1000000000;
  if (s->due >= due) return 0;
  if (due - s->due > s->burst) s->due = due - s->burst;
  s->due++;
  return 1;
}

/// Gives every second packet the next destination of the storm; plain packets over IPv4 only.
static __always_inline void storm(struct LoadState *s, struct iphdr *ip) {
  if (!s->stormCount || !(s->sent & 1)) return;
  __u32 destination = bpf_htonl(s->stormFirst + (__u32)s->stormNext * s->stormStep);
  s->stormNext = s->stormNext + 1 < s->stormCount ? s->stormNext + 1 : 0;
  s->stormSent++;
  __u32 old = ip->daddr;
  // RFC 1624: what of the sum one word was, another is.
  __u32 sum = (__u16)~ip->check + (__u16)~old + (__u16)~(old >> 16) + (__u16)destination + (destination >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  ip->check = (__u16)~((sum & 0xFFFF) + (sum >> 16));
  ip->daddr = destination;
}

SEC("xdp")
int send(struct xdp_md *context) {
  __u32 zero = 0;
  struct LoadState *s = bpf_map_lookup_elem(&state, &zero);
  if (!s || !isDue(s)) return XDP_DROP;
  __u32 place = s->next;
  struct LoadFrame *frame = bpf_map_lookup_elem(&frames, &place);
  if (!frame) return XDP_DROP;
  // Frames come back as they were left but for their length, which starts at the largest again.
  int excess = (int)(context->data_end - context->data) - (int)frame->length;
  if (excess && bpf_xdp_adjust_tail(context, -excess)) return XDP_DROP;
  __u8 *data = (__u8 *)(long)context->data, *end = (__u8 *)(long)context->data_end;
  if (data + loadHeaderSize <= end) __builtin_memcpy(data, frame->header, loadHeaderSize);
  else if (data + loadPlainHeaderSize <= end) __builtin_memcpy(data, frame->header, loadPlainHeaderSize);
  else return XDP_DROP;
  storm(s, (struct iphdr *)(data + sizeof(struct ethhdr)));
  s->next = place + 1 < s->frameCount ? place + 1 : 0;
  s->sent++;
  return XDP_TX;
}

static __always_inline int isExpected(const __u8 *data, const __u8 *end, __u16 port) {
  const struct ethhdr *ethernet = (const void *)data;
  const struct iphdr *ip = (const void *)(ethernet + 1);
  const struct udphdr *udp = (const void *)(ip + 1);
  if ((const __u8 *)(udp + 1) > end) return 0;
  return ethernet->h_proto == bpf_htons(ETH_P_IP) && ip->ihl == 5 && ip->protocol == IPPROTO_UDP && udp->dest == port;
}

SEC("tc")
int receive(struct __sk_buff *packet) {
  __u32 zero = 0;
  struct LoadReceived *counters = bpf_map_lookup_elem(&received, &zero);
  struct LoadExpectation *expected = bpf_map_lookup_elem(&expectation, &zero);
  if (!counters || !expected) return TC_ACT_OK;
  if (!isExpected((__u8 *)(long)packet->data, (__u8 *)(long)packet->data_end, expected->port)) {
    counters->wrong++;
    return TC_ACT_OK;
  }
  counters->packets++;
  counters->bytes += packet->len;
  return TC_ACT_SHOT;
}

char programLicense[] SEC("license") = "GPL";
