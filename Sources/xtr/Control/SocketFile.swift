// SPDX-License-Identifier: Apache-2.0
//
// The control socket's file: made, given its group and mode, and taken away again. `ControlServer` uses it.
//
// Order matters: bind, then group and mode, then listen. Nobody can connect before listen(2), so there is no moment in which
// the socket is open to more than it should be.

import CLinux
import Glibc

/// Why the control socket could not be made. One line with the cure.
struct ControlServerError: Error, Hashable, CustomStringConvertible {
  var description: String
  /// Whether the configuration names something that is not there (exit 2) rather than the system refusing (exit 1).
  var isConfiguration = false

  init(_ description: String, isConfiguration: Bool = false) {
    self.description = description
    self.isConfiguration = isConfiguration
  }
}

/// A bound Unix stream socket and the file that names it.
struct SocketFile: Sendable {
  let path: String
  /// Ready to listen; whoever takes it closes it.
  let descriptor: CInt
  /// Which file it is, so that `remove` does not take away another router's. The kernel gives the inode's number to no other
  /// file as long as the descriptor is open.
  private let device: dev_t
  private let inode: ino_t

  /// Binds `path`, mode 0660, with `group` when given. A file that nobody listens at is removed first.
  init(path: String, group: String?) throws(ControlServerError) {
    let groupID = try Self.groupID(group)
    try Self.makeDirectory(of: path)
    try Self.removeStale(path)
    let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw ControlServerError("control socket \(path): \(Self.reason(errno))") }
    do throws(ControlServerError) {
      guard Self.withAddress(path, { unsafe bind(descriptor, $0, $1) }) == 0 else {
        throw ControlServerError("control socket \(path) cannot be made: \(Self.reason(errno)); choose another control-socket")
      }
      guard chown(path, uid_t.max, groupID ?? gid_t.max) == 0, chmod(path, 0o660) == 0 else {
        let reason = Self.reason(errno)
        _ = unlink(path)
        throw ControlServerError("control socket \(path): its group and mode cannot be set: \(reason)")
      }
    } catch {
      _ = close(descriptor)
      throw error
    }
    var status = stat()
    _ = lstat(path, &status)
    self.path = path
    self.descriptor = descriptor
    device = status.st_dev
    inode = status.st_ino
  }

  /// Removes the file, if it is still the one that was made. Before the descriptor is closed.
  func remove() {
    var status = stat()
    if lstat(path, &status) == 0, status.st_dev == device, status.st_ino == inode { _ = unlink(path) }
  }

  // MARK: Before binding

  private static func groupID(_ group: String?) throws(ControlServerError) -> gid_t? {
    guard let group else { return nil }
    // SAFETY: getgrnam's result stays until the next call on this thread; it is read at once.
    guard let entry = unsafe getgrnam(group) else {
      throw ControlServerError(
        "router.control-group: there is no group \"\(group)\" on this host: make it with `groupadd --system \(group)`, or name another",
        isConfiguration: true)
    }
    return unsafe entry.pointee.gr_gid
  }

  /// Makes the directory (/run/xtr), not those above it.
  private static func makeDirectory(of path: String) throws(ControlServerError) {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
    let directory = String(path[..<slash])
    guard mkdir(directory, 0o755) == 0 || errno == EEXIST else {
      throw ControlServerError("directory \(directory) of the control socket cannot be made: \(reason(errno))")
    }
  }

  /// Removes what a router that was killed left; refuses to remove anything else.
  private static func removeStale(_ path: String) throws(ControlServerError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw ControlServerError(
        "control socket \(path): a file that is not a socket is there; move it away, or choose another control-socket")
    }
    let probe = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
    defer { _ = close(probe) }
    let result = withAddress(path) { unsafe connect(probe, $0, $1) }
    // Not even EAGAIN, a full backlog, means that nobody is there.
    guard result != 0, errno == ECONNREFUSED else {
      throw ControlServerError("another router listens at \(path): stop it, or choose another control-socket")
    }
    guard unlink(path) == 0 || errno == ENOENT else {
      throw ControlServerError("control socket \(path) was left by a router that is gone, and cannot be removed: \(reason(errno))")
    }
  }

  private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let fits = unsafe withUnsafeMutableBytes(of: &address.sun_path) { field in
      // SAFETY: copyBytes stays within the field, which keeps a zero at its end.
      guard path.utf8.count < field.count else { return false }
      unsafe field.copyBytes(from: path.utf8)
      return true
    }
    guard fits else {
      errno = ENAMETOOLONG
      return -1
    }
    return unsafe withUnsafePointer(to: &address) { pointer in
      // SAFETY: sockaddr_un begins like sockaddr, and its size is given.
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }

  private static func reason(_ error: CInt) -> String {
    guard let text = unsafe strerror(error) else { return "error \(error)" }
    return unsafe String(cString: text)
  }
}
