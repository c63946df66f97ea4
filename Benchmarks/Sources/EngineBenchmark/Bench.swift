// SPDX-License-Identifier: Apache-2.0
//
// One case: its state, its frames, both engines; the comparison of what they do and of how long they take.

import CEngine
import DataPlane
import Measuring

/// A difference between the engines.
struct Difference: Error, CustomStringConvertible {
  var description: String
}

struct Bench: ~Copyable {
  static let batchSize = 64

  let shape: Case
  private let site: Site
  private let frames: FramePlan
  private var swift: SwiftEngine
  private let c: CEngineHandle

  init(_ shape: Case, seed: UInt64) throws {
    self.shape = shape
    site = try Site(shape, seed: seed)
    frames = FramePlan(shape, site, seed: seed ^ 0xF00D)
    let port = shape.direction == .encap ? Site.sitePort : Site.corePort
    swift = SwiftEngine(site, port: port)
    c = CEngineHandle(site, port: port)
  }

  /// All frames, batch by batch.
  @inline(never)
  private mutating func pass(_ language: Language) {
    for first in stride(from: 0, to: FramePlan.frameCount, by: Self.batchSize) {
      switch language {
      case .swift: swift.forward(frames.area, frames.input + first, frames.output + first, count: Self.batchSize)
      case .c: c.forward(frames.area, frames.input + first, frames.output + first, count: Self.batchSize)
      }
    }
  }

  /// Nanoseconds per packet of one pass over a part of the pool.
  private mutating func sample(_ language: Language, segment: Int) -> Double {
    frames.prepare(segment: segment)
    let start = now()
    pass(language)
    return Double(now() - start) / Double(FramePlan.frameCount)
  }

  /// Swift, C, C, Swift …, each with its own part of the pool.
  /// Besides both times: the median of the pairs' ratios.
  mutating func measure(sampleCount: Int) -> (swift: Timing, c: Timing, ratio: Double) {
    var samples: (swift: [Double], c: [Double]) = ([], [])
    for i in -8..<sampleCount {
      let segment = 2 * (i + 8)
      let measured: (swift: Double, c: Double)
      if i % 2 == 0 {
        let swift = sample(.swift, segment: segment)
        measured = (swift, sample(.c, segment: segment + 1))
      } else {
        let c = sample(.c, segment: segment)
        measured = (sample(.swift, segment: segment + 1), c)
      }
      guard i >= 0 else { continue }  // warming up
      samples.swift.append(measured.swift)
      samples.c.append(measured.c)
    }
    let ratios = zip(samples.swift, samples.c).map { $0 / $1 }
    return (Timing(samples.swift), Timing(samples.c), Timing(ratios).median)
  }

  /// Runs one engine alone, for instruction counts.
  mutating func run(_ language: Language, passes: Int) {
    for i in 0..<passes {
      frames.prepare(segment: i)
      pass(language)
    }
  }

  /// Throws unless both engines give every packet of the pool, sound and damaged, the same verdict and the same bytes, and
  /// count the same. Returns a digest of all verdicts and frames: it tells whether a change of the engines changed what they do.
  @discardableResult
  mutating func compare() throws -> UInt64 {
    var digest: UInt64 = 0xCBF2_9CE4_8422_2325
    var transmitted = 0
    for segment in 0..<2 * frames.segmentCount {
      let isDamaged = segment >= frames.segmentCount
      let bySwift = result(.swift, segment, isDamaged)
      let byC = result(.c, segment, isDamaged)
      for i in 0..<FramePlan.frameCount where bySwift.outcomes[i] != byC.outcomes[i] {
        throw Difference(description: "\(shape.name): packet \(segment).\(i): Swift \(bySwift.outcomes[i]), C \(byC.outcomes[i])")
      }
      guard bySwift.image == byC.image else { throw Difference(description: "\(shape.name): the bytes of segment \(segment) differ") }
      for outcome in bySwift.outcomes { Self.mix(outcome, bySwift.image, into: &digest) }
      if !isDamaged { transmitted += bySwift.outcomes.count { $0.verdict >> 8 == 1 } }
    }
    guard transmitted == frames.segmentCount * FramePlan.frameCount else {
      throw Difference(description: "\(shape.name): only \(transmitted) sound packets were transmitted")
    }
    try compareCounters()
    return digest
  }

  /// FNV-1a over the verdict and the frame's bytes.
  private static func mix(
    _ outcome: (address: UInt64, length: UInt32, verdict: UInt32), _ image: [UInt8], into digest: inout UInt64
  ) {
    let frame = image[Int(outcome.address)..<Int(outcome.address) + Int(outcome.length)]
    for octet in [UInt8(truncatingIfNeeded: outcome.verdict >> 8), UInt8(truncatingIfNeeded: outcome.verdict)] + frame {
      digest = (digest ^ UInt64(octet)) &* 0x0000_0100_0000_01B3
    }
  }

  private mutating func result(
    _ language: Language, _ segment: Int, _ isDamaged: Bool
  ) -> (outcomes: [(address: UInt64, length: UInt32, verdict: UInt32)], image: [UInt8]) {
    frames.clear()
    frames.prepare(segment: segment)
    if isDamaged { frames.damage(seed: UInt64(segment)) }
    pass(language)
    return (frames.outcomes(), frames.image())
  }

  private func compareCounters() throws {
    for i in 0...site.destinations.count {
      let bySwift = swift.counters.locator(UInt32(i))
      guard bySwift == c.counters[i] else {
        throw Difference(description: "\(shape.name): counter \(i): Swift \(bySwift), C \(c.counters[i])")
      }
    }
  }
}
