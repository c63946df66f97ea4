// SPDX-License-Identifier: Apache-2.0
//
// The receiving half of `UDPFlow`: takes packets by recvmmsg and keeps a bit per sequence number.

import CLinux
import Glibc
import Synchronization

struct UDPReceiver {
  private let flow: UDPFlow
  private let progress: UDPFlow.Progress
  private let pattern: [UInt8]

  init(_ flow: UDPFlow, _ progress: UDPFlow.Progress) {
    self.flow = flow
    self.progress = progress
    pattern = flow.pattern
  }

  /// The descriptor of a bound socket with a receive buffer that rides out a scheduling hole.
  static func open(on address: SocketAddress) throws(LabError) -> Int32 {
    let socket = try Socket(address.domain, SOCK_DGRAM)
    try socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    try socket.setTimeouts(.milliseconds(20))
    try socket.bind(to: address)
    return socket.release()
  }

  func run(on socket: consuming Socket) throws(LabError) -> UDPFlow.Result {
    let batch = UDPBatch(count: 64, byteCount: max(24, flow.payloadByteCount))
    var seen = [Arrivals](repeating: Arrivals(), count: max(1, flow.flows))
    var result = UDPFlow.Result()
    var first: ContinuousClock.Instant?
    var last = ContinuousClock.now
    while true {
      try Interruption.check()
      let wasDone = progress.isSenderDone.load(ordering: .acquiring)
      let sent = progress.sent.load(ordering: .relaxed)
      let count = try batch.receive(on: socket.fileDescriptor)
      let now = ContinuousClock.now
      if count > 0 {
        if first != nil { result.longestGap = max(result.longestGap, now - last) }
        first = first ?? now
        last = now
        for index in 0..<count { judge(batch.packet(index), byteCount: batch.byteCount(index), &seen, &result) }
        progress.received.store(result.received, ordering: .relaxed)
      } else if wasDone, now - last > .milliseconds(progress.patienceMilliseconds.load(ordering: .relaxed)) {
        result.sent = sent
        result.duration = first.map { last - $0 } ?? .zero
        return result
      }
      if wasDone, result.received == sent, now - last > .milliseconds(60) {  // time for a duplicate to show up
        result.sent = sent
        result.duration = first.map { last - $0 } ?? .zero
        return result
      }
    }
  }

  private func judge(
    _ packet: UnsafeMutableRawBufferPointer, byteCount: Int, _ seen: inout [Arrivals], _ result: inout UDPFlow.Result
  ) {
    let size = max(24, flow.payloadByteCount)
    guard packet.loadUnaligned(fromByteOffset: 4, as: UInt32.self) == progress.mark else { return }
    let which = Int(packet.loadUnaligned(as: UInt32.self))
    let sequence = packet.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    let isWhole =
      byteCount == size && which < seen.count && sequence < 1 << 32
      && packet.loadUnaligned(fromByteOffset: size - 8, as: UInt64.self) == sequence
      && carriesPattern(packet)
    guard isWhole else {
      result.damaged += 1
      return
    }
    switch seen[which].note(sequence) {
    case .inOrder: result.received += 1
    case .late:
      result.received += 1
      result.reordered += 1
    case .again: result.duplicated += 1
    }
  }
}

extension UDPReceiver {
  private func carriesPattern(_ packet: UnsafeMutableRawBufferPointer) -> Bool {
    pattern.withUnsafeBytes { expected in
      guard let one = expected.baseAddress, let other = packet.baseAddress else { return expected.isEmpty }
      return memcmp(one, other + 16, expected.count) == 0
    }
  }
}

/// Which sequence numbers of one flow have come.
struct Arrivals {
  enum Kind { case inOrder, late, again }
  private var bits: [UInt64] = []
  private var next: UInt64 = 0

  mutating func note(_ sequence: UInt64) -> Kind {
    let word = Int(sequence >> 6)
    while bits.count <= word { bits.append(0) }
    let bit = UInt64(1) << (sequence & 63)
    if bits[word] & bit != 0 { return .again }
    bits[word] |= bit
    if sequence < next { return .late }
    next = sequence + 1
    return .inOrder
  }
}
