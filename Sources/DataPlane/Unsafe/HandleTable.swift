// SPDX-License-Identifier: Apache-2.0
//
// Handle → block. Other tables refer to templates and sets by handle; what a handle means is one pointer that the slow path
// swaps. Handle 0 is never given out.

import PrefixTable

/// The readers' side. Trivial.
@safe struct HandleReader: @unchecked Sendable {
  private let base: UnsafeMutableRawPointer

  fileprivate init(_ memory: ReservedMemory) { unsafe base = unsafe memory.base }

  /// The block behind `handle`. Partner: `HandleTable.set`.
  ///
  /// SAFETY: handles come from published blocks, and a handle is freed a grace period after the last block that names it.
  @unsafe @inline(__always)
  subscript(handle: UInt32) -> UnsafeMutableRawPointer? {
    unsafe UnsafeMutableRawPointer(bitPattern: UInt(AtomicWord(at: base + Int(handle) &* 8).load()))
  }
}

/// The writer's side: hands out handles and swaps what they mean. Thread: slow path.
struct HandleTable: ~Copyable {
  private let memory: ReservedMemory
  let reader: HandleReader
  private let capacity: UInt32
  private var next: UInt32 = 1
  private var free: [UInt32] = []

  /// nil when the address space is refused. At most 2²⁴ handles, because SetBlock keeps 24 bits of them.
  init?(capacity: UInt32) {
    precondition(capacity <= 1 << 24)
    guard let memory = ReservedMemory(byteCount: Int(capacity) * 8) else { return nil }
    self.memory = memory
    self.capacity = capacity
    reader = HandleReader(memory)
  }

  var count: Int { Int(next) - 1 - free.count }
  var limit: Int { Int(capacity) - 1 }

  /// nil when all are taken.
  mutating func allocate() -> UInt32? {
    if let handle = free.popLast() { return handle }
    guard next < capacity else { return nil }
    next += 1
    return next - 1
  }

  /// Makes `handle` mean `block`; returns what it meant before. Partner: `HandleReader.subscript`.
  func set(_ handle: UInt32, _ block: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    // SAFETY: handle < capacity; zero pages are valid words.
    let word = unsafe AtomicWord(at: memory.base + Int(handle) * 8)
    let old = word.loadRelaxed()
    word.store(UInt64(UInt(bitPattern: block)))
    return unsafe UnsafeMutableRawPointer(bitPattern: UInt(old))
  }

  /// After the grace period.
  mutating func release(_ handle: UInt32) { free.append(handle) }
}
