// SPDX-License-Identifier: Apache-2.0
//
// The client against peers that are absent, rude or strange. Against the real server: ControlServerTests in xtrTests.

import Foundation
import Glibc
import Testing
import Wire

@testable import ControlAPI

@Suite(.timeLimit(.minutes(1))) struct ControlClientTests {
  private static func path() -> String { NSTemporaryDirectory() + "xtr-client-\(getpid())-\(UInt32.random(in: 0...(.max))).sock" }

  /// Listens at `path`, takes one client, reads what comes first, says `lines`, and closes.
  private static func speak(_ lines: String, at path: String) throws -> Thread {
    let listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    try #require(bound == 0 && listen(listener, 1) == 0)
    let thread = Thread {
      let client = accept(listener, nil, nil)
      var request = [UInt8](repeating: 0xA5, count: 4096)
      _ = recv(client, &request, request.count, 0)
      _ = lines.withCString { send(client, $0, strlen($0), CInt(MSG_NOSIGNAL)) }
      close(client)
      close(listener)
      unlink(path)
    }
    thread.start()
    return thread
  }

  private func failure(_ path: String) -> ControlClientError? {
    do throws(ControlClientError) {
      _ = try ControlClient(path: path, timeoutSeconds: 5)
      return nil
    } catch {
      return error
    }
  }

  @Test func `no router: the line says where and what to do`() {
    let path = Self.path()
    #expect(failure(path) == .noRouter(path: path))
    #expect(
      ControlClientError.noRouter(path: "/run/xtr/control.sock").description
        == "no router listens at /run/xtr/control.sock: start one with `xtr run CONFIG`, or name its socket with --socket")
  }

  @Test func `a path that does not fit a socket address is an error`() {
    let path = "/" + String(repeating: "x", count: 200)
    guard case .system? = failure(path) else {
      Issue.record("expected .system, got \(String(describing: failure(path)))")
      return
    }
  }

  @Test func `a peer that speaks something else is named so`() throws {
    let path = Self.path()
    _ = try Self.speak("220 mail.example.org ESMTP\n", at: path)
    guard case .notUnderstood? = failure(path) else {
      Issue.record("expected .notUnderstood")
      return
    }
  }

  @Test func `a peer that closes is named so`() throws {
    let path = Self.path()
    _ = try Self.speak("{\"ok\":tr", at: path)
    #expect(failure(path) == .closed(path: path))
  }

  @Test func `another version's refusal is passed on`() throws {
    let path = Self.path()
    _ = try Self.speak(#"{"ok":false,"error":{"code":"version","message":"version: this router speaks 2, not 1"}}"# + "\n", at: path)
    #expect(failure(path) == .refused(ControlFailure(.version, "version: this router speaks 2, not 1")))
  }

  @Test func `events that come before an answer are kept for later`() throws {
    let path = Self.path()
    let events = #"{"event":"reach","address":"192.0.2.2"}"# + "\n" + #"{"event":"lost","count":3}"# + "\n"
    _ = try Self.speak(events + #"{"ok":true,"version":1,"server":"xtr 9"}"# + "\n" + #"{"event":"lost","count":4}"# + "\n", at: path)
    var client = try ControlClient(path: path, timeoutSeconds: 5)
    #expect(client.server == "xtr 9")
    #expect(try client.nextEvent() == .reach(.v4(IPv4Address(192, 0, 2, 2))))
    #expect(try client.nextEvent() == .lost(3))
    #expect(try client.nextEvent() == .lost(4))
    #expect(try client.nextEvent() == nil)
  }
}
