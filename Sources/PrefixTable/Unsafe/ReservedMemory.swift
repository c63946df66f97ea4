// SPDX-License-Identifier: Apache-2.0
//
// Address space that is reserved once and filled by touching it: tables grow without ever moving what readers see.
// The prefix table's nodes, the mapping records and the counters live in such memory.

import Glibc

/// A zero-filled mapping whose pages cost nothing until they are touched. Never moves; unmapped on deinit.
@safe public final class ReservedMemory: @unchecked Sendable {
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int
  private let mapping: UnsafeMutableRawBufferPointer

  private static let hugePageSize = 2 << 20

  /// nil when the kernel refuses the address space. With `hugePages`, `base` is at the begin of one.
  public init?(byteCount: Int, hugePages: Bool = false) {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let size = byteCount + (hugePages ? Self.hugePageSize : 0)
    guard let start = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, flags, -1, 0), unsafe start != MAP_FAILED else { return nil }
    unsafe mapping = UnsafeMutableRawBufferPointer(start: start, count: size)
    unsafe base = hugePages ? unsafe start.alignedUp(toMultipleOf: Self.hugePageSize) : unsafe start
    self.byteCount = byteCount
    if hugePages { _ = unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
  }

  // SAFETY: the owner keeps the object alive as long as any thread may read; see the owners' deinit notes.
  deinit { unsafe munmap(mapping.baseAddress, mapping.count) }
}
