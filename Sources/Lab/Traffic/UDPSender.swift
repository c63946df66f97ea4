// SPDX-License-Identifier: Apache-2.0
//
// The sending half of `UDPFlow`: small bursts by sendmmsg, at an even pace. What it could not send while it had no processor is not made up
// for at once: a veth pair holds 256 packets, and the rest would be lost by the test, not by the router.

import CLinux
import Glibc
import Synchronization
import Wire

struct UDPSender {
  private static let burst = 32
  /// Packets that it may be late with.
  private static let arrears = 2 * burst
  private let flow: UDPFlow
  private let progress: UDPFlow.Progress

  init(_ flow: UDPFlow, _ progress: UDPFlow.Progress) {
    self.flow = flow
    self.progress = progress
  }

  func run(to address: SocketAddress) throws(LabError) {
    var sockets: [Int32] = []
    defer { for socket in sockets { close(socket) } }
    for _ in 0..<max(1, flow.flows) {
      let socket = try Socket(address.domain, SOCK_DGRAM)
      try socket.setOption(SOL_SOCKET, SO_SNDBUF, 4 << 20)
      try setHeaderFields(of: socket, address.address.family)
      sockets.append(socket.release())
    }
    let batch = UDPBatch(count: Self.burst, byteCount: max(24, flow.payloadByteCount))
    batch.fill(pattern: flow.pattern, mark: progress.mark)
    var sequences = [UInt64](repeating: 0, count: sockets.count)
    let start = ContinuousClock.now
    var sent = 0
    var forgone = 0
    var turn = 0
    while !progress.isStopped.load(ordering: .relaxed) {
      try Interruption.check()
      let elapsed = ContinuousClock.now - start
      if elapsed >= flow.duration || sent >= flow.packetLimit { break }
      // One at the very start: a single packet need not wait for its turn.
      let behind = 1 + Int(elapsed / .seconds(1) * Double(flow.packetsPerSecond)) - sent - forgone
      forgone += max(0, behind - Self.arrears)
      let due = min(behind, Self.arrears, flow.packetLimit - sent)
      if due <= 0 {
        Interruption.pause(.microseconds(500))
        continue
      }
      let which = turn % sockets.count
      let count = min(due, Self.burst)
      batch.number(count, flow: UInt32(which), from: sequences[which])
      let done = try batch.send(count, on: sockets[which], to: address)
      sequences[which] += UInt64(done)
      sent += done
      turn += 1
      progress.sent.store(sent, ordering: .relaxed)
    }
  }
}

extension UDPSender {
  private func setHeaderFields(of socket: borrowing Socket, _ family: AddressFamily) throws(LabError) {
    let isIPv4 = family == .ipv4
    if let ttl = flow.timeToLive {
      try socket.setOption(Int32(isIPv4 ? IPPROTO_IP : IPPROTO_IPV6), isIPv4 ? IP_TTL : IPV6_UNICAST_HOPS, ttl)
    }
    if let trafficClass = flow.trafficClass {
      try socket.setOption(Int32(isIPv4 ? IPPROTO_IP : IPPROTO_IPV6), isIPv4 ? IP_TOS : IPV6_TCLASS, trafficClass)
    }
  }
}

/// Messages, their vectors and their bytes, at addresses that stay. One thread.
final class UDPBatch {
  private let messages: UnsafeMutableBufferPointer<clinux_message>
  private let vectors: UnsafeMutableBufferPointer<iovec>
  private let bytes: UnsafeMutableRawBufferPointer
  private let stride: Int
  let count: Int

  init(count: Int, byteCount: Int) {
    self.count = count
    stride = byteCount
    messages = .allocate(capacity: count)
    vectors = .allocate(capacity: count)
    bytes = .allocate(byteCount: count * byteCount, alignment: 64)
    for index in 0..<count {
      vectors.initializeElement(at: index, to: iovec(iov_base: bytes.baseAddress?.advanced(by: index * byteCount), iov_len: byteCount))
      messages.initializeElement(at: index, to: clinux_message())
      messages[index].header.msg_iov = vectors.baseAddress?.advanced(by: index)
      messages[index].header.msg_iovlen = 1
    }
  }

  deinit {
    messages.deallocate()
    vectors.deallocate()
    bytes.deallocate()
  }

  /// The bytes of message `index`.
  func packet(_ index: Int) -> UnsafeMutableRawBufferPointer { .init(rebasing: bytes[index * stride..<(index + 1) * stride]) }

  func byteCount(_ index: Int) -> Int { Int(messages[index].byte_count) }

  func fill(pattern: [UInt8], mark: UInt32) {
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    for index in 0..<count {
      packet(index).storeBytes(of: mark, toByteOffset: 4, as: UInt32.self)
      UnsafeMutableRawBufferPointer(rebasing: packet(index)[16...]).copyBytes(from: pattern)
    }
  }

  func number(_ count: Int, flow: UInt32, from sequence: UInt64) {
    for index in 0..<count {
      let packet = packet(index)
      packet.storeBytes(of: flow, as: UInt32.self)
      packet.storeBytes(of: sequence + UInt64(index), toByteOffset: 8, as: UInt64.self)
      packet.storeBytes(of: sequence + UInt64(index), toByteOffset: stride - 8, as: UInt64.self)
    }
  }

  /// The number sent: less than `count` when the interface had no room.
  func send(_ count: Int, on socket: Int32, to address: SocketAddress) throws(LabError) -> Int {
    let sent = address.withPointer { pointer, length in
      for index in 0..<count {
        messages[index].header.msg_name = UnsafeMutableRawPointer(mutating: pointer)
        messages[index].header.msg_namelen = length
      }
      return clinux_send_messages(socket, messages.baseAddress, UInt32(count), 0)
    }
    if sent < 0, ![EAGAIN, ENOBUFS, EINTR, ENETUNREACH, EHOSTUNREACH, ENETDOWN, EPERM].contains(errno) {
      throw .lastCall("sending UDP to \(address.address)")
    }
    return max(0, Int(sent))
  }

  /// The number received; 0 when nothing came in time.
  func receive(on socket: Int32) throws(LabError) -> Int {
    let received = clinux_receive_messages(socket, messages.baseAddress, UInt32(count), Int32(truncatingIfNeeded: MSG_WAITFORONE))
    if received < 0, ![EAGAIN, EINTR, ECONNREFUSED].contains(errno) { throw .lastCall("receiving UDP") }
    return max(0, Int(received))
  }
}
