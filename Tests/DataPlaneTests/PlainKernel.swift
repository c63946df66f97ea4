// SPDX-License-Identifier: Apache-2.0
//
// The kernel and the driver behind one queue, played on the opposite sides of plain rings: it takes frames from the fill ring, puts
// packets into them, takes what is to be sent, and completes it. Only when told, so that a test sees every step; and it can
// misbehave. WorkerRig has one per queue.

import CLinux
import Glibc
import Testing
import XDP

/// Thread: the test's, as the worker it plays with.
final class PlainKernel {
  /// XDP_PACKET_HEADROOM of linux/bpf.h: what stays free before a received packet.
  static let headroom: UInt64 = 256

  private let rings: PlainRings
  private let memory: FrameMemory
  /// The descriptor that the worker's socket wakes us by; ours is the other end.
  let descriptor: CInt
  private let farEnd: CInt
  // The opposite sides: what is produced there is consumed here.
  private var fill: CompletionRing
  private var completion: FillRing
  private var receive: TransmitRing
  private var transmit: ReceiveRing
  /// Frames taken from the fill ring, oldest first: the card's own ring.
  private(set) var frames: [FrameAddress] = []
  /// Packets taken from the transmit ring that are not yet completed.
  private(set) var sending: [Descriptor] = []

  init(memory: FrameMemory, rings sizes: RingSizes, startingAt index: UInt32) throws {
    self.memory = memory
    rings = PlainRings(sizes, startingAt: index)
    fill = CompletionRing(over: rings.fill)
    completion = FillRing(over: rings.completion)
    receive = TransmitRing(over: rings.receive)
    transmit = ReceiveRing(over: rings.transmit)
    var ends: [CInt] = [-1, -1]
    try #require(socketpair(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
    (descriptor, farEnd) = (ends[0], ends[1])
  }

  deinit {
    close(descriptor)
    close(farEnd)
  }

  /// The worker's side. Once.
  func makeSocket() -> XDPSocket { XDPSocket(over: rings, fileDescriptor: descriptor) }

  // MARK: Receiving

  /// Frames that the worker has given and we have not taken.
  var waitingFrames: Int { fill.pendingCount }

  /// Takes at most `count` frames from the fill ring, as a driver does that keeps a ring of its own.
  func takeFrames(_ count: Int = .max) {
    var taken = 0
    while taken < count, let address = fill.complete() {
      frames.append(address)
      taken += 1
    }
    fill.release()
  }

  /// Puts a packet into the next frame and tells the worker. Nil when there is no frame or the receive ring is full: it is lost, as
  /// on a real card. Else where the packet lies.
  @discardableResult
  func deliver(_ packet: [UInt8]) -> FrameAddress? {
    if frames.isEmpty { takeFrames(1) }
    guard let frame = frames.first, receive.freeCount > 0 else { return nil }
    frames.removeFirst()
    let address = frame + Self.headroom
    guard let room = memory.bytes(at: address, count: packet.count) else { return nil }
    room.copyBytes(from: packet)
    announce(Descriptor(address: address, length: UInt32(packet.count)))
    return address
  }

  /// A descriptor in the receive ring, true or not.
  func announce(_ descriptor: Descriptor) {
    _ = receive.transmit(descriptor)
    receive.submit()
  }

  // MARK: Sending

  /// Packets that the worker has submitted and we have not taken.
  var waitingPackets: Int { transmit.pendingCount }

  /// Takes at most `count` packets to be sent; returns them and their octets.
  @discardableResult
  func take(_ count: Int = .max) -> [(descriptor: Descriptor, octets: [UInt8])] {
    var taken: [(Descriptor, [UInt8])] = []
    while taken.count < count, let descriptor = transmit.receive() {
      let octets = memory.bytes(at: descriptor.address, count: Int(descriptor.length)).map { Array($0) }
      if octets == nil { Issue.record("\(descriptor) is to be sent and lies outside the memory") }
      taken.append((descriptor, octets ?? []))
    }
    transmit.release()
    sending += taken.map(\.0)
    return taken
  }

  /// Completes at most `count` of the packets taken, oldest first. Returns how many.
  @discardableResult
  func complete(_ count: Int = .max) -> Int {
    var done = 0
    while done < count, done < sending.count, completion.fill(sending[done].address) { done += 1 }
    completion.submit()
    sending.removeFirst(done)
    return done
  }

  /// A completion, true or not.
  func complete(address: FrameAddress) {
    _ = completion.fill(address)
    completion.submit()
  }

  // MARK: Waking

  var wantsTransmitWakeups: Bool {
    get { rings.transmit.needsWakeup }
    set { rings.transmit.needsWakeup = newValue }
  }

  var wantsReceiveWakeups: Bool {
    get { rings.fill.needsWakeup }
    set { rings.fill.needsWakeup = newValue }
  }

  /// How many times the worker has woken us to send since the last question.
  func transmitWakeups() -> Int {
    var count = 0
    while recv(farEnd, nil, 0, 0) == 0 { count += 1 }
    return count
  }

  /// Answers to the worker's next `count` receive wake-ups lie ready; `receiveWakeups` says how many of them were taken.
  func answerReceiveWakeups(_ count: Int) throws {
    for _ in 0..<count { try #require(send(farEnd, [0xA5], 1, 0) == 1) }
  }

  /// How many of `count` answers the worker has taken. The rest is thrown away.
  func receiveWakeups(of count: Int) -> Int {
    var left = 0
    while recv(descriptor, nil, 0, 0) >= 0 { left += 1 }
    return count - left
  }

  /// Fills the worker's way to wake us, so that it is told to try again (EAGAIN).
  func refuseWakeups() { while send(descriptor, nil, 0, 0) == 0 {} }
}
