// SPDX-License-Identifier: Apache-2.0
//
// What an operator reads when something cannot be set up.

import Glibc
import Testing

@testable import XDP

@Suite struct XDPErrorTests {
  static let each: [XDPError] = [
    .noPrivilege(doing: "load the steering program"),
    .interface(name: "eth0", problem: "it is down", cure: "ip link set eth0 up"),
    .foreignProgram(interface: "eth0", name: "xdp_dispatcher", id: 42),
    .system(call: "bind", errno: EBUSY, where: "eth0, queue 3", cure: "end the other program"),
    .system(call: "bind", errno: EBUSY, where: "eth0, queue 3", cure: ""),
    .kernelTooOld(feature: "XSKMAP", needs: "4.18"),
  ]

  @Test func `each error is one line that says what, where and the cure`() {
    #expect(
      Self.each.map(\.description) == [
        "not permitted to load the steering program: run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON",
        "eth0: it is down; ip link set eth0 up",
        "eth0: the XDP program \"xdp_dispatcher\" (id 42) is attached already and xtr removes nobody's program; detach it "
          + "(`ip link set dev eth0 xdp off`, or end the process that owns it) or use another interface",
        "eth0, queue 3: bind: Device or resource busy (EBUSY); end the other program",
        "eth0, queue 3: bind: Device or resource busy (EBUSY)",
        "this kernel has no XSKMAP: Linux 4.18 or newer is needed",
      ])
  }

  @Test func `no privilege and an old kernel are impossible here, all else may be tried again`() {
    #expect(Self.each.map(\.isImpossibleHere) == [true, false, false, false, false, true])
  }

  @Test func `an error number without words is a number`() {
    #expect(errnoText(4711) == "error 4711")
    #expect(errnoText(ENODEV) == "No such device (ENODEV)")
  }
}
