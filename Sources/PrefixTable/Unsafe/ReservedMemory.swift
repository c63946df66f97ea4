// SPDX-License-Identifier: Apache-2.0
//
// Address space that is reserved once and filled by touching it: tables grow without ever moving what readers see.
// The prefix table's nodes, the mapping records and the counters live in such memory.

import Glibc

/// A zero-filled mapping whose pages cost nothing until they are touched. Never moves; unmapped on deinit.
@safe public final class ReservedMemory: @unchecked Sendable {
  public let base: UnsafeMutableRawPointer
  public let byteCount: Int

  /// nil when the kernel refuses the address space.
  public init?(byteCount: Int, hugePages: Bool = false) {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let base = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0), unsafe base != MAP_FAILED else { return nil }
    if hugePages { _ = unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
    unsafe self.base = unsafe base
    self.byteCount = byteCount
  }

  // SAFETY: the owner keeps the object alive as long as any thread may read; see the owners' deinit notes.
  deinit { unsafe munmap(base, byteCount) }
}
