// SPDX-License-Identifier: Apache-2.0
//
// Why a change of the prefix table is refused. What cannot be written down as a prefix at all (a length out of range, host bits
// that are set) is refused by Wire's IPPrefix, as PrefixError.

import Wire

/// Why a change was refused. The table is as it was before.
public enum PrefixTableError: Error, Equatable, CustomStringConvertible {
  case exists(EIDPrefix)
  case notFound(EIDPrefix)
  case instanceUnknown(InstanceID)
  case valueOutOfRange(UInt32)
  case full(byteLimit: Int)
  case noMemory(byteCount: Int)

  public var description: String {
    switch self {
    case .exists(let prefix): "\(prefix) is already in the table"
    case .notFound(let prefix): "\(prefix) is not in the table"
    case .instanceUnknown(let instance): "instance \(instance) has no prefix in the table"
    case .valueOutOfRange(let value): "\(value) is not a value: values are 1 to \(Entry.maximumValue)"
    case .full(let limit): "the prefix table is full (\(limit) bytes, or \(NodeShape.maximumPrefixCount) prefixes in all)"
    case .noMemory(let byteCount): "cannot reserve \(byteCount) bytes of address space for the prefix table (see ulimit -v; 16 GiB at most)"
    }
  }
}
