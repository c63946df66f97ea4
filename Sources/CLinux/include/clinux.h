// SPDX-License-Identifier: Apache-2.0
//
// C shims, no logic: the system headers that Swift imports, and what Swift cannot say itself. Every function carries the
// prefix clinux_. Never define _GNU_SOURCE here: Swift imports this header; define it in the .c files.
#pragma once

#include "clinux_bpf.h"
#include "clinux_cpu.h"
#include "clinux_errno.h"
#include "clinux_lab.h"
#include "clinux_netlink.h"
#include "clinux_system.h"
#include "clinux_xdp.h"
