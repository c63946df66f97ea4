// SPDX-License-Identifier: Apache-2.0
//
// The few changes this program makes to the kernel's network state: neighbours verified, policy rules for exception devices,
// links brought up. Called by the slow path.

import CLinux
import Glibc
import Wire

extension KernelQueries {
  /// One neighbour; nil when the kernel has no entry.
  public func neighbour(_ address: IPAddress, interfaceIndex: UInt32) throws(NetlinkError) -> Neighbour? {
    var request = NetlinkRequest(
      "asking for neighbour \(address)", type: Int(RTM_GETNEIGH), flags: 0,
      header: Self.neighbourHeader(address.family, interfaceIndex: interfaceIndex, flags: 0))
    request.attribute(Int(NDA_DST), address: address)
    do {
      return try ask(request, Neighbour.init)
    } catch {
      if error.errno == ENOENT { return nil }
      throw error
    }
  }

  /// Tells the kernel that we use a neighbour (NTF_USE): a missing or failed entry is resolved, a stale one is verified (after
  /// delay_first_probe_time, 5 s by default), a fresh one is left alone. What comes of it arrives as events.
  /// A permanent entry is not touched: NTF_USE would make it an ordinary one.
  public func probe(neighbour address: IPAddress, interfaceIndex: UInt32) throws(NetlinkError) {
    if let known = try neighbour(address, interfaceIndex: interfaceIndex), known.state == .permanent || known.state == .noARP {
      return
    }
    var request = NetlinkRequest(
      "probing neighbour \(address)", type: Int(RTM_NEWNEIGH), flags: NLM_F_ACK | NLM_F_CREATE,
      header: Self.neighbourHeader(address.family, interfaceIndex: interfaceIndex, flags: 0x01))  // NTF_USE
    request.attribute(Int(NDA_DST), address: address)
    try command(request)
  }

  /// Adds a policy rule; one that exists already in the same form is fine.
  public func addRule(_ rule: PolicyRule) throws(NetlinkError) {
    do {
      try command(
        rule.request("adding policy rule \"\(rule)\"", type: Int(RTM_NEWRULE), flags: NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL))
    } catch {
      if error.errno != EEXIST { throw error }
    }
  }

  /// Removes a policy rule; one that is gone already is fine.
  public func deleteRule(_ rule: PolicyRule) throws(NetlinkError) {
    do {
      try command(rule.request("removing policy rule \"\(rule)\"", type: Int(RTM_DELRULE), flags: NLM_F_ACK))
    } catch {
      if error.errno != ENOENT { throw error }
    }
  }

  /// The policy rules of a family that `PolicyRule` can express and that this program made.
  public func ownRules(_ family: AddressFamily) throws(NetlinkError) -> [PolicyRule] {
    try dump(
      NetlinkRequest(
        "listing policy rules", type: Int(RTM_GETRULE), flags: NLM_F_DUMP,
        header: [family.kernelValue] + [UInt8](repeating: 0, count: PolicyRule.headerByteCount - 1)), PolicyRule.init)
  }

  /// Sets a link's MTU, and brings it up or down.
  public func setLink(index: UInt32, mtu: Int? = nil, isUp: Bool? = nil) throws(NetlinkError) {
    let up: UInt32 = 1  // IFF_UP
    var request = NetlinkRequest(
      "setting up link \(index)", type: Int(RTM_NEWLINK), flags: NLM_F_ACK,
      header: [0, 0, 0, 0] + index.hostBytes + (isUp == true ? up : 0).hostBytes + (isUp == nil ? 0 : up).hostBytes)
    if let mtu { request.attribute(Int(IFLA_MTU), number: UInt32(clamping: mtu)) }
    try command(request)
  }

  /// ndmsg; the state is NUD_NONE.
  private static func neighbourHeader(_ family: AddressFamily, interfaceIndex: UInt32, flags: UInt8) -> [UInt8] {
    [family.kernelValue, 0, 0, 0] + interfaceIndex.hostBytes + [0, 0, flags, 0]
  }
}
