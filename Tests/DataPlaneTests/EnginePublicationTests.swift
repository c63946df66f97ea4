// SPDX-License-Identifier: Apache-2.0
//
// Engines on threads of their own forward while the slow path replaces mappings, sets and templates: every batch is forwarded by
// one version of the mappings, and by one that was current while it ran. Meant for ThreadSanitizer, too.

import Foundation
import PrefixTable
import Synchronization
import Testing
import Wire

@testable import DataPlane

/// What workers and slow path share. Version v is published between `begun` = v and `done` = v.
private final class Shared: Sendable {
  let begun = Atomic<UInt32>(0)
  let done = Atomic<UInt32>(0)
  let stop = Atomic<Bool>(false)
  let batches = Atomic<Int>(0)
  let wrong = Mutex<[String]>([])
}

@Suite struct EnginePublicationTests {
  /// The version is the outer destination port; which prefix answered, the last octet of the outer destination.
  static func template(_ version: UInt32, _ which: Int, _ rig: Rig) throws -> HeaderTemplate {
    try rig.tunnel(to: "198.51.100.\(which)", port: UInt16(version & 0x7FFF) + 1)
  }

  static let nested = ["10.0.0.0/8", "10.2.0.0/16", "10.2.0.0/24", "10.2.0.7/32"]
  /// What answers: the /24 is there in even versions only.
  static let destinations: [(text: String, even: UInt8, odd: UInt8)] = [
    ("10.9.0.1", 0, 0), ("10.2.9.1", 1, 1), ("10.2.0.9", 2, 1), ("10.2.0.7", 3, 3),
  ]

  @Test(.timeLimit(.minutes(3)))
  func `a batch is forwarded by one version of the mappings, one that was current while it ran`() throws {
    let rig = try Rig()
    let publisher = rig.publisher
    try rig.local("10.1.0.0/16")
    let shared = Shared()
    var live: [(set: SetHandle, template: TemplateHandle)?] = [nil, nil, nil, nil]

    func publish(_ version: UInt32) throws {
      for (which, text) in Self.nested.enumerated() {
        if let old = live[which] {
          publisher.removeSet(old.set)
          publisher.removeTemplate(old.template)
          live[which] = nil
          if which == 2, version % 2 == 1 { try publisher.removeMapping(Rig.eid(text)) }
        }
        guard which != 2 || version % 2 == 0 else { continue }
        let template = try publisher.addTemplate(Self.template(version, which, rig))
        let set = try publisher.addSet(LocatorSet(.encapsulate, [LocatorChoice(ordinal: 0, template: template, weight: 1)]))
        try publisher.setMapping(Rig.eid(text), set: set, counters: 10)
        live[which] = (set, template)
      }
      shared.begun.store(version, ordering: .releasing)
      publisher.publish()
      shared.done.store(version, ordering: .releasing)
    }

    try publish(1)
    let finished = DispatchGroup()
    for _ in 0..<2 {
      let reader = try #require(publisher.quiescentState.register())
      let counters = try #require(WorkerCounters())
      let root = publisher.root
      finished.enter()
      Thread {
        Self.forward(shared, root, reader, counters)
        finished.leave()
      }.start()
    }
    var version: UInt32 = 1
    func isDone() -> Bool { version >= 600 && shared.batches.load(ordering: .relaxed) >= 600 }
    while !isDone(), shared.wrong.withLock({ $0.isEmpty }), version < 100_000 {
      version += 1
      try publish(version)
      // In place: the same contents anew. Nobody may notice.
      if let first = live[0] { publisher.replaceTemplate(first.template, try Self.template(version, 0, rig)) }
      if version % 16 == 0 { usleep(100) }
    }
    shared.stop.store(true, ordering: .relaxed)
    finished.wait()
    publisher.reclaim()
    #expect(shared.wrong.withLock { $0 } == [])
    #expect(!publisher.isWaiting)
    #expect(publisher.counts.sets <= 4 + 1 && publisher.counts.templates <= 4)
  }

  /// One worker: batches of 64, the four destinations in turn.
  private static func forward(_ shared: Shared, _ root: StateRoot, _ reader: QuiescentState.Reader, _ counters: WorkerCounters) {
    var engine = Engine(counters: counters)
    var batch = Batch()
    let frames = (0..<64).map { i in
      var inner = IPPacket.v4()
      inner.destination = destinations[i % 4].text
      return Frame.of(inner.octets)
    }
    let stride = 256
    reader.online()
    var turns = 0
    while !shared.stop.load(ordering: .relaxed) {
      let memory = PacketBuffer(capacity: 64 * stride)
      batch.clear()
      for (i, frame) in frames.enumerated() {
        memory.bytes.store(frame, at: i * stride + 128)
        batch.append(memory.bytes.dropFirst(i * stride + 128).prefix(frame.count))
      }
      let oldest = shared.done.load(ordering: .acquiring)
      engine.process(&batch, port: Port.site, root: root)
      let newest = shared.begun.load(ordering: .acquiring)
      var versions = Set<UInt16>()
      var isRight = true
      for i in 0..<64 {
        let (verdict, frame, _) = batch.outcome(i)
        guard verdict.isTransmit else {
          isRight = false
          continue
        }
        let port = frame.u16(14 + 22)
        versions.insert(port)
        let destination = destinations[i % 4]
        if frame.u8(14 + 19) != ((port - 1) % 2 == 1 ? destination.odd : destination.even) { isRight = false }
      }
      let current = (oldest...max(oldest, newest)).map { UInt16($0 & 0x7FFF) + 1 }
      if !isRight || versions.count != 1 || !versions.isSubset(of: current) {
        shared.wrong.withLock { $0.append("versions \(oldest)…\(newest): \(versions), right answers: \(isRight)") }
        break
      }
      reader.quiescent()
      shared.batches.add(1, ordering: .relaxed)
      turns += 1
      if turns % 32 == 0 {
        reader.offline()
        reader.online()
      }
    }
    withExtendedLifetime(counters) { reader.offline() }
  }
}
