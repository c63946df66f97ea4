// SPDX-License-Identifier: Apache-2.0
//
// What load.c and load.bpf.c share: the frames to send, the state of the sender, the receiver's counters. All three are
// BPF maps; the first two are mapped into load.c's memory.

#pragma once
#include <linux/types.h>

enum {
  loadFrameLimit = 4096,     // frames in one cycle of the load
  loadHeaderSize = 80,       // bytes of a frame that are written before each sending; the rest is never looked at
  loadPlainHeaderSize = 48,  // as much of them as a frame of 60 bytes holds
  loadLargestFrame = 1600,
};

/// One frame of the cycle. Lengths are without the frame check sequence, as in memory: 60 is a "64-byte frame".
struct LoadFrame {
  __u32 length;
  __u32 unused;
  __u8 header[loadHeaderSize];
};

/// Written by load.c before a run; the counters by the program, on one CPU.
struct LoadState {
  __u64 rate;       // packets per second; 0: as fast as it goes
  __u64 burst;      // how many packets may be made up for after a delay; more is given up
  __u64 frameCount;
  __u64 stopping;   // not 0: nothing leaves any more
  __u64 origin;     // when the first packet was due, ns
  __u64 due;        // how many were due at `origin` … now and were sent or given up
  __u64 next;       // place in the cycle
  __u64 sent;
  __u64 stormCount; // destinations of the storm, every second packet: 0 for none
  __u64 stormNext;  // place among them
  __u64 stormSent;  // of `sent`
  __u32 stormFirst, stormStep;  // addresses, host order
};

/// Per CPU. `wrong` are frames that the load cannot have caused; they go to the kernel.
struct LoadReceived {
  __u64 packets, bytes, wrong;
};

/// What the receiver counts: UDP over IPv4 to this port.
struct LoadExpectation {
  __u16 port;  // network order
};
