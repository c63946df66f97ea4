// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing the readers of the data plane: frames, IP, UDP and LISP headers, options, ICMP messages and our errors about packets. The packet
// lies in memory that ends where it ends. Built and run by .ci/fuzz.

import Wire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzPackets(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let buffer = PacketBuffer(Array(UnsafeBufferPointer(start: data, count: count)))
  buffer.withBytes { bytes in
    if let frame = EthernetView(bytes) { readPacket(bytes.dropFirst(frame.payloadOffset)) }
    readPacket(bytes)
  }
  return 0
}

private func readPacket(_ bytes: PacketBytes) {
  _ = try? EthernetHeader(parsing: bytes)
  _ = try? LISPHeader(parsing: bytes)
  _ = try? UDPHeader(parsing: bytes)
  _ = try? IPv4Header(parsing: bytes)
  _ = try? IPv6Header(parsing: bytes)
  if let view = IPv4View(bytes) {
    _ = view.isRoutedOn
    readDatagram(view.payload)
  }
  if let view = IPv6View(bytes), let upper = view.upperLayer() {
    _ = view.isRefusedByExtension
    if upper.offset <= view.totalLength { readDatagram(bytes.prefix(view.totalLength).dropFirst(upper.offset)) }
  }
  for family in [AddressFamily.ipv4, .ipv6] { _ = ICMPUnreachable(bytes, family: family) }
  for kind in [ICMPErrorKind.timeExceeded, .prohibited, .hostUnreachable, .tooBig(mtu: 1400)] {
    readAnswer(icmpError(kind, about: bytes, from: .v4(IPv4Address(192, 0, 2, 1))))
    readAnswer(icmpError(kind, about: bytes, from: .v6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 1))))
  }
}

private func readDatagram(_ bytes: PacketBytes) {
  guard let datagram = UDPView(bytes) else { return }
  _ = LISPView(bytes.prefix(datagram.length).dropFirst(UDPView.byteCount))
}

/// Our own errors are packets that we would read.
private func readAnswer(_ answer: [UInt8]?) {
  guard let answer else { return }
  let buffer = PacketBuffer(answer)
  let isPacket = buffer.withBytes { IPv4View($0) != nil || IPv6View($0) != nil }
  precondition(isPacket, "an ICMP error that is no packet")
}
