// SPDX-License-Identifier: Apache-2.0
//
// Who owns which frame. Each worker has one pool over its slice of the frame memory and asks it at each step of a frame's way:
//
//              takeForFill(port)                      received(address, port)
//     free ─────────────────────▶ in the fill ring ─────────────────────────▶ received ── release(address) ──▶ free
//                                 of that port                                   │
//                                                                                │ transmitting(address, port)
//                                                                                ▼
//     free ◀──────────────────────────────────────────────────────────── in transmission on that port
//                             completed(address, port)
//
// "Received" means that the worker holds the frame. Each frame has one byte, its owner: the state in the two upper bits, the port in the lower six. A step from any other state than the
// picture shows, or with an address outside the slice, is refused and counted: completion rings of some kernels hold a
// frame twice or early, and a frame on the free list twice would put two packets into one place.
//
// I1. `free[0 ..< freeCount]` are numbers of distinct frames, and their owner bytes say free; no other frame's does.
// I2. `inFill` and `inTransmit` count the owner bytes with that state.
// I3. A frame number is compared with `frameCount` before it indexes `owner`; `free` has room for all of them.
//
// The free list is a stack: the frame freed last is used next, while it is still in the cache.

/// How many frames of a pool are where. Their sum is `total`.
public struct FrameCounts: Equatable, Sendable {
  public var free: Int
  public var inFill: Int
  public var received: Int
  public var inTransmit: Int
  public var total: Int { free + inFill + received + inTransmit }
}

/// The owner of every frame in a slice of the frame memory. Thread: one worker. Every step is O(1) and allocates nothing.
@safe public struct FramePool: ~Copyable, @unchecked Sendable {
  /// The port numbers that fit an owner byte: 0 to 63.
  public static var portLimit: Int { 64 }

  @usableFromInline let owner: UnsafeMutablePointer<UInt8>
  @usableFromInline let free: UnsafeMutablePointer<UInt32>
  @usableFromInline var freeCount: Int
  @usableFromInline var inFill: Int
  @usableFromInline var inTransmit: Int
  @usableFromInline let frameCount: Int
  @usableFromInline let firstFrame: UInt64
  @usableFromInline let chunkShift: UInt64
  /// Steps that were refused. Anything but 0 is a defect here or in the kernel.
  public private(set) var violations: UInt64

  /// All frames of the slice are free; the lowest is taken first.
  ///
  /// - Parameters:
  ///   - frames: the numbers of the slice's frames; not negative, at most 2^32 of them
  ///   - chunkSize: bytes per frame, a power of two
  public init(frames: Range<Int>, chunkSize: Int) {
    precondition(frames.lowerBound >= 0 && frames.count <= Int(UInt32.max), "frame numbers fit 32 bits")
    precondition(chunkSize > 0 && chunkSize & (chunkSize - 1) == 0, "the chunk size is a power of two")
    frameCount = frames.count
    firstFrame = UInt64(frames.lowerBound)
    chunkShift = UInt64(chunkSize.trailingZeroBitCount)
    freeCount = frames.count
    inFill = 0
    inTransmit = 0
    violations = 0
    unsafe owner = .allocate(capacity: frames.count)
    unsafe free = .allocate(capacity: frames.count)
    unsafe owner.initialize(repeating: ownerFree, count: frames.count)
    // SAFETY: I3; fills exactly the allocated capacity.
    for index in 0..<frames.count { unsafe (free + index).initialize(to: UInt32(frames.count - 1 - index)) }
  }

  /// Over the frames `frames` of `memory`.
  public init(memory: FrameMemory, frames: Range<Int>) {
    precondition(frames.upperBound <= memory.frameCount, "the slice lies in the memory")
    self.init(frames: frames, chunkSize: memory.chunkSize)
  }

  deinit {
    unsafe owner.deallocate()
    unsafe free.deallocate()
  }

  /// A free frame for `port`'s fill ring: the address of its first byte; nil when none is free.
  /// Ask the ring's `freeCount` first, or give the frame back with `received` and `release` when the ring is full.
  @inlinable @inline(__always)
  public mutating func takeForFill(port: UInt8) -> FrameAddress? {
    guard freeCount > 0 else { return nil }
    freeCount &-= 1
    inFill &+= 1
    let frame = unsafe free[freeCount]  // SAFETY: I1
    unsafe owner[Int(frame)] = ownerFill | (port & portMask)
    return (firstFrame &+ UInt64(frame)) &<< chunkShift
  }

