// SPDX-License-Identifier: Apache-2.0
//
// Why something of AF_XDP or of the steering program could not be set up. Thrown while the program starts and by
// the slow path; never on the packet path. Every description is one line: what, where, and what would mend it.

/// The errors of module XDP.
public enum XDPError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kernel refused for lack of a capability. `doing` completes "not permitted to …".
  case noPrivilege(doing: String)
  /// The interface cannot be used as it is: it is gone, is down, has a driver or an MTU that does not fit …
  case interface(name: String, problem: String, cure: String)
  /// Somebody else's XDP program is attached; xtr never removes it.
  case foreignProgram(interface: String, name: String, id: UInt32)
  /// A system call failed. `where` is the interface, queue or map that it was about; `cure` may be empty.
  case system(call: String, errno: CInt, where: String, cure: String)
  /// The running kernel lacks something. `needs` is the first version that has it, "5.9".
  case kernelTooOld(feature: String, needs: String)

  /// Whether this machine or this user cannot run xtr at all (exit status 77), as opposed to a failure that a retry or
  /// another configuration may get past (exit status 1).
  public var isImpossibleHere: Bool {
    switch self {
    case .noPrivilege, .kernelTooOld: true
    case .interface, .foreignProgram, .system: false
    }
  }

  public var description: String {
    switch self {
    case .noPrivilege(let doing):
      "not permitted to \(doing): run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON"
    case .interface(let name, let problem, let cure):
      Self.line("\(name): \(problem)", cure)
    case .foreignProgram(let interface, let name, let id):
      "\(interface): the XDP program \"\(name)\" (id \(id)) is attached already and xtr removes nobody's program; "
        + "detach it (`ip link set dev \(interface) xdp off`, or end the process that owns it) or use another interface"
    case .system(let call, let errno, let place, let cure):
      Self.line("\(place): \(call): \(errnoText(errno))", cure)
    case .kernelTooOld(let feature, let needs):
      "this kernel has no \(feature): Linux \(needs) or newer is needed"
    }
  }

  private static func line(_ what: String, _ cure: String) -> String { cure.isEmpty ? what : "\(what); \(cure)" }
}
