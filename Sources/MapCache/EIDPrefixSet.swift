// SPDX-License-Identifier: Apache-2.0
//
// A few EID-prefixes, our own as a rule, and which of them another lies in: a look for every length there is among them.

import Wire

/// A set of EID-prefixes that is made once and asked often.
public struct EIDPrefixSet: Sendable {
  private let members: Set<EIDPrefix>
  /// Those among the members, the longest first.
  private let lengths: [Int]

  public init(_ members: some Sequence<EIDPrefix>) {
    self.members = Set(members)
    lengths = Set(self.members.map(\.prefix.length)).sorted(by: >)
  }

  /// The members that `eid` lies in or is, the longest first.
  public func covering(_ eid: EIDPrefix) -> [EIDPrefix] {
    lengths.compactMap { length in
      guard length <= eid.prefix.length else { return nil }
      let covering = EIDPrefix(eid.instanceID, IPPrefix(masking: eid.prefix.address, length: length))
      return members.contains(covering) ? covering : nil
    }
  }
}
