// SPDX-License-Identifier: Apache-2.0
//
// The frames that are fed to the engines. Rewriting destroys its input, so every measured pass begins by putting the first
// bytes of each frame back, from a pool of many times more packets than there are frames: the tables are asked at random
// places of their whole range, as traffic would.

import CEngine
import DataPlane
import Glibc
import Measuring
import Wire

/// A pool of packets, and the frames they are put into. Thread: one.
final class FramePlan {
  static let chunkByteCount = 4096
  /// Room before a frame: XDP_PACKET_HEADROOM.
  static let headroom = 256
  /// The router's frames on their way between its rings.
  static let frameCount = 512
  /// How many times as many packets there are. Prime to two, so that both engines meet every part of the pool.
  let segmentCount: Int
  /// More than any header: Ethernet, IPv6, UDP, LISP, IPv6, ports.
  static let headByteCount = 128

  let area: UnsafeMutableRawPointer
  private let pool: UnsafeMutableRawPointer
  private let lengths: UnsafeMutablePointer<UInt32>
  let input: UnsafeMutablePointer<cengine_descriptor>
  let output: UnsafeMutablePointer<cengine_descriptor>

  init(_ shape: Case, _ site: Site, seed: UInt64) {
    segmentCount = shape.isInternet ? 513 : 33
    let packetCount = Self.frameCount * segmentCount
    // On one huge page, if there is one, as the router's frame memory is: which frames share cache sets is not left to chance.
    area = .allocate(byteCount: Self.frameCount * Self.chunkByteCount, alignment: 1 << 21)
    madvise(area, Self.frameCount * Self.chunkByteCount, MADV_HUGEPAGE)
    area.initializeMemory(as: UInt8.self, repeating: 0xA5, count: Self.frameCount * Self.chunkByteCount)
    pool = .allocate(byteCount: packetCount * Self.headByteCount, alignment: 64)
    pool.initializeMemory(as: UInt8.self, repeating: 0xA5, count: packetCount * Self.headByteCount)
    lengths = .allocate(capacity: packetCount)
    input = .allocate(capacity: Self.frameCount)
    input.initialize(repeating: cengine_descriptor(), count: Self.frameCount)
    output = .allocate(capacity: Self.frameCount)
    output.initialize(repeating: cengine_descriptor(), count: Self.frameCount)
    var random = SplitMix64(seed: seed)
    for i in 0..<packetCount {
      let frame = PacketBuilder.frame(shape, site, &random)
      lengths[i] = UInt32(frame.byteCount)
      (pool + i * Self.headByteCount).copyMemory(from: frame.head, byteCount: frame.head.count)
    }
  }

  deinit {
    area.deallocate()
    pool.deallocate()
    lengths.deallocate()
    input.deallocate()
    output.deallocate()
  }

  /// Puts a segment of the pool into the frames.
  func prepare(segment: Int) {
    let first = segment % segmentCount * Self.frameCount
    for i in 0..<Self.frameCount {
      let address = i * Self.chunkByteCount + Self.headroom
      (area + address).copyMemory(from: pool + (first + i) * Self.headByteCount, byteCount: Self.headByteCount)
      input[i] = cengine_descriptor(address: UInt64(address), length: lengths[first + i], verdict: 0)
    }
  }

  /// Makes every byte 0xA5, so that what an engine writes shows.
  func clear() {
    area.initializeMemory(as: UInt8.self, repeating: 0xA5, count: Self.frameCount * Self.chunkByteCount)
  }

  /// Damages the prepared frames: bits, lengths, tags. The same `seed` does the same damage.
  func damage(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for i in 0..<Self.frameCount {
      let frame = (area + Int(input[i].address)).assumingMemoryBound(to: UInt8.self)
      for _ in 0..<random.next() % 3 { frame[Int(random.next() % 64)] ^= 1 << UInt8(random.next() % 8) }
      for _ in 0..<random.next() % 2 { frame[Int(random.next() % 64)] = UInt8(truncatingIfNeeded: random.next()) }
      if random.next() % 4 == 0 { input[i].length = UInt32(random.next() % UInt64(input[i].length + 1)) }
    }
  }

  /// Everything the engine was handed, as it is now: for comparing.
  func image() -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: area, count: Self.frameCount * Self.chunkByteCount))
  }

  func outcomes() -> [(address: UInt64, length: UInt32, verdict: UInt32)] {
    (0..<Self.frameCount).map { (output[$0].address, output[$0].length, output[$0].verdict) }
  }
}
