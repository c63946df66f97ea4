// SPDX-License-Identifier: Apache-2.0
//
// A client of the control socket: blocking, one request at a time, no event loop. The commands `xtr map` and `xtr show` use
// it, and the tests of the whole router.
//
//     var client = try ControlClient(path: path, name: "mapd")
//     let answer = try client.request(.get(eid, exact: false))
//     try client.request(.watch([.miss]))
//     while let event = try client.nextEvent() { … }

import Glibc
import Wire

/// A connection to a running router. Thread: any one at a time; calls block.
public struct ControlClient: ~Copyable {
  /// Mappings per line of a split `replace`.
  static let mappingsPerLine = 2000
  /// Lines of a split `replace` that may be under way without their answers read.
  static let window = 8

  public let path: String
  /// How the router names itself: "xtr 0.1.0".
  public private(set) var server: String
  private let stream: UnixStream
  private var lines: LineBuffer
  /// Events that came while an answer was awaited.
  private var events: [ControlEvent]
  private let timeoutSeconds: Int

  /// Connects and shakes hands. `name` becomes the owner of the mappings this client adds.
  public init(
    path: String = ControlProtocol.defaultPath, name: String? = nil, timeoutSeconds: Int = 30
  ) throws(ControlClientError) {
    self = try Self.shakingHands(path, name, timeoutSeconds)
  }

  private static func shakingHands(
    _ path: String, _ name: String?, _ timeoutSeconds: Int
  ) throws(ControlClientError) -> ControlClient {
    let stream = try connect(path)
    stream.setTimeout(seconds: timeoutSeconds)
    var client = ControlClient(path: path, stream: stream, timeoutSeconds: timeoutSeconds)
    guard case .hello(_, let server) = try client.request(.hello(version: ControlProtocol.version, name: name)) else {
      throw .notUnderstood(path: path, reason: "no handshake")
    }
    client.server = server
    return client
  }

  private init(path: String, stream: consuming UnixStream, timeoutSeconds: Int) {
    self.path = path
    self.stream = stream
    self.timeoutSeconds = timeoutSeconds
    server = ""
    lines = LineBuffer()
    events = []
  }

  private static func connect(_ path: String) throws(ControlClientError) -> UnixStream {
    do throws(Errno) {
      return try UnixStream(connectingTo: path)
    } catch {
      switch error.rawValue {
      case ENOENT, ECONNREFUSED, ENOTDIR: throw .noRouter(path: path)
      case EACCES, EPERM: throw .notPermitted(path: path)
      default: throw .system(path: path, reason: error.description)
      }
    }
  }

  /// Asks and waits for the answer. A `failure` is thrown as `refused`.
  @discardableResult
  public mutating func request(_ operation: ControlRequest.Operation) throws(ControlClientError) -> ControlAnswer {
    try send(ControlRequest(operation).line)
    return try nextAnswer()
  }

  /// Replaces what is in `scope` by `mappings` in one atomic change, split over lines as needed. Returns the router's count.
  public mutating func replace(_ scope: ReplaceScope, with mappings: [ControlMapping]) throws(ControlClientError) -> ControlAnswer {
    guard mappings.count > Self.mappingsPerLine else {
      return try request(.replace(scope: scope, mappings: mappings, part: nil))
    }
    var unanswered = 0
    for (index, start) in stride(from: 0, to: mappings.count, by: Self.mappingsPerLine).enumerated() {
      let end = min(start + Self.mappingsPerLine, mappings.count)
      let part = ReplacePart(index: index, more: end < mappings.count)
      try send(ControlRequest(.replace(scope: scope, mappings: Array(mappings[start..<end]), part: part)).line)
      unanswered += 1
      // Some lines ahead, so that both sides work; not all, so that neither fills the other's socket.
      if unanswered == Self.window {
        _ = try nextAnswer()
        unanswered -= 1
      }
    }
    for _ in 1..<max(unanswered, 1) { _ = try nextAnswer() }
    return try nextAnswer()
  }

  /// Calls `body` for every mapping, in ascending order, page by page; a change in between may or may not be seen.
  public mutating func forEachMapping(
    instance: InstanceID? = nil, pageSize: Int = ControlProtocol.defaultPageSize, _ body: (MappingEntry) -> Void
  ) throws(ControlClientError) {
    var after: EIDPrefix?
    repeat {
      guard case .mappings(let entries, let next) = try request(.list(instance: instance, after: after, limit: pageSize)) else {
        throw .notUnderstood(path: path, reason: "no mappings in the answer to list")
      }
      for entry in entries { body(entry) }
      after = next
    } while after != nil
  }

  /// Waits for the next event, however long; nil when the router ended the connection. After `watch`.
  public mutating func nextEvent() throws(ControlClientError) -> ControlEvent? {
    if !events.isEmpty { return events.removeFirst() }
    stream.setTimeout(seconds: 0)
    defer { stream.setTimeout(seconds: timeoutSeconds) }
    while let reply = try nextReply() {
      switch reply {
      case .event(let event): return event
      case .answer: throw .notUnderstood(path: path, reason: "an answer that nobody asked for")
      }
    }
    return nil
  }

  // MARK: Lines

  private func send(_ line: [UInt8]) throws(ControlClientError) {
    do throws(Errno) {
      try stream.write(line)
    } catch {
      // The router may have said why before it closed; the next read shows it.
      if error.rawValue != EPIPE { throw failure(error) }
    }
  }

  private mutating func nextAnswer() throws(ControlClientError) -> ControlAnswer {
    while let reply = try nextReply() {
      switch reply {
      case .event(let event): events.append(event)
      case .answer(.failure(let failure), _): throw .refused(failure)
      case .answer(let answer, _): return answer
      }
    }
    throw .closed(path: path)
  }

  /// nil at the end of the stream.
  private mutating func nextReply() throws(ControlClientError) -> ControlReply? {
    while true {
      if let line = lines.next() {
        do throws(JSONError) {
          return try ControlReply(line: line)
        } catch {
          throw .notUnderstood(path: path, reason: error.description)
        }
      }
      if lines.isOverlong { throw .notUnderstood(path: path, reason: "a line of more than \(lines.limit) bytes") }
      do throws(Errno) {
        let chunk = try stream.read(limit: 1 << 16)
        guard !chunk.isEmpty else { return nil }
        lines.append(chunk)
      } catch {
        if error.rawValue == ECONNRESET { return nil }
        throw failure(error)
      }
    }
  }

  private func failure(_ error: Errno) -> ControlClientError {
    error.rawValue == EAGAIN ? .timeout(path: path, seconds: timeoutSeconds) : .system(path: path, reason: error.description)
  }
}
