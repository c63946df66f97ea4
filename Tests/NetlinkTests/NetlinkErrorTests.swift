// SPDX-License-Identifier: Apache-2.0
//
// Tests of NetlinkError: one line that says what, where and the cure.

import Glibc
import Testing

@testable import Netlink

@Suite struct NetlinkErrorTests {
  private static let errors: [(NetlinkError, contains: String, isImpossibleHere: Bool)] = [
    (.system(purpose: "opening a raw IPv4 socket", errno: EPERM), "CAP_NET_RAW", true),
    (.system(purpose: "opening a raw IPv6 socket", errno: EAFNOSUPPORT), "ipv6.disable", true),
    (.system(purpose: "following kernel events", errno: EMFILE), "LimitNOFILE", false),
    (.refused(purpose: "adding policy rule", errno: EPERM, reason: nil), "CAP_NET_ADMIN", true),
    (.refused(purpose: "setting up link 5", errno: EINVAL, reason: "mtu less than device minimum"), "device minimum", false),
    (.device(name: "xtr0", purpose: "opening /dev/net/tun", errno: ENOENT), "modprobe tun", true),
    (.device(name: "xtr0", purpose: "creating the TUN device", errno: EBUSY), "stop the other xtr", false),
    (.device(name: "xtr0", purpose: "creating the TUN device", errno: EPERM), "CAP_NET_ADMIN", true),
    (.unusableName("a/b"), "\"a/b\"", false),
    (.unstable(purpose: "listing routes"), "try again", false),
    (.noAnswer(purpose: "listing routes"), "dmesg", false),
  ]

  @Test(arguments: errors.indices)
  func `every error is one line that names its subject and its cure`(index: Int) {
    let (error, contains, isImpossibleHere) = Self.errors[index]
    #expect(error.description.contains(contains), "\(error)")
    #expect(!error.description.contains("\n"))
    #expect(error.isImpossibleHere == isImpossibleHere, "\(error)")
    switch error {
    case .system(let purpose, _), .refused(let purpose, _, _), .unstable(let purpose), .noAnswer(let purpose):
      #expect(error.description.hasPrefix(purpose))
    case .device(let name, let purpose, _):
      #expect(error.description.contains(name) && error.description.contains(purpose))
    case .unusableName: break
    }
  }
}
