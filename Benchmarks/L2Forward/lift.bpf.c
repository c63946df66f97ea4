// SPDX-License-Identifier: Apache-2.0
//
// The reference forwarder's XDP program: every frame goes to the socket of the queue it came in on, or to the
// kernel while there is none. l2forward.c loads it once per port.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 4);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

SEC("xdp")
int lift(struct xdp_md *context) {
  return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
}

char programLicense[] SEC("license") = "GPL";
