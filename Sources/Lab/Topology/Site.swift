// SPDX-License-Identifier: Apache-2.0
//
// One site of the two-site topology: names and addresses by rule, A is 1 and B is 2.

import Wire

/// One LISP site: its router and its two hosts.
public struct Site: Sendable {
  public let letter: String
  public let router: Namespace
  /// Host of instance 1, host of instance 2; the same addresses in both.
  public let hosts: [Namespace]
  /// The router's site interface per instance.
  public let siteInterfaces = ["site1", "site2"]
  public let coreInterface = "core"
  /// What the router is called from the core: the core's interface towards it.
  public let coreSideInterface: String

  /// The router's own address on the site interface of `instance` (1 or 2).
  public func gateway(_ family: AddressFamily, instance: Int) -> String {
    switch family {
    case .ipv4: "10.\(number).0.\(instance)"
    case .ipv6: "fd00:\(number)::\(instance)"
    }
  }

  /// What the site announces in both instances.
  public func eidPrefix(_ family: AddressFamily) -> IPPrefix { IPPrefix(masking: host(family), length: family.linkPrefixLength) }

  /// The hosts' address.
  public func host(_ family: AddressFamily) -> IPAddress {
    switch family {
    case .ipv4: .v4(IPv4Address(10, UInt8(number), 0, 10))
    case .ipv6: .v6(IPv6Address(high: 0xFD00 << 48 | UInt64(number) << 32, low: 0x10))
    }
  }

  /// The router's RLOC.
  public func rloc(_ family: AddressFamily) -> IPAddress {
    switch family {
    case .ipv4: number == 1 ? .v4(IPv4Address(192, 0, 2, 2)) : .v4(IPv4Address(198, 51, 100, 2))
    case .ipv6: .v6(IPv6Address(high: 0x2001_0DB8 << 32 | UInt64(number + 9) << 16, low: 2))
    }
  }

  /// The core's address in this site's RLOC subnet.
  public func coreGateway(_ family: AddressFamily) -> String {
    switch family {
    case .ipv4: number == 1 ? "192.0.2.1" : "198.51.100.1"
    case .ipv6: "2001:db8:\(letter.lowercased())::1"
    }
  }

  var number: Int { letter == "A" ? 1 : 2 }

  init(_ letter: String, lab: Lab) throws {
    self.letter = letter
    router = try lab.namespace("xtr\(letter)")
    hosts = [try lab.namespace("host\(letter)1"), try lab.namespace("host\(letter)2")]
    coreSideInterface = "xtr\(letter)"
  }
}

extension AddressFamily {
  /// All links of the lab: a /24 and a /64.
  public var linkPrefixLength: Int { self == .ipv4 ? 24 : 64 }
}
