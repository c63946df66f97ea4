// SPDX-License-Identifier: Apache-2.0
//
// What decides how fast an interface can be, for `xtr check` and for the log at start. Facts only: the judging is done there.

import CLinux

/// The settings of one interface that matter to AF_XDP. A nil is what the device or the kernel does not tell.
public struct InterfaceFacts: Equatable, Sendable {
  /// A number that can be set, and its limit.
  public struct Setting: Equatable, Sendable {
    public let current: Int
    public let maximum: Int
  }

  public let interface: Interface
  /// Channels with receive and transmit queue together, receive queues alone, transmit queues alone (`ethtool -l`).
  public let combinedChannels: Setting?
  public let receiveChannels: Setting?
  public let transmitChannels: Setting?
  /// The card's own rings (`ethtool -g`); nil for virtual devices.
  public let receiveRing: Setting?
  public let transmitRing: Setting?
  /// How many empty polls pass before interrupts come on again; above 0 for busy polling.
  public let napiDeferHardIRQs: Int?
  /// Nanoseconds until a deferred interrupt is made up for; above 0 for busy polling.
  public let groFlushTimeout: Int?
  /// The offloads that `OffloadGuard` would switch off, and that are on now.
  public let harmfulOffloads: [String]

  /// Ask the kernel, in the calling thread's network namespace. The two NAPI settings come from /sys, which shows the
  /// namespace it was mounted in: nil when it does not know this very interface. Thread: any; slow.
  public static func of(_ interface: Interface) throws(XDPError) -> InterfaceFacts {
    let control = try InterfaceControl(name: interface.name)
    var channels = ethtool_channels()
    channels.cmd = UInt32(ETHTOOL_GCHANNELS)
    let hasChannels = control.ethtool(&channels) == 0
    var rings = ethtool_ringparam()
    rings.cmd = UInt32(ETHTOOL_GRINGPARAM)
    let hasRings = control.ethtool(&rings) == 0

    let folder = systemFolder(name: interface.name, index: interface.index, macAddress: interface.macAddress)
    func number(_ file: String) -> Int? { folder.flatMap { readSmallFile("\($0)/\(file)") }.flatMap { Int($0) } }

    let names = control.featureNames()
    let features = control.features(count: names.count)
    return InterfaceFacts(
      interface: interface,
      combinedChannels: hasChannels ? Setting(channels.combined_count, of: channels.max_combined) : nil,
      receiveChannels: hasChannels ? Setting(channels.rx_count, of: channels.max_rx) : nil,
      transmitChannels: hasChannels ? Setting(channels.tx_count, of: channels.max_tx) : nil,
      receiveRing: hasRings ? Setting(rings.rx_pending, of: rings.rx_max_pending) : nil,
      transmitRing: hasRings ? Setting(rings.tx_pending, of: rings.tx_max_pending) : nil,
      napiDeferHardIRQs: number("napi_defer_hard_irqs"), groFlushTimeout: number("gro_flush_timeout"),
      harmfulOffloads: names.indices
        .filter { $0 < features.count && features[$0].active && OffloadGuard.always.contains(names[$0]) }.map { names[$0] })
  }
}

extension InterfaceFacts.Setting {
  /// Nil where the device has no such thing: a limit of 0.
  init?(_ current: UInt32, of maximum: UInt32) {
    guard maximum > 0 else { return nil }
    self.init(current: Int(current), maximum: Int(maximum))
  }
}
