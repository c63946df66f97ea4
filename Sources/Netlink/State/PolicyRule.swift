// SPDX-License-Identifier: Apache-2.0
//
// A policy rule "iif NAME lookup TABLE" or "iif NAME unreachable": how packets that an exception device injects find the routing
// table of their instance. Made by ExceptionDevice, carried by KernelQueries.

import CLinux
import Wire

/// A policy rule of ours. The kernel consults rules by rising priority; table "local" has 0, "main" 32766.
public struct PolicyRule: Hashable, Sendable, CustomStringConvertible {
  public enum Action: Hashable, Sendable {
    case lookup(table: UInt32)
    /// No answer: the packet is refused, and no later rule is asked.
    case unreachable
  }

  public let family: AddressFamily
  public let priority: UInt32
  public let incomingInterface: String
  public let action: Action

  public init(family: AddressFamily, priority: UInt32, incomingInterface: String, action: Action) {
    self.family = family
    self.priority = priority
    self.incomingInterface = incomingInterface
    self.action = action
  }

  public var description: String {
    let what =
      switch action {
      case .lookup(let table): "lookup \(table)"
      case .unreachable: "unreachable"
      }
    return "\(family == .ipv4 ? "-4" : "-6") priority \(priority) iif \(incomingInterface) \(what)"
  }
}

extension PolicyRule {
  /// fib_rule_hdr: family, destination length, source length, tos, table, reserved ×2, action, u32 flags.
  static let headerByteCount = 12
  /// The mark that a rule is ours, shown by `ip rule` as "proto 76". Values above 4 mean nothing to the kernel.
  private static let ownProtocol: UInt8 = 76
  // FR_ACT_*
  private static let actionLookup: UInt8 = 1
  private static let actionUnreachable: UInt8 = 7

  /// nil for a malformed message, a rule that is not ours, and one of another form.
  init?(_ message: NetlinkMessage) {
    guard let family = message.payload.uint8(at: 0).flatMap(AddressFamily.init(kernelValue:)),
      let shortTable = message.payload.uint8(at: 4), let actionCode = message.payload.uint8(at: 7),
      message.payload.count >= Self.headerByteCount
    else { return nil }
    var table = UInt32(shortTable)
    var priority: UInt32 = 0
    var incomingInterface: String?
    var isOurs = false
    for attribute in message.attributes(after: Self.headerByteCount) {
      switch attribute.type {
      case Int(FRA_TABLE): table = attribute.value.number32 ?? table
      case Int(FRA_PRIORITY): priority = attribute.value.number32 ?? 0
      case Int(FRA_IIFNAME): incomingInterface = attribute.value.text
      case Int(FRA_PROTOCOL): isOurs = attribute.value.number8 == Self.ownProtocol
      default: break
      }
    }
    guard isOurs, let incomingInterface else { return nil }
    switch actionCode {
    case Self.actionLookup: action = .lookup(table: table)
    case Self.actionUnreachable: action = .unreachable
    default: return nil
    }
    self.family = family
    self.priority = priority
    self.incomingInterface = incomingInterface
  }

  func request(_ purpose: String, type: Int, flags: CInt) -> NetlinkRequest {
    let actionCode =
      switch action {
      case .lookup: Self.actionLookup
      case .unreachable: Self.actionUnreachable
      }
    var request = NetlinkRequest(
      purpose, type: type, flags: flags, header: [family.kernelValue, 0, 0, 0, 0, 0, 0, actionCode, 0, 0, 0, 0])
    request.attribute(Int(FRA_PRIORITY), number: priority)
    request.attribute(Int(FRA_IIFNAME), text: incomingInterface)
    request.attribute(Int(FRA_PROTOCOL), [Self.ownProtocol])
    if case .lookup(let table) = action { request.attribute(Int(FRA_TABLE), number: table) }
    return request
  }
}
