// SPDX-License-Identifier: Apache-2.0
//
// The steering program of one interface: bpf/steer.bpf.c loaded with maps of its own, attached, and its rules. The router
// makes one per port, registers the sockets of its queues, and applies rules whenever the configuration or the host's
// addresses change.
//
//   load ──▶ attach (lifts nothing yet) ──▶ register(socket:queue:) ──▶ apply(rules) ──▶ … ──▶ detach
//
// The program is attached by a bpf_link and pinned nowhere: whichever way the process ends, the kernel detaches the program and
// the interface is as it was. Another's program is never removed or replaced; it is an error that names it.

/// Owner of an attached steering program. Thread: slow path.
public struct SteeringProgram: ~Copyable {
  /// Where in the kernel the program runs.
  public enum AttachMode: Sendable, CustomStringConvertible {
    /// In the driver, before there is a socket buffer.
    case native
    /// Behind the driver, on socket buffers: any driver, slower.
    case generic

    public var description: String {
      switch self {
      case .native: "native"
      case .generic: "generic"
      }
    }
  }

  public enum RequestedMode: Sendable, CaseIterable {
    case native
    case generic
    /// Native, or generic where the driver refuses; `attachMode` says which, `nativeRefusal` why.
    case auto
  }

  /// The mode in force.
  public var attachMode: AttachMode { link.mode }
  /// Why `auto` ended in generic mode; nil when it did not.
  public var nativeRefusal: XDPError? { link.nativeRefusal }
  public let interfaceName: String

  private var maps: SteeringMaps
  private let link: SteeringLink

  /// Loads the program and attaches it. It lets everything pass until `apply`.
  ///
  /// - Parameter queueCount: the receive queues of the interface; frames of further queues pass.
  public init(
    interfaceIndex: UInt32, interfaceName: String, mode: RequestedMode, queueCount: Int
  ) throws(XDPError) {
    let maps = try SteeringMaps(LoadedSteering(interfaceName: interfaceName, queueCount: queueCount))
    let attacher = SteeringAttacher(
      program: maps.programDescriptor, interfaceIndex: interfaceIndex, interfaceName: interfaceName)
    try attacher.refuseForeignProgram()
    link = try attacher.attach(mode)
    self.maps = maps
    self.interfaceName = interfaceName
  }

  /// Names the AF_XDP socket that receives what queue `queue` lifts. It should be bound by now: until then the kernel drops what
  /// is lifted to it. When it closes, the kernel takes it out and that queue's frames pass.
  public func register(socket descriptor: CInt, queue: Int) throws(XDPError) {
    try maps.register(socket: descriptor, queue: queue)
  }

  /// Brings the program's maps to `rules`, changing only what differs: new entries come before the old ones go, so there is no
  /// moment at which a frame that both the old and the new rules lift would pass, or one that both let pass would be lifted
  /// (but that two prefixes which are new in the same call are so one after the other). After an error the maps hold a part of the
  /// change; the next `apply` goes on from there.
  public mutating func apply(_ rules: SteeringRules) throws(XDPError) {
    try maps.apply(rules)
  }

  /// Detaches. Do this before the sockets are closed.
  public consuming func detach() {}
}
