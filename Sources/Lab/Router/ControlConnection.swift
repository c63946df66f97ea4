// SPDX-License-Identifier: Apache-2.0
//
// A blocking connection to a router's control socket: a request out, its answer in. `RouterProcess` uses one per question, so that a
// restarted router is simply the next connection.

import CLinux
import ControlAPI

#if canImport(Glibc)
  import Glibc
#endif

struct ControlConnection: ~Copyable {
  private let socket: Socket

  init(path: String) throws(LabError) {
    let socket = try Socket(AF_UNIX, SOCK_STREAM)
    try socket.setTimeouts(.seconds(5))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let isTooLong = withUnsafeMutableBytes(of: &address.sun_path) { room in
      guard path.utf8.count < room.count else { return true }
      room.copyBytes(from: path.utf8)
      return false
    }
    guard !isTooLong else { throw .system(path, errno: ENAMETOOLONG) }
    let descriptor = socket.fileDescriptor
    let answer = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    guard answer == 0 else { throw .lastCall("connecting to \(path)") }
    self.socket = socket
  }

  func ask(_ operation: ControlRequest.Operation) throws(LabError) -> ControlAnswer {
    let line = ControlRequest(operation).line
    var done = 0
    while done < line.count {
      let count = line.withUnsafeBytes {
        send(socket.fileDescriptor, $0.baseAddress! + done, $0.count - done, Int32(truncatingIfNeeded: MSG_NOSIGNAL))
      }
      guard count > 0 else { throw .lastCall("asking the router") }
      done += count
    }
    return try readAnswer()
  }

  private func readAnswer() throws(LabError) -> ControlAnswer {
    var line: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while line.last != UInt8(ascii: "\n") {
      let count = recv(socket.fileDescriptor, &buffer, buffer.count, 0)
      guard count > 0 else { throw count == 0 ? .wrongData("the router closed the control connection") : .lastCall("the router's answer") }
      line.append(contentsOf: buffer[..<count])
    }
    line.removeLast()
    do {
      switch try ControlReply(line: line) {
      case .answer(.failure(let failure), _): throw LabError.wrongData("the router refused: \(failure)")
      case .answer(let answer, _): return answer
      case .event: throw LabError.wrongData("an event where an answer was due")
      }
    } catch let error as LabError {
      throw error
    } catch {
      throw .wrongData("the router's answer cannot be read: \(error)")
    }
  }
}
