// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import XDP

@Suite(.enabled(if: canUseNamespaces, needsRoot), .serialized) struct OffloadGuardTests {
  /// The names of `left`'s features that are on.
  private func active() throws -> Set<String> {
    let control = try InterfaceControl(name: "left")
    let names = control.featureNames()
    let features = control.features(count: names.count)
    return Set(names.indices.filter { features[$0].active }.map { names[$0] })
  }

  @Test func `what was on is off while the guard lives and on again after it`() throws {
    try inNamespace {
      try makePair()
      let before = try active()
      #expect(before.contains("rx-vlan-hw-parse"))
      var changed: [String] = []
      do {
        let offloads = try OffloadGuard(interface: try Interface.named("left"))
        changed = offloads.changed
        #expect(offloads.unchangeable == [])
        #expect(try active() == before.subtracting(changed))
      }
      #expect(changed == ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"])
      #expect(try active() == before)
    }
  }

  @Test func `what was off stays off`() throws {
    try inNamespace {
      try makePair()
      try shell("ethtool -K left rxvlan off")
      let before = try active()
      do {
        let offloads = try OffloadGuard(interface: try Interface.named("left"))
        #expect(offloads.changed == ["rx-vlan-stag-hw-parse"])
      }
      #expect(try active() == before)
    }
  }

  @Test func `restoring twice and after the interface is gone is harmless`() throws {
    try inNamespace {
      try makePair()
      let before = try active()
      var offloads = try OffloadGuard(interface: try Interface.named("left"))
      offloads.restore()
      #expect(offloads.changed == [])
      #expect(try active() == before)
      offloads.restore()
      let second = try OffloadGuard(interface: try Interface.named("right"))
      try shell("ip link del left")
      #expect(second.changed != [])
    }
  }

  @Test func `without the capability it is impossible here`() throws {
    try inNamespace {
      try makePair()
      let left = try Interface.named("left")
      withoutCapabilities(capabilityNetAdmin) {
        #expect(throws: XDPError.noPrivilege(doing: "switch offloads of left off")) { _ = try OffloadGuard(interface: left) }
      }
    }
  }
}
