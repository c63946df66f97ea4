// SPDX-License-Identifier: Apache-2.0
//
// The published state: one root that every worker reads at the start of a batch, and everything it leads to.
//
//     StateRoot ──▶ ForwardingState ──▶ TableView     (IID, address) → mapping index
//      (one word)      │ settings, ports     │
//                      │                     ▼
//                      ├──▶ MappingReader   index → {set, counters}             8 bytes each
//                      ├──▶ HandleReader    set → action, bucket → template     one line, or one and a bucket table
//                      └──▶ HandleReader    template → ready header             two lines
//
// The slow path (ForwardingPublisher) builds a new root for a change of prefixes, ports or settings and swaps the one word:
// overlapping prefixes change together. One prefix that changes alone may be seen by workers of the root before. A change of what a
// set or template *is* (a locator went down, a neighbour got a new address) swaps one pointer in place and touches no prefix.

import PrefixTable
import Wire

/// How packets are encapsulated and decapsulated. Process-wide.
public struct EngineSettings: Equatable, Sendable {
  /// Copy the inner ECN field to the outer header (RFC 6040 normal mode), else leave the outer one Not-ECT (compatibility).
  public var copiesECN = true
  /// Compute the outer UDP checksum over IPv6 (rule E4). Costs a pass over the payload.
  public var computesUDPChecksum = false
  /// Verify non-zero outer UDP checksums (rule D1). Costs a pass over the payload.
  public var verifiesUDPChecksum = false
  /// Copy the outer DSCP to the inner header (uniform model), else keep the inner one (pipe; rule D9).
  public var copiesDSCP = false
  /// The locator-status-bits of all packets (rule E11): bit i says that locator i of our mappings is up; 8 of them fit beside an
  /// instance ID. nil: none, L = 0.
  public var statusBits: UInt32?
  /// Note for the slow path what the locator-status-bits of decapsulated packets say; see HintTable.
  public var notesStatusBits = false
  /// Packets carry the nonce of their locator's template, if it has one, and those of decapsulated packets are noted.
  public var exchangesNonces = false

  public init() {}
}

/// What a port may receive.
public struct PortRole: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }
  /// Packets from our EIDs, to be encapsulated.
  public static let site = PortRole(rawValue: 1)
  /// LISP packets for our RLOCs.
  public static let core = PortRole(rawValue: 2)
}

/// What the engine knows of a port.
public struct PortState: Equatable, Sendable {
  /// The VLANs' instance IDs.
  public var role: PortRole
  /// Of untagged frames; nil when they have none.
  public var instance: InstanceID?
  public var vlanInstances: [VLANID: InstanceID]

  public init(role: PortRole, instance: InstanceID? = nil, vlanInstances: [VLANID: InstanceID] = [:]) {
    self.role = role
    self.instance = instance
    self.vlanInstances = vlanInstances
  }
}

/// The root. Lives in memory of its own; see ForwardingStateReader.
struct ForwardingState {
  static let maximumPorts = 16
  static let maximumRLOCs = 16
  static let maximumLocalSpaces = 16

  var generation: UInt64
  var table: TableView
  var mappings: MappingReader
  var sets: HandleReader
  var templates: HandleReader
  var settings: EngineSettings
  var roles: InlineArray<16, UInt8>
  /// Per port; `noInstance` where there is none.
  var untaggedInstance: InlineArray<16, UInt32>
  var vlanInstances: InlineArray<16, VLANTable>
  /// Our own RLOCs, as outer sources to be refused (rule D13).
  var ownIPv4Count = 0
  var ownIPv4: InlineArray<16, UInt32>
  var ownIPv6Count = 0
  var ownIPv6: InlineArray<16, IPv6Address>
  /// What the source check knows without a lookup (rule E15).
  var localSpaceCount = 0
  var localSpaces = InlineArray<16, LocalSpace>(repeating: LocalSpace())

  static let noInstance: UInt32 = 0xFFFF_FFFF
}

/// An EID-prefix of which every address is ours, whatever entries the table has within: addresses of one instance and family that share
/// their first octets. Those are in network byte order: all four of an IPv4 address, the first eight of an IPv6 address.
struct LocalSpace {
  var instanceID = ForwardingState.noInstance
  /// 4 or 6.
  var family: UInt32 = 0
  var octets: UInt64 = 0
  var mask: UInt64 = 0

  init() {}

  /// nil when the prefix is longer than 64 bits.
  init?(_ prefix: EIDPrefix) {
    guard prefix.prefix.length <= 64 else { return nil }
    let bits = prefix.prefix.address.leftAligned.high
    let mask: UInt64 = ~0 << UInt64(64 - prefix.prefix.length)
    instanceID = prefix.instanceID.rawValue
    switch prefix.prefix.family {
    case .ipv4:
      family = 4
      octets = UInt64(UInt32(truncatingIfNeeded: bits >> 32).bigEndian)
      self.mask = UInt64(UInt32(truncatingIfNeeded: mask >> 32).bigEndian)
    case .ipv6:
      family = 6
      octets = bits.bigEndian
      self.mask = mask.bigEndian
    }
  }

  @inline(__always)
  func contains(_ octets: UInt64) -> Bool { (octets ^ self.octets) & mask == 0 }
}
