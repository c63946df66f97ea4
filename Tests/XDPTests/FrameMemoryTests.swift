// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import XDP

@Suite struct FrameMemoryTests {
  @Test(arguments: [(1, 2048), (3, 4096), (512, 4096), (513, 4096)])
  func `is aligned to huge pages, zeroed and writable to its last byte`(frameCount: Int, chunkSize: Int) throws {
    let memory = try FrameMemory(frameCount: frameCount, chunkSize: chunkSize)
    #expect(UInt(bitPattern: memory.base) % (2 << 20) == 0)
    #expect(memory.byteCount == frameCount * chunkSize)
    let whole = try #require(memory.bytes(at: 0, count: memory.byteCount))
    #expect(whole.allSatisfy { $0 == 0 })
    whole[memory.byteCount - 1] = 0xA5
    #expect(memory.bytes(at: UInt64(memory.byteCount - 1), count: 1)?.first == 0xA5)
  }

  @Test func `bytes outside are not given`() throws {
    let memory = try FrameMemory(frameCount: 2)
    #expect(memory.bytes(at: 8191, count: 1) != nil)
    #expect(memory.bytes(at: 8192, count: 0) != nil)
    #expect(memory.bytes(at: 8192, count: 1) == nil)
    #expect(memory.bytes(at: 8191, count: 2) == nil)
    #expect(memory.bytes(at: 0, count: 8193) == nil)
    #expect(memory.bytes(at: .max, count: 1) == nil)
    #expect(memory.bytes(at: 0, count: -1) == nil)
  }

  @Test(arguments: [0, 1024, 3000, 8192, -4096]) func `a chunk size that the kernel would refuse is refused`(chunkSize: Int) {
    #expect(throws: XDPError.self) { _ = try FrameMemory(frameCount: 4, chunkSize: chunkSize) }
  }

  @Test(arguments: [0, -1, Int.max, Int(UInt32.max) + 1]) func `a frame count that cannot be is refused`(frameCount: Int) {
    #expect(throws: XDPError.self) { _ = try FrameMemory(frameCount: frameCount) }
  }

  @Test func `gives its memory back`() throws {
    func mappedBytes() throws -> Int {
      let pages = try #require(readSmallFile("/proc/self/statm")?.split(separator: " ").first.flatMap { Int($0) })
      return pages * 4096
    }
    let before = try mappedBytes()
    for _ in 0..<40 { _ = try FrameMemory(frameCount: 4096) }  // 16 MiB each
    #expect(try mappedBytes() < before + 320 << 20)
  }

  @Test(.enabled(if: freeHugePages() >= 64, "needs 64 free huge pages: sysctl vm.nr_hugepages=64"))
  func `takes reserved huge pages where there are enough, and does without where there are not`() throws {
    let memory = try FrameMemory(frameCount: 1024)
    #expect(memory.pages == .huge)
    #expect(memory.pages.description == "2 MiB pages")
    let tooMuch = try FrameMemory(frameCount: (freeHugePages() + 100) * 512)
    #expect(tooMuch.pages != .huge)
  }
}

private func freeHugePages() -> Int {
  guard let text = readSmallFile("/proc/meminfo") else { return 0 }
  let line = text.split(separator: "\n").first { $0.hasPrefix("HugePages_Free:") }
  return line.flatMap { $0.split(separator: " ").last }.flatMap { Int($0) } ?? 0
}
