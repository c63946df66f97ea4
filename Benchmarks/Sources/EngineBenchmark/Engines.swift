// SPDX-License-Identifier: Apache-2.0
//
// The two engines behind one interface: descriptors of received frames in, descriptors of frames to send out, 64 at a time.

import CEngine
import DataPlane
import Glibc

enum Language: String { case swift, c }

/// The Swift engine, as a worker holds it.
struct SwiftEngine: ~Copyable {
  let counters: WorkerCounters
  private var engine: Engine
  private var batch = Batch()
  private let root: StateRoot
  private let port: Int

  init(_ site: Site, port: Int) {
    guard let counters = WorkerCounters() else { preconditionFailure("no address space") }
    self.counters = counters
    engine = Engine(counters: counters)
    root = site.publisher.root
    self.port = port
  }

  /// The counterpart of `cengine_forward`.
  @inline(never)
  mutating func forward(
    _ area: UnsafeMutableRawPointer, _ input: UnsafePointer<cengine_descriptor>, _ output: UnsafeMutablePointer<cengine_descriptor>,
    count: Int
  ) {
    batch.clear()
    for i in 0..<count { batch.append(area + Int(truncatingIfNeeded: input[i].address), byteCount: input[i].length) }
    engine.process(&batch, port: port, root: root)
    for i in 0..<batch.count {
      let (verdict, frame, _) = batch.outcome(i)
      output[i] = cengine_descriptor(
        address: UInt64(UInt(bitPattern: frame.base - area)), length: UInt32(truncatingIfNeeded: frame.count),
        verdict: UInt32(verdict.rawValue))
    }
  }
}

/// The C engine, over the same published state.
struct CEngineHandle: ~Copyable {
  private let engine: OpaquePointer
  let counters: UnsafeMutablePointer<(packets: UInt64, bytes: UInt64)>
  private let root: UnsafeRawPointer
  private let port: Int
  private let counterCount: Int

  init(_ site: Site, port: Int) {
    counterCount = site.destinations.count + 1
    counters = .allocate(capacity: counterCount)
    counters.initialize(repeating: (0, 0), count: counterCount)
    guard let engine = cengine_create(counters) else { preconditionFailure("no memory") }
    self.engine = engine
    self.port = port
    // StateRoot is a pointer to the word that names the state.
    root = withUnsafeBytes(of: site.publisher.root) { $0.load(as: UnsafeRawPointer.self) }
    let role: PortRole = port == Site.sitePort ? .site : .core
    let instance = port == Site.sitePort ? Site.instance.rawValue : 0xFFFF_FFFF
    precondition(
      cengine_understands(root, UInt32(port), role.rawValue, instance, site.publisher.generation),
      "CEngine/state.h no longer describes the published state")
  }

  deinit {
    cengine_destroy(engine)
    counters.deallocate()
  }

  @inline(__always)
  func forward(
    _ area: UnsafeMutableRawPointer, _ input: UnsafePointer<cengine_descriptor>, _ output: UnsafeMutablePointer<cengine_descriptor>,
    count: Int
  ) {
    cengine_forward(engine, area.assumingMemoryBound(to: UInt8.self), input, output, count, UInt32(port), root)
  }
}
