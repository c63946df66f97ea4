// SPDX-License-Identifier: Apache-2.0
//
// Everything that can go wrong between this module and the kernel. Thrown at set-up and by questions; never per packet.

import Glibc

/// What was wanted, what the kernel said, and what would mend it.
public enum NetlinkError: Error, Hashable, CustomStringConvertible {
  /// A system call failed while `purpose` was set up.
  case system(purpose: String, errno: CInt)
  /// The kernel refused a request; `reason` is its own explanation where it gives one.
  case refused(purpose: String, errno: CInt, reason: String?)
  /// The exception device `name` could not be made.
  case device(name: String, purpose: String, errno: CInt)
  /// Not a name the kernel takes for an interface.
  case unusableName(String)
  /// The tables changed so fast that no consistent copy could be had.
  case unstable(purpose: String)
  /// The kernel did not answer in time.
  case noAnswer(purpose: String)

  public var errno: CInt? {
    switch self {
    case .system(_, let errno), .refused(_, let errno, _), .device(_, _, let errno): errno
    case .unusableName, .unstable, .noAnswer: nil
    }
  }

  /// Privilege or a kernel feature is missing: trying again as we are is useless (exit code 77).
  public var isImpossibleHere: Bool {
    switch self {
    case .system(_, let errno), .refused(_, let errno, _):
      [EPERM, EACCES, EAFNOSUPPORT, EPROTONOSUPPORT, EOPNOTSUPP].contains(errno)
    case .device(_, _, let errno):
      [EPERM, EACCES, ENOENT, ENODEV, ENXIO].contains(errno)
    case .unusableName, .unstable, .noAnswer: false
    }
  }

  public var description: String {
    switch self {
    case .system(let purpose, let errno): "\(purpose): \(errorText(errno))\(Self.cure(errno))"
    case .refused(let purpose, let errno, let reason):
      "\(purpose): the kernel refuses: \(reason ?? errorText(errno))\(Self.cure(errno))"
    case .device(let name, let purpose, let errno):
      "exception device \(name): \(purpose): \(errorText(errno))\(Self.deviceCure(errno))"
    case .unusableName(let name):
      "\"\(name)\" cannot name an interface: 1 to 15 letters, digits, '-', '_' or '.', and neither \".\" nor \"..\""
    case .unstable(let purpose):
      "\(purpose): the kernel's tables changed during every attempt to read them; try again when routing has settled"
    case .noAnswer(let purpose): "\(purpose): the kernel did not answer within 5 seconds; see dmesg"
    }
  }

  private static func cure(_ errno: CInt) -> String {
    switch errno {
    case EPERM, EACCES: "; run as root, or with CAP_NET_ADMIN and CAP_NET_RAW"
    case EMFILE, ENFILE: "; raise the limit of open files (ulimit -n, LimitNOFILE=)"
    case EAFNOSUPPORT: "; the kernel has no such address family (ipv6.disable=1?)"
    case ENODEV, ENXIO: "; the interface is gone, see `ip link`"
    case EEXIST: "; it exists already, see `ip rule`"
    case ENOMEM, ENOBUFS: "; memory is short"
    default: ""
    }
  }

  private static func deviceCure(_ errno: CInt) -> String {
    switch errno {
    case ENOENT, ENODEV, ENXIO: "; the kernel has no TUN driver: modprobe tun"
    case EBUSY, EEXIST, EINVAL: "; an interface of that name exists: stop the other xtr, or choose another name"
    default: cure(errno)
    }
  }
}
