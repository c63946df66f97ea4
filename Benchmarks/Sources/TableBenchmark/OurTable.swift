// SPDX-License-Identifier: Apache-2.0
//
// The prefix table of the router, as its engine uses it.

import Measuring
import PrefixTable
import Wire

struct OurTable: ~Copyable {
  static let batchSize = 64

  let table: PrefixTable
  private var batch = LookupBatch(capacity: 2 * batchSize)
  private let view: TableView
  private let roots: InstanceRoots
  /// Of filling it, one prefix after the other, in one transaction.
  let loadSeconds: Double

  init(_ prefixes: Prefixes) throws {
    let filled = try Self.fill(prefixes)
    (table, loadSeconds) = filled
    view = filled.table.view
    roots = filled.table.view.instance(0)
  }

  /// The value of a prefix is its number, from 1 on.
  private static func fill(_ prefixes: Prefixes) throws -> (table: PrefixTable, seconds: Double) {
    let table = try PrefixTable()
    let start = now()
    for (i, prefix) in prefixes.ipv4.enumerated() { try table.update(EIDPrefix(.zero, prefix), value: UInt32(i + 1)) }
    for (i, prefix) in prefixes.ipv6.enumerated() { try table.update(EIDPrefix(.zero, prefix), value: UInt32(i + 1)) }
    _ = table.commit()
    return (table, Double(now() - start) / 1e9)
  }

  /// Looks `count` addresses up, a multiple of 64. The answers go to `all`, if there is one.
  @inline(never)
  mutating func lookUp(ipv4 addresses: UnsafePointer<UInt32>, count: Int, all: UnsafeMutablePointer<UInt32>? = nil) -> UInt32 {
    lookUp(count, all) { batch, k, i, roots, view in batch.put(k, roots.ipv4, raw: addresses[i], in: view) }
  }

  @inline(never)
  mutating func lookUp(ipv6 addresses: UnsafePointer<(UInt64, UInt64)>, count: Int, all: UnsafeMutablePointer<UInt32>? = nil) -> UInt32 {
    lookUp(count, all) { batch, k, i, roots, view in batch.put(k, roots.ipv6, raw: addresses[i], in: view) }
  }

  @inline(__always)
  private mutating func lookUp(
    _ count: Int, _ all: UnsafeMutablePointer<UInt32>?, put: (inout LookupBatch, Int, Int, InstanceRoots, TableView) -> Void
  ) -> UInt32 {
    var digest: UInt32 = 0
    for first in stride(from: 0, to: count, by: Self.batchSize) {
      batch.clear(reserving: Self.batchSize)
      for k in 0..<Self.batchSize { put(&batch, k, first + k, roots, view) }
      batch.run(view)
      for k in 0..<Self.batchSize { digest ^= batch[k] }
      if let all { for k in 0..<Self.batchSize { all[first + k] = batch[k] } }
    }
    return digest
  }

  /// One call after the other. With `mask`, which must be 0 without the compiler's knowing, each waits for the one before, as it takes
  /// from its answer what to change in the address; without, the processor may work on several at once.
  @inline(never)
  func lookUpSingly(ipv4 addresses: UnsafePointer<UInt32>, count: Int, mask: UInt32?) -> UInt32 {
    lookUpSingly(count, roots.ipv4, mask) { i, change in (UInt64(addresses[i] ^ change) << 32, 0) }
  }

  @inline(never)
  func lookUpSingly(ipv6 addresses: UnsafePointer<(UInt64, UInt64)>, count: Int, mask: UInt32?) -> UInt32 {
    lookUpSingly(count, roots.ipv6, mask) { i, change in
      (UInt64(bigEndian: addresses[i].0 ^ UInt64(change)), UInt64(bigEndian: addresses[i].1))
    }
  }

  @inline(__always)
  private func lookUpSingly(
    _ count: Int, _ root: Entry, _ mask: UInt32?, address: (Int, UInt32) -> (high: UInt64, low: UInt64)
  ) -> UInt32 {
    var digest: UInt32 = 0
    guard let mask else {
      for i in 0..<count {
        let address = address(i, 0)
        digest ^= view.lookup(root, high: address.high, low: address.low)
      }
      return digest
    }
    for i in 0..<count {
      let address = address(i, digest & mask)
      digest = view.lookup(root, high: address.high, low: address.low)
    }
    return digest
  }
}
