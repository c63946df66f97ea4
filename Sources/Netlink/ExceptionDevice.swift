// SPDX-License-Identifier: Apache-2.0
//
// The exception interface: a TUN through which packets that the fast path cannot finish reach the kernel. The slow path writes
// them as if they had come in there; the kernel forwards them, resolves the neighbour, and answers with ICMP errors.
//
//   inject ─▶ [TUN] ─▶ kernel: rules "iif TUN lookup TABLE" ─▶ route ─▶ neighbour, resolved if need be ─▶ interface
//                        └─▶ TTL over, too big, no route ─▶ ICMP error to the packet's source
//
// One device serves all instances that share the main table; an instance with its own routing table gets its own device.
// An ICMP error that the kernel makes is the host's own packet and so is routed by the main table, not by the instance's: where
// tables overlap, the router makes the error itself and injects it here.

import CLinux
import Glibc
import Wire

/// What became of an injected packet.
public enum InjectResult: Hashable, Sendable {
  /// The kernel has it. Whether it was forwarded is in the kernel's own counters.
  case accepted
  /// No room now.
  case full
  /// Not an IP packet (EINVAL), or the device is down (EIO).
  case refused(errno: CInt)
}

/// A TUN device of ours, made by `init` and gone with the value, its policy rules and settings too; after a SIGKILL the
/// rules stay behind without effect, and the next `init` of the same name removes them.
/// Thread: slow path, in the network namespace in which it was made.
public struct ExceptionDevice: ~Copyable {
  /// Before the main table (32766), behind what an operator numbers by hand; the refusal follows at once.
  private static let rulePriority: UInt32 = 20_000

  private let descriptor: OwnedDescriptor
  /// Only where there are rules to remove.
  private let queries: KernelQueries?
  private let rules: [PolicyRule]

  public let name: String
  public let interfaceIndex: UInt32
  /// What the operator has to change for everything to work, one line each, with the cure.
  public private(set) var warnings: [String]

  /// Packets the kernel took, and refused or had no room for.
  public private(set) var injected: UInt64 = 0
  public private(set) var refused: UInt64 = 0
  /// Packets that the kernel routed into the device, and that are not ours.
  public private(set) var discardedIncoming: UInt64 = 0

  /// Readable when the kernel has routed something into the device: call `drainIncoming`.
  public var fileDescriptor: CInt { descriptor.rawValue }

  /// Makes the device, sets it up and brings it up. With `routingTable`, packets injected here are forwarded by that table
  /// alone: what it does not know is unreachable, so that no instance leaks into another through the main table.
  public init(name: String, mtu: Int, routingTable: UInt32? = nil) throws(NetlinkError) {
    guard Self.isUsable(name: name) else { throw .unusableName(name) }
    guard let descriptor = OwnedDescriptor.open("/dev/net/tun", O_RDWR | O_NONBLOCK) else {
      throw .device(name: name, purpose: "opening /dev/net/tun", errno: errno)
    }
    let created = descriptor.becomeTUN(named: name)
    guard created == 0 else { throw .device(name: name, purpose: "creating the TUN device", errno: created) }
    let index = OwnedDescriptor.interfaceIndex(named: name)
    guard index != 0 else { throw .device(name: name, purpose: "finding its index", errno: errno) }

    let queries = try KernelQueries()
    let warnings = ForwardingSettings(interface: name).apply()
    try queries.setLink(index: index, mtu: mtu, isUp: true)
    try Self.removeRules(incomingInterface: name, queries)
    let rules = routingTable.map { Self.rules(name: name, table: $0) } ?? []
    do {
      for rule in rules { try queries.addRule(rule) }
    } catch {
      try? Self.removeRules(incomingInterface: name, queries)
      throw error
    }

    self.descriptor = descriptor
    self.queries = rules.isEmpty ? nil : queries
    self.rules = rules
    self.name = name
    self.warnings = warnings
    interfaceIndex = index
  }

  deinit {
    if let queries {
      for rule in rules { try? queries.deleteRule(rule) }
    }
  }

  /// Removes the device and its rules. The end of the value's life does the same.
  public consuming func close() {}

  /// Makes the kernel settings what they must be, and `warnings` true, once more. On a host with systemd-udevd, a new interface
  /// gets the settings of sysctl.d (by Debian's defaults rp_filter = 2) some time after it has appeared: call this a few
  /// seconds after `init`, and now and then.
  public mutating func reapplySettings() { warnings = ForwardingSettings(interface: name).apply() }

  /// Gives one IP packet to the kernel, as if it had come in on this device.
  public mutating func inject(_ packet: Span<UInt8>) -> InjectResult {
    let error = descriptor.write(packet)
    if error == 0 {
      injected &+= 1
      return .accepted
    }
    refused &+= 1
    return error == EAGAIN || error == ENOBUFS ? .full : .refused(errno: error)
  }

  /// Throws away up to `limit` packets that the kernel has routed into the device; returns how many there were.
  @discardableResult
  public mutating func drainIncoming(limit: Int = 64) -> Int {
    var count = 0
    while count < limit, descriptor.discardDatagram() { count += 1 }
    discardedIncoming &+= UInt64(count)
    return count
  }

  /// No '%', which the kernel replaces by a number, no '/' and ':', and no white space.
  private static func isUsable(name: String) -> Bool {
    (1...15).contains(name.utf8.count) && name != "." && name != ".."
      && name.utf8.allSatisfy { byte in
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
          || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "-_.".utf8.contains(byte)
      }
  }

  private static func rules(name: String, table: UInt32) -> [PolicyRule] {
    [.ipv4, .ipv6].flatMap { family in
      [
        PolicyRule(family: family, priority: rulePriority, incomingInterface: name, action: .lookup(table: table)),
        PolicyRule(family: family, priority: rulePriority + 1, incomingInterface: name, action: .unreachable),
      ]
    }
  }

  /// Removes what an earlier run left behind.
  private static func removeRules(incomingInterface name: String, _ queries: KernelQueries) throws(NetlinkError) {
    for family in AddressFamily.allCases {
      for rule in try queries.ownRules(family) where rule.incomingInterface == name { try queries.deleteRule(rule) }
    }
  }
}
