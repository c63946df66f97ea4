// SPDX-License-Identifier: Apache-2.0
//
// Answers and events: what the router writes, the client reads; and the form that other programs rely upon.

import ControlSamples
import TestSupport
import Testing
import Wire

@testable import ControlAPI

@Suite struct AnswerCodingTests {
  private func reply(_ line: [UInt8]) throws -> ControlReply {
    #expect(line.last == 0x0A)
    #expect(!line.dropLast().contains(0x0A))
    return try ControlReply(line: Array(line.dropLast()))
  }

  private func text(_ line: [UInt8]) -> String { String(decoding: line.dropLast(), as: UTF8.self) }

  @Test func `every answer survives its own line`() throws {
    var random = SplitMix64(seed: 0x5EED_0020)
    let entries = (0..<100).map { _ in random.entry() }
    let answers: [ControlAnswer] =
      [
        .done, .hello(version: 1, server: "xtr 0.1.0"), .changed(1_000_000), .collected(0), .mapping(entries[0]),
        .mappings(entries, next: entries[1].eid), .mappings([], next: nil), .stats(.sample), .status(.sample),
        .drops([
          DropStatus(reason: "no-mapping", direction: .encapsulation, packets: .max, meaning: "…"),
          DropStatus(reason: "x", direction: nil, packets: 0, meaning: ""),
        ]),
        .database([
          DatabaseEntry(instanceID: 7, eidPrefix: "10.1.0.0/24", table: 102), DatabaseEntry(instanceID: 0, eidPrefix: "::/0", table: nil),
        ]),
        .interfaces([.sample]), .neighbours([.sample]), .neighbours([]), .peers([.sample]), .peers([]),
        .registrations([.sample]), .registrations([]), .registered([.sample], next: entries[2].eid), .registered([], next: nil),
        .resolutions([.sample]), .probes([.sample]), .control(.sample),
      ] + ControlFailure.Code.allCases.map { .failure(ControlFailure($0, "why: \"this\"\n")) }
    for answer in answers {
      for id in [nil, RequestID.number(9), .text("é")] {
        #expect(try reply(answer.line(id: id)) == .answer(answer, id: id))
      }
    }
  }

  @Test func `every event survives its own line`() throws {
    var random = SplitMix64(seed: 0x5EED_0021)
    let events: [ControlEvent] = [
      .miss(instanceID: InstanceID(truncating: 7), eid: try address("10.2.9.9"), source: try address("10.1.0.5")),
      .miss(instanceID: .zero, eid: try address("2001:db8::9"), source: nil), .add(random.mapping(), owner: "mapd"),
      .delete(random.eid(), owner: "mapd"), .expired(random.eid(), owner: "control"), .reach(try address("192.0.2.2")),
      .badreach(try address("2001:db8::2"), reason: "no route"), .stale(random.eid()), .neighbour(.sample), .lost(17),
    ]
    #expect(Set(events.compactMap(\.kind)) == Set(ControlEvent.Kind.allCases))
    for event in events { #expect(try reply(event.line) == .event(event)) }
  }

  @Test func `the form of answers and events is fixed`() throws {
    #expect(text(ControlAnswer.done.line(id: nil)) == #"{"ok":true}"#)
    #expect(text(ControlAnswer.changed(2).line(id: .number(7))) == #"{"id":7,"ok":true,"changed":2}"#)
    #expect(
      text(ControlAnswer.failure(ControlFailure(.notFound, "no mapping")).line(id: nil))
        == #"{"ok":false,"error":{"code":"not-found","message":"no mapping"}}"#)
    let locator = LocatorEntry(
      locator: ControlLocator(address: try address("192.0.2.2"), priority: 1, weight: 50, reachable: false), state: .unreachable,
      count: PacketCount(packets: 3, bytes: 4))
    let entry = MappingEntry(
      eid: try eid("10.2.0.0/24", instance: 7), target: .locators([locator]), ttlMinutes: 60, expiresInSeconds: 59, owner: "mapd",
      origin: .control, count: PacketCount(packets: 1, bytes: 2))
    #expect(
      text(ControlAnswer.mappings([entry], next: entry.eid).line(id: nil))
        == #"{"ok":true,"mappings":[{"instance-id":7,"eid-prefix":"10.2.0.0/24","rlocs":[{"address":"192.0.2.2","priority":1,"weight":50,"#
        + #""reachable":false,"state":"unreachable","packets":3,"bytes":4}],"ttl-minutes":60,"expires-in-seconds":59,"owner":"mapd","#
        + #""origin":"control","packets":1,"bytes":2}],"next":"[7]10.2.0.0/24"}"#)
    #expect(
      text(ControlEvent.miss(instanceID: .zero, eid: try address("10.2.9.9"), source: nil).line)
        == #"{"event":"miss","instance-id":0,"eid":"10.2.9.9"}"#)
  }

  @Test func `status names are words with hyphens`() {
    let text = String(decoding: StatusCoding.encode(InterfaceStatus.sample), as: UTF8.self)
    for name in ["attach-mode", "socket-mode", "rx-fill-ring-empty", "rx-ring-full", "changed-offloads"] {
      #expect(text.contains("\"\(name)\":"), "\(name)")
    }
    #expect(
      String(decoding: StatusCoding.encode(DatabaseEntry(instanceID: 1, eidPrefix: "::/0", table: nil)), as: UTF8.self)
        .contains(#""instance-id":1"#))
    #expect(StatusCoding.hyphenated("uptimeSeconds") == "uptime-seconds")
    #expect(StatusCoding.camelCased("instance-id") == "instanceID")
  }

  @Test func `a status number that is not finite does not spoil the answer`() throws {
    var status = RouterStatus.sample
    status.workers[0].busyPercent = .nan
    let line = ControlAnswer.status(status).line(id: nil)
    #expect(text(line).contains(#""busy-percent":"nan""#))
  }

  @Test func `a newer router may say more`() throws {
    let line = Array(#"{"ok":true,"future":{"a":[1]},"changed":3}"#.utf8)
    #expect(try ControlReply(line: line) == .answer(.changed(3), id: nil))
    let failed = Array(#"{"ok":false,"error":{"code":"brand-new","message":"m","detail":1}}"#.utf8)
    #expect(try ControlReply(line: failed) == .answer(.failure(ControlFailure(.failed, "m")), id: nil))
  }

  @Test(arguments: ["", "{}", "[]", "hello", #"{"ok":1}"#, #"{"ok":true,"status":{}}"#, #"{"event":"birth"}"#, #"{"event":"miss"}"#])
  func `what is no answer is an error`(line: String) {
    #expect(throws: JSONError.self) { try ControlReply(line: Array(line.utf8)) }
  }

  @Test func `every truncation of an answer is an error`() {
    var random = SplitMix64(seed: 0x5EED_0022)
    for line in [ControlAnswer.mappings([random.entry()], next: nil).line(id: .number(1)), ControlAnswer.status(.sample).line(id: nil)] {
      for count in 0..<line.count - 1 {
        #expect(throws: JSONError.self, "first \(count) bytes") { try ControlReply(line: Array(line[..<count])) }
      }
    }
  }
}
