// SPDX-License-Identifier: Apache-2.0
//
// The memory that all packets live in. The router makes one at start; every socket registers it with the kernel as its
// umem, each worker's FramePool owns a slice of its frames, and it goes away after the last socket.

import CLinux
import Glibc

/// One contiguous area of frames ("chunks" in the kernel's words), shared by all ports and workers, so that a packet
/// received on one port is sent on another without being copied. Addresses count bytes from its start. Zeroed at first.
///
/// Thread: any. Which thread may touch which frame is the business of `FramePool` and the rings.
@safe public final class FrameMemory: @unchecked Sendable {
  /// What pages the area is made of.
  public enum Pages: Sendable, Equatable, CustomStringConvertible {
    /// 2 MiB pages reserved by the administrator (vm.nr_hugepages).
    case huge
    /// 2 MiB pages where the kernel finds them (transparent huge pages).
    case transparentHuge
    /// 4 KiB pages: transparent huge pages are switched off.
    case small

    public var description: String {
      switch self {
      case .huge: "2 MiB pages"
      case .transparentHuge: "transparent huge pages"
      case .small: "4 KiB pages"
      }
    }
  }

  /// The first byte; aligned to 2 MiB. Valid as long as this object.
  public let base: UnsafeMutableRawPointer
  /// `frameCount` times `chunkSize`.
  public let byteCount: Int
  public let frameCount: Int
  /// Bytes per frame; 2048 or 4096.
  public let chunkSize: Int
  public let pages: Pages
  /// The length of the mapping: `byteCount` rounded up to whole huge pages.
  private let mappedByteCount: Int

  /// Map the area and fault it in: huge pages if enough are free, ordinary memory with transparent huge pages otherwise.
  ///
  /// - Parameters:
  ///   - frameCount: how many frames; at least 1
  ///   - chunkSize: 2048 or 4096, what the kernel accepts with aligned chunks on 4 KiB pages
  public init(frameCount: Int, chunkSize: Int = 4096) throws(XDPError) {
    guard chunkSize == 2048 || chunkSize == 4096 else {
      throw .system(call: "umem", errno: EINVAL, where: "chunk size \(chunkSize)", cure: "use 2048 or 4096")
    }
    guard frameCount > 0, frameCount <= Int(UInt32.max) else {
      throw .system(call: "umem", errno: EINVAL, where: "\(frameCount) frames", cure: "use 1 to \(UInt32.max)")
    }
    let byteCount = frameCount * chunkSize
    let mapped = (byteCount + hugePageSize - 1) & ~(hugePageSize - 1)
    if let area = unsafe mapHuge(mapped) {
      unsafe base = area
      pages = .huge
    } else {
      unsafe base = try mapAligned(mapped, frameCount: frameCount)
      pages = unsafe adviseTransparentHuge(base, mapped) ? .transparentHuge : .small
    }
    self.byteCount = byteCount
    self.frameCount = frameCount
    self.chunkSize = chunkSize
    mappedByteCount = mapped
  }

  // SAFETY: sockets and pools that use the area keep a reference to this object; what `base` was handed to says so itself.
  deinit { unsafe _ = munmap(base, mappedByteCount) }

  /// Asks for the lines of a packet's first bytes, to be read, and of the room before it, to be written: the kernel wrote the
  /// packet on another core, and nobody has touched the headroom since the frame's last use.
  @inlinable @inline(__always)
  public func prefetchPacket(_ address: FrameAddress) {
    // SAFETY: prefetching never faults, whatever the address.
    unsafe clinux_prefetch(base + Int(truncatingIfNeeded: address))
    unsafe clinux_prefetch_write(base + (Int(truncatingIfNeeded: address) &- 64))
  }

  /// Asks for the lines behind a packet's first bytes, to be read: the kernel copies the packet when it sends it (in copy mode).
  @inlinable @inline(__always)
  public func prefetchRest(_ address: FrameAddress, byteCount: UInt32) {
    // SAFETY: prefetching never faults, whatever the address.
    let first = Int(truncatingIfNeeded: address)
    for offset in stride(from: 64, to: Int(byteCount), by: 64) { unsafe clinux_prefetch(base + (first &+ offset)) }
  }

  /// The `count` bytes at `address`; nil when they do not lie in the area. For set-up, tests and the slow path; the
  /// packet path works from `base`.
  @unsafe public func bytes(at address: FrameAddress, count: Int) -> UnsafeMutableRawBufferPointer? {
    guard count >= 0, count <= byteCount, address <= UInt64(byteCount - count) else { return nil }
    return unsafe UnsafeMutableRawBufferPointer(start: base + Int(address), count: count)  // SAFETY: just checked
  }
}

private let hugePageSize = 2 << 20

/// MAP_HUGETLB | 21 << MAP_HUGE_SHIFT of linux/mman.h: pages of 2 MiB.
private let mapHuge2MiB = CInt(MAP_HUGETLB) | 21 << 26

/// MADV_POPULATE_WRITE of linux/mman.h (Linux 5.14).
private let madvPopulateWrite: CInt = 23

/// Reserved huge pages, nil when there are not enough.
private func mapHuge(_ byteCount: Int) -> UnsafeMutableRawPointer? {
  // SAFETY: a new anonymous mapping.
  let area = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | mapHuge2MiB, -1, 0)
  guard unsafe area != MAP_FAILED, let area = unsafe area else { return nil }
  // The reservation may still be refused page by page (a memory cgroup, a cpuset): that shows here instead of as SIGBUS
  // later. A kernel without MADV_POPULATE_WRITE says EINVAL and gives the pages when they are touched.
  if unsafe madvise(area, byteCount, madvPopulateWrite) != 0, errno != EINVAL {
    unsafe munmap(area, byteCount)
    return nil
  }
  return unsafe area
}

/// Ordinary memory that begins at a multiple of 2 MiB, so that transparent huge pages fit.
private func mapAligned(_ byteCount: Int, frameCount: Int) throws(XDPError) -> UnsafeMutableRawPointer {
  let slack = byteCount + hugePageSize
  // SAFETY: a new anonymous mapping; then its ends outside the aligned area are given back, each within the mapping.
  let area = unsafe mmap(nil, slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
  guard unsafe area != MAP_FAILED, let area = unsafe area else {
    throw .system(call: "mmap", errno: errno, where: "\(byteCount) bytes for \(frameCount) frames", cure: "configure fewer frames")
  }
  let head = -Int(bitPattern: area) & (hugePageSize - 1)
  let base = unsafe area + head
  if head > 0 { unsafe munmap(area, head) }
  if head < hugePageSize { unsafe munmap(base + byteCount, hugePageSize - head) }
  return unsafe base
}

/// Ask for transparent huge pages and fault everything in now rather than under traffic (where the kernel does not know
/// how, registering the umem does that). Returns whether the administrator lets programs have such pages.
private func adviseTransparentHuge(_ base: UnsafeMutableRawPointer, _ byteCount: Int) -> Bool {
  // SAFETY: the caller's mapping, whole.
  let advised = unsafe madvise(base, byteCount, MADV_HUGEPAGE) == 0
  unsafe _ = madvise(base, byteCount, madvPopulateWrite)
  guard advised, let text = readSmallFile("/sys/kernel/mm/transparent_hugepage/enabled") else { return false }
  return !text.contains("[never]")
}
