// SPDX-License-Identifier: Apache-2.0
//
// The system calls on a bound AF_XDP socket, with their pointers out of sight. XDPSocket decides what the answers mean.

import CLinux
import Glibc

/// SOL_XDP of linux/socket.h.
private let levelXDP: CInt = 283

/// SO_PREFER_BUSY_POLL and SO_BUSY_POLL_BUDGET of asm-generic/socket.h (Linux 5.11), SO_SNDBUFFORCE.
private let preferBusyPoll: CInt = 69
private let busyPollBudget: CInt = 70
private let sendBufferForce: CInt = 32

/// An empty send: the kernel looks at the transmit ring. 0, or the errno value.
@inline(__always)
func kickTransmit(_ descriptor: CInt) -> CInt {
  sendto(descriptor, nil, 0, CInt(MSG_DONTWAIT), nil, 0) < 0 ? errno : 0
}

/// An empty receive: the kernel looks at the fill ring, and polls the card where busy polling is on. 0, or the errno value.
@inline(__always)
func kickReceive(_ descriptor: CInt) -> CInt {
  recvfrom(descriptor, nil, 0, CInt(MSG_DONTWAIT), nil, nil) < 0 ? errno : 0
}

/// Whether the kernel has put the socket into zero-copy mode (XDP_OPTIONS). 0, or the errno value.
func readMode(_ descriptor: CInt, into mode: inout SocketMode) -> CInt {
  var options = xdp_options()
  var length = socklen_t(MemoryLayout<xdp_options>.size)
  // SAFETY: the kernel writes at most `length` bytes.
  guard unsafe getsockopt(descriptor, levelXDP, XDP_OPTIONS, &options, &length) == 0 else { return errno }
  mode = options.flags & UInt32(XDP_OPTIONS_ZEROCOPY) != 0 ? .zeroCopy : .copy
  return 0
}

/// XDP_STATISTICS. Kernels before 5.9 leave the last three at 0.
func readStatistics(_ descriptor: CInt) -> SocketStatistics {
  var counters = xdp_statistics()
  var length = socklen_t(MemoryLayout<xdp_statistics>.size)
  var statistics = SocketStatistics()
  // SAFETY: the kernel writes at most `length` bytes. It refuses only what is not an AF_XDP socket.
  guard unsafe getsockopt(descriptor, levelXDP, XDP_STATISTICS, &counters, &length) == 0 else { return statistics }
  statistics.receiveDropped = counters.rx_dropped
  statistics.receiveInvalidDescriptors = counters.rx_invalid_descs
  statistics.transmitInvalidDescriptors = counters.tx_invalid_descs
  statistics.receiveRingFull = counters.rx_ring_full
  statistics.fillRingEmpty = counters.rx_fill_ring_empty_descs
  statistics.transmitRingEmpty = counters.tx_ring_empty_descs
  return statistics
}

/// Switch busy polling on. Nil, or what failed.
func enableBusyPoll(_ descriptor: CInt, _ poll: BusyPoll) -> SocketFailure? {
  let options: [(String, CInt, CInt)] = [
    ("SO_PREFER_BUSY_POLL", preferBusyPoll, 1),
    ("SO_BUSY_POLL", SO_BUSY_POLL, CInt(poll.microseconds)),
    ("SO_BUSY_POLL_BUDGET", busyPollBudget, CInt(poll.budget)),
  ]
  for (name, option, value) in options {
    let code = setOption(descriptor, option, value)
    if code != 0 { return SocketFailure(call: name, code: code) }
  }
  return nil
}

/// Let the kernel hold `byteCount` bytes of packets that are being sent (copy mode). Without the privilege it stays as it was.
func growSendBuffer(_ descriptor: CInt, to byteCount: Int) {
  _ = setOption(descriptor, sendBufferForce, CInt(clamping: byteCount))
}

/// Let one sendto take up `packetCount` packets in copy mode instead of 32: XDP_MAX_TX_SKB_BUDGET, Linux 6.17 and later. Older kernels
/// refuse the option and stay at 32.
func raiseTransmitBudget(_ descriptor: CInt, to packetCount: UInt32) {
  var budget = packetCount
  // SAFETY: the kernel reads the four bytes of `budget`.
  _ = unsafe setsockopt(descriptor, CInt(SOL_XDP), maxTransmitBudget, &budget, socklen_t(MemoryLayout<UInt32>.size))
}

/// XDP_MAX_TX_SKB_BUDGET of linux/if_xdp.h; Debian's headers are older.
private let maxTransmitBudget: CInt = 9

private func setOption(_ descriptor: CInt, _ option: CInt, _ value: CInt) -> CInt {
  var value = value
  // SAFETY: the kernel reads the four bytes of `value`.
  return unsafe setsockopt(descriptor, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<CInt>.size)) == 0 ? 0 : errno
}
