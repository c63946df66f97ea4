// SPDX-License-Identifier: Apache-2.0
//
// The control server over a real Unix socket: order, limits, hostile clients, the socket file. The service is a fake.

import ControlAPI
import Foundation
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import xtr

@Suite(.timeLimit(.minutes(2))) struct ControlServerTests {
  private static let hello = #"{"op":"hello","version":1}"# + "\n"
  private static let greeting = #"{"ok":true,"version":1,"server":"xtr \#(Version.text)"}"#

  private static func mapping(_ number: UInt32) -> ControlMapping {
    ControlMapping(
      eid: EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: 0x0A00_0000 + number << 8)), length: 24)),
      target: .locators([ControlLocator(address: .v4(IPv4Address(192, 0, 2, 2)))]))
  }

  // MARK: Requests

  @Test func `a client adds, gets, lists by pages and deletes`() async throws {
    let test = try await ServerUnderTest()
    try await test.withClient(name: "mapd") { client in
      #expect(client.server == "xtr \(Version.text)")
      let mappings = (0..<25).map { Self.mapping($0) }
      #expect(try client.request(.add(mappings)) == .changed(25))
      guard case .mapping(let entry) = try client.request(.get(mappings[3].eid, exact: true)) else { return #expect(Bool(false)) }
      #expect(entry.eid == mappings[3].eid)
      var listed: [EIDPrefix] = []
      try client.forEachMapping(pageSize: 10) { listed.append($0.eid) }
      #expect(listed == mappings.map(\.eid))
      #expect(try client.request(.delete([mappings[0].eid])) == .changed(1))
      #expect(throws: ControlClientError.refused(ControlFailure(.notFound, "no mapping of [0]10.0.0.0/24"))) {
        try client.request(.delete([mappings[0].eid]))
      }
    }
    #expect(await test.service.owners == ["mapd"])
    try await test.stop()
  }

  @Test func `a large replace comes in lines and reaches the service whole`() async throws {
    let test = try await ServerUnderTest()
    let answer = try await test.withClient { client in
      try client.replace(.owner(nil), with: (0..<50_000).map { Self.mapping($0) })
    }
    #expect(answer == .changed(50_000))
    #expect(await test.service.mappings.count == 50_000)
    #expect(await test.service.requestCount == 1)
    try await test.stop()
  }

  @Test func `requests of one client are answered one after the other, in order`() async throws {
    let test = try await ServerUnderTest()
    let path = test.path
    let lines = try await blocking {
      var client = try RawClient(path)
      try client.send(Self.hello + (0..<200).map { #"{"op":"database","id":\#($0)}"# + "\n" }.joined())
      return try (0...200).map { _ in try client.line() ?? "" }
    }
    #expect(lines[0] == Self.greeting)
    for (index, line) in lines.dropFirst().enumerated() { #expect(line.hasPrefix(#"{"id":\#(index),"ok":true,"database":["#)) }
    #expect(await test.service.mostUnderWay == 1)
    try await test.stop()
  }

  @Test func `nothing is answered before the handshake, and another version is refused`() async throws {
    let test = try await ServerUnderTest()
    let path = test.path
    let lines = try await blocking {
      var client = try RawClient(path)
      try client.send(#"{"op":"drain","id":1}"# + "\n" + #"{"op":"hello","version":2}"# + "\n" + Self.hello + Self.hello)
      return try (0..<4).map { _ in try client.line() ?? "" }
    }
    #expect(
      lines[0] == #"{"id":1,"ok":false,"error":{"code":"version","message":"the first request must be {\"op\":\"hello\",\"version\":1}"}}"#)
    #expect(lines[1] == #"{"ok":false,"error":{"code":"version","message":"version: this router speaks 1, not 2"}}"#)
    #expect(lines[2] == Self.greeting)
    #expect(lines[3] == #"{"ok":false,"error":{"code":"invalid","message":"hello: hands have been shaken already"}}"#)
    #expect(await test.service.requestCount == 0)
    try await test.stop()
  }

  @Test func `a malformed line is answered, and the next one is carried out`() async throws {
    let test = try await ServerUnderTest()
    let path = test.path
    let lines = try await blocking {
      var client = try RawClient(path)
      try client.send(Self.hello)
      try client.send([0xFF, 0xFE, 0x00, 0x0A])
      try client.send("\n{\"op\":\"reload\",\"id\":2}\r\n")
      return try (0..<4).map { _ in try client.line() ?? "" }
    }
    #expect(lines[1] == #"{"ok":false,"error":{"code":"malformed","message":"expected an object at byte 0"}}"#)
    #expect(lines[2] == #"{"ok":false,"error":{"code":"malformed","message":"the text ends in the middle of a value at byte 0"}}"#)
    #expect(lines[3] == #"{"id":2,"ok":true}"#)
    try await test.stop()
  }

  @Test func `a client that ends its output gets its answers, half a line is not carried out`() async throws {
    let test = try await ServerUnderTest()
    let path = test.path
    let lines = try await blocking {
      var client = try RawClient(path)
      try client.send(Self.hello + #"{"op":"reload"}"# + "\n" + #"{"op":"drain"}"#)
      client.endOutput()
      return [try client.line(), try client.line(), try client.line()]
    }
    #expect(lines == [Self.greeting, #"{"ok":true}"#, nil])
    #expect(await test.service.requestCount == 1)
    try await test.stop()
  }

  @Test func `a line beyond the limit is refused and the connection ended`() async throws {
    var limits = ControlServer.Limits()
    limits.lineByteCount = 1000
    let test = try await ServerUnderTest(limits: limits)
    let path = test.path
    let lines = try await blocking {
      var client = try RawClient(path)
      try client.send(Self.hello)
      let greeting = try client.line()
      try client.send(String(repeating: "x", count: 1001))
      return [greeting, try client.line(), try client.line()]
    }
    #expect(lines[1]?.contains(#""code":"too-large","message":"the line is longer than 1000 bytes"#) == true)
    #expect(lines[2] == nil)
    #expect(try await test.withClient { try $0.request(.reload) } == .done)
    try await test.stop()
  }

  @Test func `a client beyond the limit is told so`() async throws {
    var limits = ControlServer.Limits()
    limits.clients = 1
    let test = try await ServerUnderTest(limits: limits)
    let path = test.path
    let failure = try await test.withClient { _ in
      #expect(throws: ControlClientError.self) { _ = try ControlClient(path: path) }
      var second = try RawClient(path)
      return try second.line()
    }
    #expect(failure == #"{"ok":false,"error":{"code":"too-large","message":"the router has 1 control clients already: end one of them"}}"#)
    try await test.stop()
  }

  // MARK: Split replace

  @Test func `a hole in a split replace commits nothing`() async throws {
    let test = try await ServerUnderTest()
    let path = test.path
    func part(_ index: Int, _ more: Bool, _ prefix: String) -> String {
      #"{"op":"replace","part":\#(index),"more":\#(more),"mappings":[{"eid-prefix":"\#(prefix)","action":"drop"}]}"# + "\n"
    }
    let text =
      Self.hello + part(0, true, "10.0.0.0/24") + part(1, true, "10.0.1.1/24") + part(2, false, "10.0.2.0/24")
      + part(0, true, "10.0.3.0/24") + part(1, false, "10.0.4.0/24")
    let lines = try await blocking {
      var client = try RawClient(path)
      try client.send(text)
      return try (0..<6).map { _ in try client.line() ?? "" }
    }
    #expect(lines[1] == #"{"ok":true,"collected":1}"#)
    #expect(lines[2].contains("has bits set beyond its length"))
    #expect(lines[3].contains("part: expected 1, found 2; the parts before are discarded, begin again with 0"))
    #expect(lines[4] == #"{"ok":true,"collected":1}"#)
    #expect(lines[5] == #"{"ok":true,"changed":2}"#)
    #expect(await test.service.requestCount == 1)
    #expect(await Set(test.service.mappings.keys.map(\.description)) == ["[0]10.0.3.0/24", "[0]10.0.4.0/24"])
    try await test.stop()
  }

  @Test func `a split replace has a limit, keeps its scope, and gives way to a whole one`() throws {
    var collection = ReplaceCollection(limit: 3)
    func take(_ index: Int, _ more: Bool, _ count: Int, _ scope: ReplaceScope = .owner(nil)) throws(ControlFailure)
      -> ReplaceCollection.Step
    {
      try collection.take(ReplacePart(index: index, more: more), scope: scope, mappings: (0..<UInt32(count)).map { Self.mapping($0) })
    }
    guard case .collected(2) = try take(0, true, 2), case .whole(let whole) = try take(1, false, 1) else {
      Issue.record("not collected")
      return
    }
    #expect(whole == .replace(scope: .owner(nil), mappings: [Self.mapping(0), Self.mapping(1), Self.mapping(0)], part: nil))
    #expect(throws: ControlFailure(.tooLarge, "more than 3 mappings in one replace; the parts before are discarded")) {
      try take(0, true, 4)
    }
    #expect(throws: ControlFailure.self) { try take(1, false, 1) }
    _ = try take(0, true, 1)
    #expect(throws: ControlFailure(.invalid, "scope: not that of part 0; the parts before are discarded, begin again with 0")) {
      try take(1, false, 1, .instance(.zero))
    }
    #expect(throws: ControlFailure.self) { try take(1, false, 1) }
  }

  // MARK: Events

  @Test func `two clients watch different things and each gets its own`() async throws {
    let test = try await ServerUnderTest()
    let server = test.server
    let miss = ControlEvent.miss(instanceID: .zero, eid: .v4(IPv4Address(10, 2, 0, 1)), source: nil)
    let reach = ControlEvent.reach(.v4(IPv4Address(192, 0, 2, 2)))
    async let first = test.withClient { client in
      try client.request(.watch([.miss]))
      return try client.nextEvent()
    }
    async let second = test.withClient { client in
      try client.request(.watch([.reach]))
      let event = try client.nextEvent()
      // Requests and events share the connection.
      #expect(try client.request(.reload) == .done)
      return event
    }
    // Until both have theirs: an event that nobody watches is given to nobody.
    let publisher = Task {
      while !Task.isCancelled {
        server.publish(miss)
        server.publish(reach)
        try await Task.sleep(for: .milliseconds(5))
      }
    }
    #expect(try await first == miss)
    #expect(try await second == reach)
    publisher.cancel()
    try await test.stop()
  }

  @Test func `a slow watcher is told how many events it missed, and the router does not wait for it`() async throws {
    var limits = ControlServer.Limits()
    limits.backlogByteCount = 16_384
    let test = try await ServerUnderTest(limits: limits)
    let server = test.server
    let path = test.path
    let total: UInt64 = 50_000
    let watching = AsyncStream<Void>.makeStream()
    let published = AsyncStream<Void>.makeStream()
    async let counted: (UInt64, UInt64) = blocking {
      var client = try RawClient(path)
      try client.send(Self.hello + #"{"op":"watch","events":["reach"]}"# + "\n")
      _ = try client.line()
      _ = try client.line()
      watching.continuation.finish()
      // Reads nothing until all events have been made.
      let waiting = DispatchSemaphore(value: 0)
      Task {
        for await _ in published.stream {}
        waiting.signal()
      }
      waiting.wait()
      var (told, lost): (UInt64, UInt64) = (0, 0)
      while told + lost < total, let line = try client.line() {
        if case .event(.lost(let count)) = try ControlReply(line: Array(line.utf8)) { lost += count } else { told += 1 }
      }
      return (told, lost)
    }
    for await _ in watching.stream {}
    for number in 0..<UInt32(total) { server.publish(.reach(.v4(IPv4Address(rawValue: number)))) }
    published.continuation.finish()
    let (told, lost) = try await counted
    #expect(told + lost == total)
    #expect(lost > 0 && told > 0, "told \(told), lost \(lost)")
    try await test.stop()
  }

  @Test func `what is watched is known, and forgotten when the watcher goes`() async throws {
    let test = try await ServerUnderTest()
    let server = test.server
    func watched() async throws -> Set<ControlEvent.Kind> { try await server.eventLoop.submit { server.watchedKinds }.get() }
    #expect(try await watched() == [])
    try await test.withClient { client in _ = try client.request(.watch([.miss, .stale])) }
    var turns = 0
    while try await watched() != [], turns < 500 {
      try await Task.sleep(for: .milliseconds(10))
      turns += 1
    }
    #expect(try await watched() == [])
    try await test.withClient { client in
      try client.request(.watch([.miss, .stale]))
      try client.request(.watch([]))
    }
    try await test.stop()
  }

  // MARK: The socket file

  @Test func `the socket has mode 0660 and is gone when the server is closed`() async throws {
    let test = try await ServerUnderTest()
    let attributes = try FileManager.default.attributesOfItem(atPath: test.path)
    #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o660)
    try await test.stop()
    #expect(!FileManager.default.fileExists(atPath: test.path))
  }

  @Test func `a second router on the same path is refused, and the first goes on`() async throws {
    let test = try await ServerUnderTest()
    do {
      _ = try await ServerUnderTest(path: test.path)
      Issue.record("two routers on one path")
    } catch let error as ControlServerError {
      #expect(error.description == "another router listens at \(test.path): stop it, or choose another control-socket")
    }
    #expect(try await test.withClient { try $0.request(.reload) } == .done)
    try await test.stop()
  }

  @Test func `a socket that a killed router left is replaced, a file of another kind is not`() async throws {
    let path = ServerUnderTest.newPath()
    // Bound and not listening: for those who connect the same as one whose process is gone.
    let left = try SocketFile(path: path, group: nil)
    #expect(FileManager.default.fileExists(atPath: path))
    let test = try await ServerUnderTest(path: path)
    // The one that is gone must not take the new one's file away.
    left.remove()
    close(left.descriptor)
    #expect(FileManager.default.fileExists(atPath: path))
    try await test.stop()

    #expect(FileManager.default.createFile(atPath: path, contents: Data("mine".utf8)))
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(throws: ControlServerError.self) { _ = try SocketFile(path: path, group: nil) }
    #expect(FileManager.default.contents(atPath: path) == Data("mine".utf8))
  }

  @Test func `a group that does not exist is the configuration's fault`() throws {
    do throws(ControlServerError) {
      _ = try SocketFile(path: ServerUnderTest.newPath(), group: "no-such-group-here")
      Issue.record("made")
    } catch {
      #expect(error.isConfiguration)
      #expect(error.description.hasPrefix("router.control-group: there is no group \"no-such-group-here\" on this host"))
    }
  }

  // MARK: Rate

  static let isRelease: Bool = {
    var release = true
    assert(
      {
        release = false; return true
      }())
    return release
  }()

  /// Contract: 200 k mappings/s through the socket, 1 M in under 5 s. The fake service's dictionary is part of the time.
  /// `swift test -c release -Xswiftc -enable-testing --filter ControlServerTests`
  @Test(.enabled(if: isRelease, "only a release build is measured"))
  func `a replace of a million mappings takes under five seconds`() async throws {
    let test = try await ServerUnderTest()
    let mappings = (0..<1_000_000).map { Self.mapping(UInt32($0)) }
    let clock = ContinuousClock()
    let start = clock.now
    let answer = try await test.withClient { client in try client.replace(.owner(nil), with: mappings) }
    let time = clock.now - start
    print("control socket: replace of 1,000,000 mappings in \(time)")
    #expect(answer == .changed(1_000_000))
    #expect(time < .seconds(5))
    try await test.stop()
  }
}
