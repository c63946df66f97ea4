// SPDX-License-Identifier: Apache-2.0
//
// Quiescent states: whom the writer waits for, and whom it does not.

import Testing

@testable import PrefixTable

@Suite struct QuiescentStateTests {
  @Test func `with no reader nothing waits`() {
    let state = QuiescentState()
    let epoch = state.advance()
    #expect(state.oldest() == epoch)
    #expect(state.advance() == epoch + 1)
  }

  @Test func `an online reader holds back what was retired since its last quiescent point`() throws {
    let state = QuiescentState()
    let reader = try #require(state.register())
    reader.online()
    let epoch = state.advance()
    #expect(state.oldest() < epoch)
    reader.quiescent()
    #expect(state.oldest() >= epoch)
    let next = state.advance()
    #expect(state.oldest() < next && state.oldest() >= epoch)
  }

  @Test func `a registered reader that never came online, or went offline, holds nothing back`() throws {
    let state = QuiescentState()
    let (silent, reader) = (try #require(state.register()), try #require(state.register()))
    _ = silent
    reader.online()
    let epoch = state.advance()
    #expect(state.oldest() < epoch)
    reader.offline()
    #expect(state.oldest() >= epoch)
    reader.online()
    #expect(state.oldest() >= epoch, "what was retired before it came online it cannot hold")
    #expect(state.oldest() < state.advance())
  }

  @Test func `the slowest reader decides`() throws {
    let state = QuiescentState()
    let readers = try (0..<5).map { _ in try #require(state.register()) }
    for reader in readers { reader.online() }
    let epoch = state.advance()
    for (i, reader) in readers.enumerated() {
      #expect(state.oldest() < epoch, "\(i) of 5 have passed")
      reader.quiescent()
    }
    #expect(state.oldest() >= epoch)
  }

  @Test func `one quiescent point lets many epochs go`() throws {
    let state = QuiescentState()
    let reader = try #require(state.register())
    reader.online()
    let first = state.oldest()
    var last: UInt64 = 0
    for _ in 0..<100 { last = state.advance() }
    #expect(state.oldest() == first)
    reader.quiescent()
    #expect(state.oldest() == last)
  }

  @Test func `there is room for 64 readers and no more`() throws {
    let state = QuiescentState()
    let readers = (0..<QuiescentState.maximumReaders).compactMap { _ in state.register() }
    #expect(readers.count == 64)
    #expect(state.register() == nil && state.register() == nil)
    for reader in readers { reader.online() }
    let epoch = state.advance()
    for reader in readers.dropLast() { reader.quiescent() }
    #expect(state.oldest() < epoch)
    readers.last?.quiescent()
    #expect(state.oldest() == epoch)
  }
}
