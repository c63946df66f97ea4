// SPDX-License-Identifier: Apache-2.0
//
// Puts a `replace` that is split over lines together. Each client's handler has one. The service sees the whole or nothing.
//
// Lines are numbered, because one that was refused must not leave a hole: without numbers, a client that did not read the error
// of line 3 would commit the rest, and all mappings of line 3 would be gone.

import ControlAPI

/// The lines of one split `replace` up to now.
struct ReplaceCollection {
  private var scope: ReplaceScope?
  private var mappings: [ControlMapping] = []
  private var nextIndex = 0
  private let limit: Int

  init(limit: Int = ControlProtocol.maximumCollectedMappings) { self.limit = limit }

  enum Step {
    /// Wait for more; so many mappings are here.
    case collected(Int)
    /// All lines are here.
    case whole(ControlRequest.Operation)
  }

  /// Takes one line's part. An error discards all lines before it.
  mutating func take(
    _ part: ReplacePart, scope: ReplaceScope, mappings more: [ControlMapping]
  ) throws(ControlFailure) -> Step {
    guard part.index == nextIndex else {
      let expected = nextIndex
      discard()
      throw ControlFailure(.invalid, "part: expected \(expected), found \(part.index); the parts before are discarded, begin again with 0")
    }
    guard self.scope == nil || self.scope == scope else {
      discard()
      throw ControlFailure(.invalid, "scope: not that of part 0; the parts before are discarded, begin again with 0")
    }
    guard mappings.count + more.count <= limit else {
      discard()
      throw ControlFailure(.tooLarge, "more than \(limit) mappings in one replace; the parts before are discarded")
    }
    self.scope = scope
    nextIndex += 1
    mappings += more
    guard !part.more else { return .collected(mappings.count) }
    let whole = mappings
    discard()
    return .whole(.replace(scope: scope, mappings: whole, part: nil))
  }

  mutating func discard() { self = ReplaceCollection(limit: limit) }
}
