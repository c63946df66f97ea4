// SPDX-License-Identifier: Apache-2.0
//
// Bytes into lines, however they arrive.

import TestSupport
import Testing

@testable import ControlAPI

@Suite struct LineBufferTests {
  @Test func `lines are the same however the bytes arrive`() {
    let seed: UInt64 = 0x5EED_0030
    var random = SplitMix64(seed: seed)
    for _ in 0..<300 {
      let lines = (0..<Int.random(in: 0...20, using: &random)).map { _ in
        (0..<Int.random(in: 0...60, using: &random)).map { _ in UInt8.random(in: 0x20...0x7E, using: &random) }
      }
      let stream = lines.flatMap { $0 + [0x0A] } + Array("rest".utf8)
      var buffer = LineBuffer(limit: 64)
      var found: [[UInt8]] = []
      var start = 0
      while start < stream.count {
        let end = min(stream.count, start + Int.random(in: 1...50, using: &random))
        buffer.append(stream[start..<end])
        while let line = buffer.next() { found.append(line) }
        start = end
      }
      #expect(found == lines, "seed \(seed)")
      #expect(buffer.count == 4)
      #expect(!buffer.isOverlong)
    }
  }

  @Test func `a line of the limit is given, one byte more is overlong`() {
    var buffer = LineBuffer(limit: 5)
    buffer.append(Array("12345\n".utf8))
    #expect(buffer.next() == Array("12345".utf8))
    buffer.append(Array("ok\n123456\n".utf8))
    #expect(buffer.next() == Array("ok".utf8))
    #expect(buffer.next() == nil)
    #expect(buffer.isOverlong)
  }

  @Test func `an unfinished line is overlong as soon as it is too long`() {
    var buffer = LineBuffer(limit: 5)
    buffer.append(Array("12345".utf8))
    #expect(buffer.next() == nil)
    #expect(!buffer.isOverlong)
    buffer.append(Array("6".utf8))
    #expect(buffer.next() == nil)
    #expect(buffer.isOverlong)
  }

  @Test func `an empty line is a line`() {
    var buffer = LineBuffer()
    buffer.append([0x0A, 0x0A])
    #expect(buffer.next() == [])
    #expect(buffer.next() == [])
    #expect(buffer.next() == nil)
  }
}
