// SPDX-License-Identifier: Apache-2.0
//
// Raw frames out of and into an interface, past the kernel's stack (packet(7)): hostile input, VLAN tags without VLAN devices, and the
// headers as they really are on the link.

import CLinux
import Glibc
import Wire

/// Thread: one at a time. The socket belongs to the namespace for good, so it may be used on any thread.
public final class PacketSocket: @unchecked Sendable {
  private static let allProtocols: UInt16 = 3  // ETH_P_ALL
  private static let socketLevel: Int32 = 263  // SOL_PACKET
  private let fileDescriptor: Int32
  private var buffer = [UInt8](repeating: 0, count: 1 << 16)

  /// Sees every frame that arrives at `interface` from now on, also those for others when the link delivers them.
  public init(in namespace: Namespace, interface: String) throws {
    fileDescriptor = try namespace.run {
      let index = if_nametoindex(interface)
      guard index != 0 else { throw LabError.lastCall("interface \(interface)") }
      // Protocol 0: nothing is queued before the bind names the interface.
      let socket = try Socket(AF_PACKET, SOCK_RAW, 0)
      try socket.setOption(Self.socketLevel, PACKET_AUXDATA, 1)
      try socket.setOption(Self.socketLevel, PACKET_IGNORE_OUTGOING, 1)
      try socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
      var address = sockaddr_ll()
      address.sll_family = UInt16(AF_PACKET)
      address.sll_protocol = Self.allProtocols.bigEndian
      address.sll_ifindex = Int32(index)
      let answer = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(socket.fileDescriptor, $0, socklen_t(MemoryLayout<sockaddr_ll>.size))
        }
      }
      guard answer == 0 else { throw LabError.lastCall("binding to \(interface)") }
      return socket.release()
    }
  }

  deinit { close(fileDescriptor) }

  /// Send one frame, from its Ethernet header on.
  public func send(_ frame: [UInt8]) throws(LabError) {
    while true {
      if Glibc.send(fileDescriptor, frame, frame.count, 0) == frame.count { return }
      guard [ENOBUFS, EAGAIN, EINTR].contains(errno) else { throw .lastCall("sending a frame of \(frame.count) bytes") }
      Interruption.pause(.microseconds(100))
    }
  }

  /// The next frame that arrived, nil when none comes within `limit`. A VLAN tag that the kernel took out is put back.
  public func receive(atMost limit: Duration) throws(LabError) -> [UInt8]? {
    let end = ContinuousClock.now + limit
    while true {
      try Interruption.check()
      let left = max(0, Int((end - ContinuousClock.now) / .milliseconds(1)))
      var waiting = pollfd(fd: fileDescriptor, events: Int16(POLLIN), revents: 0)
      if poll(&waiting, 1, Int32(min(left, 50))) > 0, let frame = try take() { return frame }
      if ContinuousClock.now >= end { return nil }
    }
  }

  /// The first frame within `limit` that `isWanted` accepts; the others are thrown away.
  public func receive(atMost limit: Duration, where isWanted: (DecodedFrame) -> Bool) throws(LabError) -> DecodedFrame? {
    let end = ContinuousClock.now + limit
    while let frame = try receive(atMost: max(.zero, end - ContinuousClock.now)) {
      if let decoded = DecodedFrame(frame), isWanted(decoded) { return decoded }
    }
    return nil
  }

  /// Throw away what has arrived up to now.
  public func clear() throws(LabError) { while try receive(atMost: .zero) != nil {} }

  private func take() throws(LabError) -> [UInt8]? {
    var control = [UInt8](repeating: 0, count: 128)
    var tag: (tpid: UInt16, tci: UInt16)?
    let count = buffer.withUnsafeMutableBytes { bytes in
      control.withUnsafeMutableBytes { controlBytes in
        var vector = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
        return withUnsafeMutablePointer(to: &vector) { vector in
          var header = msghdr()
          header.msg_iov = vector
          header.msg_iovlen = 1
          header.msg_control = controlBytes.baseAddress
          header.msg_controllen = controlBytes.count
          let count = recvmsg(fileDescriptor, &header, Int32(truncatingIfNeeded: MSG_DONTWAIT))
          if count > 0 { tag = Self.vlanTag(UnsafeRawBufferPointer(rebasing: controlBytes[..<Int(header.msg_controllen)])) }
          return count
        }
      }
    }
    if count < 0 {
      // That the interface went down is told once, before the frames that came earlier.
      if errno == ENETDOWN || errno == EINTR { return try take() }
      guard errno == EAGAIN else { throw .lastCall("receiving a frame") }
      return nil
    }
    var frame = Array(buffer[..<count])
    if let tag, count >= 14 { frame.insert(contentsOf: tag.tpid.bigEndianBytes + tag.tci.bigEndianBytes, at: 12) }
    return frame
  }

  /// The only control message asked for is PACKET_AUXDATA: a cmsghdr, then `struct tpacket_auxdata`.
  private static func vlanTag(_ control: UnsafeRawBufferPointer) -> (tpid: UInt16, tci: UInt16)? {
    let start = MemoryLayout<cmsghdr>.stride
    guard control.count >= start + MemoryLayout<tpacket_auxdata>.size else { return nil }
    let data = control.loadUnaligned(fromByteOffset: start, as: tpacket_auxdata.self)
    guard data.tp_status & UInt32(TP_STATUS_VLAN_VALID) != 0 else { return nil }
    return (data.tp_status & UInt32(TP_STATUS_VLAN_TPID_VALID) != 0 ? data.tp_vlan_tpid : 0x8100, data.tp_vlan_tci)
  }
}

extension FixedWidthInteger {
  /// Network byte order.
  public var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}
