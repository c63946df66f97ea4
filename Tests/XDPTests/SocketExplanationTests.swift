// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing
import Wire

@testable import XDP

/// The words for failures that no machine at hand produces.
@Suite struct SocketExplanationTests {
  private func words(_ call: String, _ code: CInt) throws -> (text: String, impossible: Bool) {
    let interface = Interface(
      name: "port0", index: 7, macAddress: MACAddress(rawValue: 1), mtu: 9000, driver: "mlx5_core", queueCount: 4,
      transmitQueueCount: 4, isUp: true)
    let target = SocketExplanation(interface: interface, queue: 3, memory: try FrameMemory(frameCount: 1, chunkSize: 2048))
    let error = target.error(SocketFailure(call: call, code: code))
    return ("\(error)", error.isImpossibleHere)
  }

  @Test(
    arguments: [
      ("xsk_umem__create", EPERM, "not permitted to open an AF_XDP socket on port0 queue 3", true),
      ("xsk_umem__create", EAFNOSUPPORT, "no AF_XDP sockets (CONFIG_XDP_SOCKETS)", true),
      ("xsk_umem__create", ENOBUFS, "ulimit -l unlimited", false),
      ("xsk_umem__create", EINVAL, "port0 queue 3: xsk_umem__create: Invalid argument (EINVAL)", false),
      ("xsk_socket__create", EBUSY, "queue 3 belongs to another AF_XDP socket", false),
      ("xsk_socket__create", EOPNOTSUPP, "its driver (mlx5_core) has no zero-copy AF_XDP; choose copy mode", false),
      ("xsk_socket__create", EINVAL, "an MTU of 9000 and frames of 2048 bytes; lower the MTU", false),
      ("xsk_socket__create", ENODEV, "port0: the interface is gone", false),
      ("sendto", ENETDOWN, "`ip link set dev port0 up`", false),
      ("sendto", EOPNOTSUPP, "binds queue 3 and then refuses to send on it", false),
      ("SO_PREFER_BUSY_POLL", ENOPROTOOPT, "no preferred busy polling: Linux 5.11", true),
      ("SO_BUSY_POLL_BUDGET", EPERM, "not permitted", true),
      ("XDP_OPTIONS", EFAULT, "port0 queue 3: XDP_OPTIONS", false),
    ] as [(String, CInt, String, Bool)])
  func `a failed step says where, what and the cure, in one line`(call: String, code: CInt, part: String, impossible: Bool) throws {
    let words = try words(call, code)
    #expect(words.text.contains(part))
    #expect(words.impossible == impossible)
    #expect(!words.text.contains("\n"))
  }

  @Test(
    arguments: [
      (0, .done), (EAGAIN, .again), (EBUSY, .again), (ENOBUFS, .again), (EINTR, .again), (ENETDOWN, .interfaceDown),
      (ENXIO, .interfaceDown), (ENODEV, .interfaceDown), (EOPNOTSUPP, .failed(EOPNOTSUPP)), (EBADF, .failed(EBADF)),
    ] as [(CInt, WakeResult)])
  func `a wake-up's errno is one of four answers`(code: CInt, result: WakeResult) {
    #expect(WakeResult(errno: code) == result)
  }

  @Test func `the default rings are accepted, and the fill ring is twice the receive ring`() {
    #expect(RingSizes().problem == nil)
    #expect(RingSizes().fill == 2 * RingSizes().receive)
  }
}
