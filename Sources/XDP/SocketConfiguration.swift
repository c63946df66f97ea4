// SPDX-License-Identifier: Apache-2.0
//
// What an XDPSocket is asked for, and the two answers its callers act upon: the mode that is in force, and what came of
// a wake-up.

/// How packets get between the card and the frame memory.
public enum SocketMode: Sendable, Equatable, CustomStringConvertible {
  /// The card reads and writes the frames itself.
  case zeroCopy
  /// The kernel copies between its own buffers and the frames: every driver can.
  case copy

  public var description: String {
    switch self {
    case .zeroCopy: "zero-copy"
    case .copy: "copy"
    }
  }
}

/// Which mode is wanted.
public enum RequestedSocketMode: Sendable, Equatable {
  /// Zero-copy or an error.
  case zeroCopy
  /// Copy, even where the driver could do better.
  case copy
  /// Zero-copy if driver and kernel can, copy otherwise; `XDPSocket.mode` says which it became.
  case auto
}

/// Let the worker run the driver's receive loop itself (SO_PREFER_BUSY_POLL, Linux 5.11) instead of an interrupt, which
/// pays where both share a processor. Wants `napi_defer_hard_irqs` and `gro_flush_timeout` set on the interface.
public struct BusyPoll: Equatable, Sendable {
  /// How long one system call may poll for (SO_BUSY_POLL).
  public var microseconds: UInt16
  /// How many packets one system call may take (SO_BUSY_POLL_BUDGET); the kernel's own budget is 64.
  public var budget: UInt16

  public init(microseconds: UInt16 = 20, budget: UInt16 = 64) {
    self.microseconds = microseconds
    self.budget = budget
  }
}

/// Everything that may be chosen for a socket.
public struct SocketConfiguration: Equatable, Sendable {
  public var mode: RequestedSocketMode
  public var rings: RingSizes
  /// Nil: interrupts and need-wakeup.
  public var busyPoll: BusyPoll?

  public init(mode: RequestedSocketMode = .auto, rings: RingSizes = RingSizes(), busyPoll: BusyPoll? = nil) {
    self.mode = mode
    self.rings = rings
    self.busyPoll = busyPoll
  }
}

/// What came of a wake-up. Not an error to throw: it happens on the packet path.
public enum WakeResult: Equatable, Sendable {
  /// The kernel has done what it would. If the transmit ring still has something pending, the completion ring is full, the
  /// card is busy or a descriptor was invalid: drain completions before the next wake-up.
  case done
  /// The kernel stopped for now (EAGAIN, EBUSY, ENOBUFS; in copy mode after some packets): wake it again.
  case again
  /// The interface is down (ENETDOWN): wake it again when it is up. Or it is gone (ENXIO): the socket is of no more use.
  case interfaceDown
  /// Anything else, with its errno: the socket is of no more use.
  case failed(CInt)
}
