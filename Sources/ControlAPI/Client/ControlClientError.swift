// SPDX-License-Identifier: Apache-2.0
//
// Why a client did not get what it asked for. The commands print the description and exit 1.

/// A failure of `ControlClient`. The description says what, where and the cure in one line.
public enum ControlClientError: Error, Sendable, Hashable, CustomStringConvertible {
  /// No socket file, or nobody listens there.
  case noRouter(path: String)
  case notPermitted(path: String)
  /// A system call on the socket failed.
  case system(path: String, reason: String)
  /// The router did not answer in time.
  case timeout(path: String, seconds: Int)
  /// The router ended the connection.
  case closed(path: String)
  /// What came is not an answer.
  case notUnderstood(path: String, reason: String)
  /// The router said no.
  case refused(ControlFailure)

  public var description: String {
    switch self {
    case .noRouter(let path):
      "no router listens at \(path): start one with `xtr run CONFIG`, or name its socket with --socket"
    case .notPermitted(let path):
      "permission denied at \(path): use sudo, or join the group that `control-group` names in the router's configuration"
    case .system(let path, let reason): "control socket \(path): \(reason)"
    case .timeout(let path, let seconds): "the router at \(path) did not answer in \(seconds) s: look at its log"
    case .closed(let path): "the router at \(path) closed the connection: it is ending, or has too many clients"
    case .notUnderstood(let path, let reason):
      "what listens at \(path) does not speak this version of xtr's control protocol (\(reason)): use the `xtr` the router runs"
    case .refused(let failure): failure.message
    }
  }
}
