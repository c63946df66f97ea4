// SPDX-License-Identifier: Apache-2.0
//
// Network namespaces for the tests that need a kernel: nameless, made by unshare on the test's own thread, gone with the
// last thing in them. Commands run in them because a child inherits its parent thread's namespace.

import CLinux
import Glibc
import Synchronization
import Testing

/// Whether a test that needs namespaces and sockets can run, and what to say otherwise.
let canUseNamespaces = geteuid() == 0
let needsRoot: Comment = "needs root: makes network namespaces and AF_XDP sockets"

private let oneAtATime = Mutex(())

struct CommandFailed: Error { let command: String, status: CInt }

/// Run `body`, which may not suspend, in a new network namespace without IPv6 and with `lo` up. One body at a time.
@discardableResult
func inNamespace<Result>(_ body: () throws -> Result) throws -> Result {
  try oneAtATime.withLock { _ in
    let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    precondition(home >= 0 && clinux_unshare_network() == 0, "root can make a network namespace")
    defer {
      precondition(clinux_setns_network(home) == 0, "a thread can go back to where it came from")
      close(home)
    }
    try shell("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; ip link set lo up")
    return try body()
  }
}

/// Run a shell command in this thread's namespace; throws unless it succeeds.
func shell(_ command: String) throws {
  var child: pid_t = 0
  let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("-c"), strdup(command), nil]
  defer { arguments.forEach { free($0) } }
  guard posix_spawn(&child, "/bin/sh", nil, nil, arguments, environ) == 0 else {
    throw CommandFailed(command: command, status: -1)
  }
  var status: CInt = 0
  while waitpid(child, &status, 0) < 0 && errno == EINTR {}
  guard status == 0 else { throw CommandFailed(command: command, status: status) }
}

/// A veth pair `left`–`right`, both up, handing over whole packets with their checksums.
func makePair(queues: Int = 1) throws {
  let counts = "numrxqueues \(queues) numtxqueues \(queues)"
  try shell(
    """
    ip link add left \(counts) type veth peer name right \(counts) &&
    ip link set left up && ip link set right up &&
    for end in left right; do ethtool -K $end tx off gso off tso off gro off >/dev/null 2>&1; done; true
    """)
}

/// Run `body` without the capabilities at `bits` being in effect for this thread.
@discardableResult
func withoutCapabilities<Result>(_ bits: UInt64, _ body: () throws -> Result) rethrows -> Result {
  var header: (version: UInt32, pid: Int32) = (0x2008_0522, 0)
  // effective, permitted, inheritable of the capabilities 0–31, then of 32–63
  var sets: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0, 0)
  precondition(capget(&header, &sets) == 0)
  var fewer = sets
  fewer.0 &= ~UInt32(truncatingIfNeeded: bits)
  fewer.3 &= ~UInt32(truncatingIfNeeded: bits >> 32)
  precondition(capset(&header, &fewer) == 0)
  defer { precondition(capset(&header, &sets) == 0) }
  return try body()
}

/// Bits of linux/capability.h.
let capabilityNetAdmin: UInt64 = 1 << 12
let capabilityNetRaw: UInt64 = 1 << 13
let capabilityIPCLock: UInt64 = 1 << 14

// In the C library, and declared only by another package's header.
@_silgen_name("capget") private func capget(_ header: UnsafeMutableRawPointer, _ sets: UnsafeMutableRawPointer) -> CInt
@_silgen_name("capset") private func capset(_ header: UnsafeRawPointer, _ sets: UnsafeRawPointer) -> CInt
