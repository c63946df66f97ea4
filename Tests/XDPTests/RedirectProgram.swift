// SPDX-License-Identifier: Apache-2.0
//
// The smallest program that lifts packets: everything to the socket of the queue, or else on to the kernel. For socket tests only.

import CLinux
import Glibc

/// Attached in native mode to one interface while it lives.
struct RedirectProgram: ~Copyable {
  private let map: CInt
  private let program: CInt
  private let interfaceIndex: CInt

  init(interfaceIndex: UInt32) throws {
    let map = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "test_sockets", 4, 4, 16, nil)
    guard map >= 0 else { throw CommandFailed(command: "bpf_map_create", status: map) }
    // return redirect_map(map, context->rx_queue_index, XDP_PASS)
    let instructions: [UInt64] = [
      0x61 | 0x12 << 8 | 16 << 16,  // r2 = *(u32 *)(r1 + 16)
      0x18 | 0x11 << 8 | UInt64(map) << 32, 0,  // r1 = map
      0xb7 | 0x03 << 8 | 2 << 32,  // r3 = XDP_PASS
      0x85 | 51 << 32,  // call bpf_redirect_map
      0x95,  // exit
    ]
    let program = instructions.withUnsafeBytes {
      bpf_prog_load(
        BPF_PROG_TYPE_XDP, "test_redirect", "GPL", $0.baseAddress?.assumingMemoryBound(to: bpf_insn.self), $0.count / 8, nil)
    }
    let attached = program >= 0 ? bpf_xdp_attach(CInt(interfaceIndex), program, 1 << 2, nil) : program  // XDP_FLAGS_DRV_MODE
    guard attached == 0 else { throw CommandFailed(command: "bpf_prog_load, bpf_xdp_attach", status: attached) }
    self.map = map
    self.program = program
    self.interfaceIndex = CInt(interfaceIndex)
  }

  func register(_ socket: CInt, queue: Int) throws {
    var key = UInt32(queue)
    var value = socket
    let result = bpf_map_update_elem(map, &key, &value, 0)
    guard result == 0 else { throw CommandFailed(command: "bpf_map_update_elem", status: result) }
  }

  deinit {
    bpf_xdp_detach(interfaceIndex, 1 << 2, nil)
    close(program)
    close(map)
  }
}
