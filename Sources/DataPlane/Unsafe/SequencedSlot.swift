// SPDX-License-Identifier: Apache-2.0
//
// What a worker's notes for the slow path are made of (PeerTable, HintTable): neither waits for the other, and none is read half.
//
// The epoch is a number that the slow path raises at each look, so that the packet path needs no clock: what was noted with the epoch of now
// need not be noted again before the next look. It stands in the upper half of a word; the lower half is the note's own.
//
// I1  The worker alone writes slots, the slow path alone the epoch. Zero pages are empty slots.
// I2  A slot has an odd sequence while it is written. The sequence is raised before the other words are stored with release, and again, with
//     release, after them. A reader that loaded one (acquire) of a later writing therefore finds a later sequence, and one that finds the even
//     sequence with which it began has read one note, whole. It takes no other.

import PrefixTable

/// The epoch of a worker's notes. Trivial; valid as long as its memory.
@safe struct NoteEpoch {
  private static let step: UInt64 = 1 << 32

  private let word: AtomicWord

  /// SAFETY: as for AtomicWord.
  @unsafe @inline(__always) init(at memory: UnsafeMutableRawPointer) { word = unsafe AtomicWord(at: memory) }

  @inline(__always) var now: UInt64 { word.loadRelaxed() }

  /// The slow path looks, or has made the memory. Zero is no epoch.
  func raise() { word.storeRelaxed(now &+ Self.step) }
}

/// Words that one thread writes together and another reads together. Trivial; valid as long as its memory.
@safe struct SequencedSlot {
  private let base: UnsafeMutableRawPointer

  /// SAFETY: as for AtomicWord, for all words that `word` is asked for.
  @unsafe @inline(__always) init(base: UnsafeMutableRawPointer) { unsafe self.base = unsafe base }

  /// The words of the note are those from 1 on; word 0 is the sequence.
  // SAFETY: init.
  @inline(__always) func word(_ i: Int) -> AtomicWord { unsafe AtomicWord(at: base + i &* 8) }
  @inline(__always) private var sequence: AtomicWord { word(0) }

  /// For the worker: whether nothing was ever noted here.
  var isEmpty: Bool { sequence.loadRelaxed() == 0 }

  /// I2, the worker's part. `storeWords` stores with release what the reader shall have.
  @inline(__always)
  func write(_ storeWords: () -> Void) {
    let before = sequence.loadRelaxed()
    sequence.storeRelaxed(before &+ 1)
    storeWords()
    sequence.store(before &+ 2)
  }

  /// I2, the reader's part; `loadWords` loads with acquire. nil while the slot is written, when it never was, or as it was with the sequence
  /// `seen`.
  @inline(__always)
  func read<Words>(unless seen: inout UInt64, _ loadWords: () -> Words) -> Words? {
    let before = sequence.load()
    guard before != seen, before != 0, before & 1 == 0 else { return nil }
    let words = loadWords()
    guard sequence.loadRelaxed() == before else { return nil }
    seen = before
    return words
  }
}
