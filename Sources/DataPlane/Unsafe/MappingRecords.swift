// SPDX-License-Identifier: Apache-2.0
//
// The values of the prefix table: eight bytes per mapping, eight mappings to a cache line. A record is immutable from the
// publication of its index to a grace period after its removal.

import CLinux
import PrefixTable

/// What a mapping is to the engine.
struct MappingRecord: Equatable {
  var set: SetHandle
  /// The first of its locators' counters.
  var counters: UInt32
}

/// The readers' side. Trivial.
@safe struct MappingReader: @unchecked Sendable {
  private let records: UnsafeMutablePointer<MappingRecord>

  fileprivate init(_ memory: ReservedMemory) {
    unsafe records = memory.base.assumingMemoryBound(to: MappingRecord.self)
  }

  /// SAFETY: `index` is a value of a published prefix table.
  @inline(__always) subscript(index: UInt32) -> MappingRecord { unsafe records[Int(index)] }
  @inline(__always) func prefetch(_ index: UInt32) { unsafe clinux_prefetch(records + Int(index)) }
  fileprivate func write(_ index: UInt32, _ record: MappingRecord) { unsafe records[Int(index)] = record }
}

/// The writer's side. Thread: slow path.
struct MappingRecords: ~Copyable {
  private let memory: ReservedMemory
  let reader: MappingReader
  private let capacity: UInt32
  private var next: UInt32 = 1
  private var free: [UInt32] = []

  init?(capacity: UInt32) {
    guard let memory = ReservedMemory(byteCount: Int(capacity) * MemoryLayout<MappingRecord>.stride, hugePages: true) else { return nil }
    self.memory = memory
    self.capacity = capacity
    reader = MappingReader(memory)
  }

  var count: Int { Int(next) - 1 - free.count }
  var limit: Int { Int(capacity) - 1 }

  /// A new record that no reader can see yet; nil when all are taken.
  mutating func add(_ record: MappingRecord) -> UInt32? {
    var index = next
    if let reused = free.popLast() {
      index = reused
    } else {
      guard next < capacity else { return nil }
      next += 1
    }
    reader.write(index, record)
    return index
  }

  /// After the grace period.
  mutating func release(_ index: UInt32) { free.append(index) }
}
