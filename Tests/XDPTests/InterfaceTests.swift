// SPDX-License-Identifier: Apache-2.0
import Testing
import Wire

@testable import XDP

@Suite(.enabled(if: canUseNamespaces, needsRoot), .serialized) struct InterfaceTests {
  @Test func `a veth is known by name, number, address, MTU, driver, queues and state`() throws {
    try inNamespace {
      try makePair(queues: 2)
      try shell("ip link set left mtu 1600 address 02:00:00:00:a5:01; ip link set right down")
      let left = try Interface.named("left")
      #expect(left.name == "left")
      #expect(left.index > 1)
      #expect(left.macAddress == MACAddress("02:00:00:00:a5:01"))
      #expect(left.mtu == 1600)
      #expect(left.driver == "veth")
      #expect(left.queueCount == 2 && left.transmitQueueCount == 2)
      #expect(left.isUp)
      let right = try Interface.named("right")
      #expect(!right.isUp)
      #expect(right.index != left.index)
    }
  }

  @Test(arguments: ["nosuch", "", "a-name-much-too-long-for-linux", "left\0"])
  func `a name that is no interface is an error`(name: String) throws {
    try inNamespace {
      #expect(throws: XDPError.interface(name: name, problem: "no such interface", cure: "`ip link` lists those that there are")) {
        _ = try Interface.named(name)
      }
    }
  }

  @Test func `an interface without Ethernet is refused`() throws {
    try inNamespace {
      #expect {
        _ = try Interface.named("lo")
      } throws: {
        "\($0)".contains("not an Ethernet interface")
      }
    }
  }

  @Test func `facts name the channels and what the device does not have`() throws {
    try inNamespace {
      try makePair(queues: 2)
      let facts = try InterfaceFacts.of(try Interface.named("left"))
      #expect(facts.receiveChannels == InterfaceFacts.Setting(current: 2, maximum: 2))
      #expect(facts.transmitChannels == InterfaceFacts.Setting(current: 2, maximum: 2))
      #expect(facts.combinedChannels == nil)
      #expect(facts.receiveRing == nil && facts.transmitRing == nil)
    }
  }
}
