// SPDX-License-Identifier: Apache-2.0
//
// Judges one port: is it there, what can its driver do, who else uses it. Part of HostCheck.

import XDP

extension HostCheck {
  /// The largest packet with Ethernet header that native XDP takes on the drivers that demand one page per frame, less a
  /// margin for tags.
  static let nativeMTU = 3000
  /// The largest packet that a frame of 4096 bytes holds beside the kernel's headroom of 256 (XDP_PACKET_HEADROOM), an Ethernet
  /// header and a VLAN tag. The router refuses more.
  static let frameMTU = frameByteCount - 256 - 18

  func port(_ port: PortFacts) -> [Finding] {
    let name = port.configuration.name
    guard let facts = port.facts else {
      return [Finding(.error, name, port.problem, cure: port.cure)]
    }
    var findings: [Finding] = []
    if !facts.interface.isUp {
      findings.append(Finding(.error, name, "the interface is down", cure: "`ip link set \(name) up`"))
    }
    if let id = port.attachedProgram, port.isRouters {
      findings.append(
        Finding(
          .info, name, "the router that runs with this control socket has its XDP program (id \(id)) here",
          cure: "nothing needs to be done; a second router cannot have the interface"))
    } else if let id = port.attachedProgram {
      findings.append(
        Finding(
          .error, name, "an XDP program (id \(id)) is attached already",
          cure: "end the program that owns it, or `ip link set dev \(name) xdp off`"))
    }
    findings += driver(facts, port.configuration)
    if facts.interface.mtu > Self.frameMTU {
      findings.append(
        Finding(
          .error, name, "MTU \(facts.interface.mtu) bytes: a frame holds packets of at most \(Self.frameMTU)",
          cure: "`ip link set \(name) mtu \(Self.nativeMTU)`"))
    } else if facts.interface.mtu > Self.nativeMTU, port.configuration.attach != .generic {
      findings.append(
        Finding(
          .warning, name, "MTU \(facts.interface.mtu) bytes: many drivers refuse native XDP above about \(Self.nativeMTU)",
          cure: "`ip link set \(name) mtu \(Self.nativeMTU)`, or attach = \"generic\" (slower)"))
    }
    if facts.interface.transmitQueueCount < facts.interface.queueCount {
      findings.append(
        Finding(
          .error, name,
          "\(facts.interface.queueCount) receive queues and \(facts.interface.transmitQueueCount) transmit queues: not every queue can send",
          cure: "`ethtool -L \(name) combined \(facts.interface.transmitQueueCount)`"))
    }
    if !facts.harmfulOffloads.isEmpty {
      findings.append(
        Finding(
          .info, name, "\(facts.harmfulOffloads.joined(separator: ", ")) will be off while the router runs, and on again after",
          cure: "nothing needs to be done"))
    }
    return findings + busyPoll(facts, port.configuration)
  }

  private func driver(_ facts: InterfaceFacts, _ port: Configuration.Interface) -> [Finding] {
    let driver = facts.interface.driver
    guard let support = DriverSupport.of(driver) else {
      return [
        Finding(
          .info, port.name, "driver \"\(driver)\" is not on our list: whether it has native XDP and zero-copy shows at start",
          cure: "`xtr show interfaces` tells the modes in force")
      ]
    }
    var findings: [Finding] = []
    if !support.native, port.attach != .generic {
      findings.append(
        Finding(
          port.attach == .native ? .error : .warning, port.name,
          "driver \(driver) has no native XDP: packets pass through the kernel's slow path first",
          cure: port.attach == .native ? "attach = \"generic\", or another card" : "a card whose driver has it (mlx5, i40e, ixgbe, igc …)"))
    }
    let zeroCopy = support.zeroCopySince.map { since in host.kernelVersion.map { $0 >= since } ?? true } ?? false
    if !zeroCopy, port.mode != .copy {
      let why = support.zeroCopySince.map { "zero-copy can be relied upon from Linux \($0.major).\($0.minor)" } ?? "has no zero-copy"
      findings.append(
        Finding(
          port.mode == .zeroCopy ? .error : .warning, port.name, "driver \(driver): \(why): each packet is copied by the kernel",
          cure: port.mode == .zeroCopy
            ? "mode = \"auto\" or \"copy\"" : "a card with zero-copy (mlx5, i40e, ixgbe, igc …) for line rate; for a test it will do"))
    }
    if let note = support.note {
      findings.append(Finding(.info, port.name, "driver \(driver): \(note)", cure: "see the driver's documentation"))
    }
    return findings
  }

  private func busyPoll(_ facts: InterfaceFacts, _ port: Configuration.Interface) -> [Finding] {
    guard port.busyPoll != nil, let deferred = facts.napiDeferHardIRQs, let timeout = facts.groFlushTimeout else { return [] }
    guard deferred == 0 || timeout == 0 else { return [] }
    return [
      Finding(
        .warning, port.name, "busy-poll is configured, but interrupts are not deferred: the kernel polls against it",
        cure: "`echo 2 > /sys/class/net/\(port.name)/napi_defer_hard_irqs; echo 200000 > /sys/class/net/\(port.name)/gro_flush_timeout`")
    ]
  }
}