  /// The frame around `address` came out of `port`'s receive ring. False: it was not in that port's fill ring; leave it alone.
  @inlinable @inline(__always)
  public mutating func received(_ address: FrameAddress, port: UInt8) -> Bool {
    let frame = frameNumber(address)
    // SAFETY: I3
    guard frame < frameCount, unsafe owner[frame] == ownerFill | (port & portMask) else { return refuse() }
    unsafe owner[frame] = ownerReceived
    inFill &-= 1
    return true
  }

  /// The frame around `address` goes into `port`'s transmit ring. False: the worker does not hold it; do not send it.
  @inlinable @inline(__always)
  public mutating func transmitting(_ address: FrameAddress, port: UInt8) -> Bool {
    let frame = frameNumber(address)
    guard frame < frameCount, unsafe owner[frame] == ownerReceived else { return refuse() }  // SAFETY: I3
    unsafe owner[frame] = ownerTransmit | (port & portMask)
    inTransmit &+= 1
    return true
  }

  /// The frame around `address` came out of `port`'s completion ring and is free again. False: it was not in transmission
  /// there (completed twice, or never sent); nothing changed.
  @inlinable @inline(__always) @discardableResult
  public mutating func completed(_ address: FrameAddress, port: UInt8) -> Bool {
    let frame = frameNumber(address)
    // SAFETY: I3
    guard frame < frameCount, unsafe owner[frame] == ownerTransmit | (port & portMask) else { return refuse() }
    inTransmit &-= 1
    put(frame)
    return true
  }

  /// The worker is done with the packet around `address` (dropped, or copied to the slow path); its frame is free again.
  /// False: the worker does not hold it; nothing changed.
  @inlinable @inline(__always) @discardableResult
  public mutating func release(_ address: FrameAddress) -> Bool {
    let frame = frameNumber(address)
    guard frame < frameCount, unsafe owner[frame] == ownerReceived else { return refuse() }  // SAFETY: I3
    put(frame)
    return true
  }

  /// Where the frames are.
  public var counts: FrameCounts {
    FrameCounts(free: freeCount, inFill: inFill, received: frameCount - freeCount - inFill - inTransmit, inTransmit: inTransmit)
  }

  /// How many frames are free.
  @inlinable @inline(__always) public var available: Int { freeCount }

  /// What is wrong with the pool; empty when I1 and I2 hold. For tests. O(frames).
  public func checkInvariants() -> [String] {
    var broken: [String] = []
    var seen = [Bool](repeating: false, count: frameCount)
    for index in 0..<freeCount {
      let frame = unsafe Int(free[index])  // SAFETY: index < freeCount ≤ frameCount
      guard frame < frameCount else { broken.append("I1: free[\(index)] is \(frame)"); continue }
      if seen[frame] { broken.append("I1: frame \(frame) is free twice") }
      seen[frame] = true
    }
    var states = [0, 0, 0, 0]
    for frame in 0..<frameCount {
      let state = unsafe owner[frame] >> 6  // SAFETY: I3
      states[Int(state)] += 1
      if (state == 0) != seen[frame] { broken.append("I1: frame \(frame) has state \(state) and free list says \(seen[frame])") }
    }
    let counted = FrameCounts(free: states[0], inFill: states[1], received: states[2], inTransmit: states[3])
    if counted != counts { broken.append("I2: \(counts) where the owners say \(counted)") }
    return broken
  }

  // MARK: The steps' parts

  /// The frame's number in this pool; for an address below the slice a huge number, not a negative one.
  @inlinable @inline(__always)
  func frameNumber(_ address: FrameAddress) -> Int {
    Int(truncatingIfNeeded: (address &>> chunkShift &- firstFrame) & UInt64(Int.max))
  }

  @inlinable @inline(__always)
  mutating func put(_ frame: Int) {
    unsafe owner[frame] = ownerFree  // SAFETY: I3, checked by the caller
    // SAFETY: the frame was not free, so by I1 fewer than frameCount entries are in use.
    unsafe free[freeCount] = UInt32(truncatingIfNeeded: frame)
    freeCount &+= 1
  }

  @usableFromInline @inline(never)
  mutating func refuse() -> Bool {
    violations &+= 1
    return false
  }
}

@inlinable var ownerFree: UInt8 { @inline(__always) get { 0 } }
@inlinable var ownerFill: UInt8 { @inline(__always) get { 1 << 6 } }
@inlinable var ownerReceived: UInt8 { @inline(__always) get { 2 << 6 } }
@inlinable var ownerTransmit: UInt8 { @inline(__always) get { 3 << 6 } }
@inlinable var portMask: UInt8 { @inline(__always) get { 63 } }
