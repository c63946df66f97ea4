// SPDX-License-Identifier: Apache-2.0
//
// The one word through which the state is published, the memory a state lives in, and the tables of VLANs it points to.

import PrefixTable
import Wire

/// A pointer to a published state. Valid to the reader's next quiescent point.
@safe struct ForwardingStateReader: @unchecked Sendable {
  let pointer: UnsafeMutablePointer<ForwardingState>

  @inline(__always) init(_ pointer: UnsafeMutablePointer<ForwardingState>) { unsafe self.pointer = pointer }

  /// A state in new memory.
  init(_ state: ForwardingState) {
    unsafe pointer = .allocate(capacity: 1)
    unsafe pointer.initialize(to: state)
  }

  // SAFETY (of all): the pointee is initialised and immutable while published; its counts are within its arrays (ForwardingPublisher).
  @inline(__always) var table: TableView { unsafe pointer.pointee.table }
  @inline(__always) var mappings: MappingReader { unsafe pointer.pointee.mappings }
  @inline(__always) var sets: HandleReader { unsafe pointer.pointee.sets }
  @inline(__always) var templates: HandleReader { unsafe pointer.pointee.templates }
  /// The three of them, to be held over a loop.
  @inline(__always) var chain: ForwardingChain { ForwardingChain(mappings: mappings, sets: sets, templates: templates) }
  @inline(__always) var settings: EngineSettings { unsafe pointer.pointee.settings }
  @inline(__always) func role(_ port: Int) -> PortRole { PortRole(rawValue: unsafe pointer.pointee.roles[port & 15]) }

  /// The instance ID of frames with this VLAN identifier (0: untagged) on `port`, or `noInstance`.
  @inline(__always)
  func instance(port: Int, vlan: UInt16) -> UInt32 {
    if vlan == 0 { return unsafe pointer.pointee.untaggedInstance[port & 15] }
    return unsafe pointer.pointee.vlanInstances[port & 15][vlan]
  }

  @inline(__always)
  func isOwn(_ address: UInt32) -> Bool {
    for i in 0..<(unsafe pointer.pointee.ownIPv4Count) where unsafe pointer.pointee.ownIPv4[unchecked: i] == address { return true }
    return false
  }

  @inline(__always)
  func isOwn(_ address: IPv6Address) -> Bool {
    for i in 0..<(unsafe pointer.pointee.ownIPv6Count) where unsafe pointer.pointee.ownIPv6[unchecked: i] == address { return true }
    return false
  }

  /// The space of ours that an address lies in; `family` is 4 or 6, `octets` are its first in network byte order.
  func localSpace(_ instanceID: UInt32, family: UInt32, _ octets: UInt64) -> LocalSpace? {
    for i in 0..<(unsafe pointer.pointee.localSpaceCount) {
      let space = unsafe pointer.pointee.localSpaces[unchecked: i]
      if space.instanceID == instanceID, space.family == family, space.contains(octets) { return space }
    }
    return nil
  }

  /// SAFETY: no reader may hold the state any more.
  @unsafe func deallocate() {
    unsafe pointer.deinitialize(count: 1)
    unsafe pointer.deallocate()
  }
}

/// From a mapping to its template. Trivial.
struct ForwardingChain {
  let mappings: MappingReader
  let sets: HandleReader
  let templates: HandleReader
}

/// The word that names the current state. Thread: any reads; the slow path writes.
@safe public struct StateRoot: @unchecked Sendable {
  private let word: AtomicWord

  /// Allocated for the life of the process: a worker may read it until it ends.
  init(_ first: ForwardingStateReader) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 128)
    unsafe AtomicWord.initialize(memory, to: UInt64(UInt(bitPattern: first.pointer)))
    word = unsafe AtomicWord(at: memory)
  }

  /// The current state. Partner: `publish`.
  @inline(__always)
  var current: ForwardingStateReader {
    // SAFETY: the word always holds a published state's address.
    unsafe ForwardingStateReader(UnsafeMutablePointer(bitPattern: UInt(word.load())).unsafelyUnwrapped)
  }

  /// Swaps the state; returns the old one. Partner: `current`.
  func publish(_ state: ForwardingStateReader) -> ForwardingStateReader {
    let old = current
    word.store(UInt64(UInt(bitPattern: unsafe state.pointer)))
    return old
  }
}

/// VLAN identifier → instance ID for one port. Empty tables need no memory.
@safe struct VLANTable: @unchecked Sendable {
  private let entries: UnsafeMutablePointer<UInt32>?

  init(_ instances: [VLANID: InstanceID]) {
    guard !instances.isEmpty else {
      unsafe entries = nil
      return
    }
    let entries = UnsafeMutablePointer<UInt32>.allocate(capacity: 4096)
    unsafe entries.initialize(repeating: ForwardingState.noInstance, count: 4096)
    for (vlan, instance) in instances { unsafe entries[Int(vlan.rawValue)] = instance.rawValue }
    unsafe self.entries = unsafe entries
  }

  @inline(__always)
  subscript(vlan: UInt16) -> UInt32 {
    guard let entries = unsafe entries else { return ForwardingState.noInstance }
    // SAFETY: 4096 entries, 12 bits.
    return unsafe entries[Int(vlan & 0xFFF)]
  }

  /// SAFETY: no reader may hold the table any more.
  @unsafe func deallocate() { unsafe entries?.deallocate() }
}
