// SPDX-License-Identifier: Apache-2.0
//
// libbpf as Swift imports it, the layout of the steering program's maps, and what Swift cannot say: a callback with a va_list.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>

#include "../../../bpf/steer.h"

_Static_assert(sizeof(struct steer_config) == 8, "the config map's value");
_Static_assert(sizeof(struct steer_address) == 20, "the addresses map's key has no padding, which a hash would see");
_Static_assert(sizeof(struct steer_prefix) == 24, "the prefixes map's key: a length and 160 bits");

/// Keeps libbpf from printing to standard error; its words are kept for `clinux_bpf_messages` instead.
/// Exists because libbpf hands its words over as a format and a va_list. Any thread; once is enough.
void clinux_bpf_keep_messages(void);

/// What libbpf has said on this thread since the last `clinux_bpf_forget_messages`, at most its last 4095 characters: lines,
/// the kernel's verifier log among them. Valid until this thread calls libbpf again.
const char *clinux_bpf_messages(void);

/// Begins anew. This thread's messages only.
void clinux_bpf_forget_messages(void);
