// SPDX-License-Identifier: Apache-2.0
//
// Requests: every operation both ways, and what is refused, with which answer.

import TestSupport
import Testing
import Wire

@testable import ControlAPI

@Suite struct RequestDecodingTests {
  private func decode(_ text: String) -> Result<ControlRequest, ControlRequest.FailedRequest> {
    ControlRequest.decode(line: Array(text.utf8))
  }

  private func failure(_ text: String) -> ControlRequest.FailedRequest? {
    switch decode(text) {
    case .success: nil
    case .failure(let failed): failed
    }
  }

  @Test func `every operation survives its own line`() throws {
    var random = SplitMix64(seed: 0x5EED_0010)
    let mappings = (0..<50).map { _ in random.mapping() }
    let operations: [ControlRequest.Operation] = [
      .hello(version: 1, name: nil), .hello(version: 7, name: "mapd"), .add(mappings), .add([]), .delete(mappings.map(\.eid)),
      .replace(scope: .owner(nil), mappings: mappings, part: nil), .replace(scope: .owner("mapd"), mappings: [], part: nil),
      .replace(scope: .instance(InstanceID(truncating: 7)), mappings: mappings, part: ReplacePart(index: 3, more: true)),
      .get(mappings[0].eid, exact: true), .get(mappings[1].eid, exact: false),
      .list(instance: nil, after: nil, limit: 1000), .list(instance: .zero, after: mappings[2].eid, limit: 1),
      .watch([]), .watch([.miss, .neighbour]), .watch(Set(ControlEvent.Kind.allCases)),
      .stats, .status, .drops, .database, .interfaces, .neighbours, .peers, .reload, .drain,
      .registrations(after: nil, limit: 1000), .registrations(after: mappings[3].eid, limit: 7), .resolutions, .probes, .control,
      .locator(try address("192.0.2.1"), .down), .locator(try address("2001:db8::1"), .auto),
    ]
    for operation in operations {
      for id in [nil, RequestID.number(-3), .text("a \"b\"\n")] {
        let request = ControlRequest(operation, id: id)
        var line = request.line
        #expect(line.removeLast() == 0x0A)
        #expect(!line.contains(0x0A), "\(request.name)")
        #expect(try ControlRequest.decode(line: line).get() == request, "\(request.name)")
      }
    }
  }

  @Test func `members come in any order, and what may be absent has its default`() throws {
    let request = try decode(#"{"rlocs":[{"weight":5,"address":"2001:db8::1"}],"id":"x","eid-prefix":"10.2.0.9","op":"add"}"#).get()
    let locator = ControlLocator(address: try address("2001:db8::1"), priority: 1, weight: 5)
    #expect(request == ControlRequest(.add([ControlMapping(eid: try eid("10.2.0.9/32"), target: .locators([locator]))]), id: .text("x")))
    #expect(try decode(#"{"op":"watch"}"#).get().operation == .watch(Set(ControlEvent.Kind.allCases)))
    #expect(try decode(#"{"op":"list"}"#).get().operation == .list(instance: nil, after: nil, limit: 1000))
    #expect(try decode(#"{"op":"replace","mappings":[]}"#).get().operation == .replace(scope: .owner(nil), mappings: [], part: nil))
  }

  @Test(arguments: [
    ("", ControlFailure.Code.malformed, "the text ends in the middle of a value at byte 0"),
    ("[]", .malformed, "expected an object at byte 0"),
    ("{\"op\":\"status\"", .malformed, "the text ends in the middle of a value at byte 14"),
    (#"{"op":"status"} {}"#, .malformed, "expected the end of the line at byte 16"),
    (#"{"id":1}"#, .invalid, "op: expected the name of an operation; it is missing"),
    (#"{"op":1}"#, .invalid, "expected a string at byte 6"),
    (#"{"op":"peer"}"#, .unknownOperation, "op: unknown operation \"peer\""),
    (#"{"op":"status","op":"drain"}"#, .malformed, "\"op\" is there twice at byte 15"),
    (#"{"op":"status","verbose":true}"#, .invalid, "unknown field \"verbose\" at byte 25"),
    (#"{"op":"status","exact":true}"#, .invalid, "status has no field \"exact\""),
    (#"{"op":"hello"}"#, .invalid, "version: expected an integer; it is missing"),
    (#"{"op":"hello","version":1,"name":"a b"}"#, .invalid, "name: expected 1 to 64 printable ASCII characters without spaces at byte 33"),
    (#"{"op":"get"}"#, .invalid, "eid-prefix: expected a prefix; it is missing at byte 0"),
    (#"{"op":"get","eid-prefix":"10.1.0.0/33"}"#, .invalid, "eid-prefix: expected a prefix: prefix length 33 is not in 0…32 at byte 25"),
    (
      #"{"op":"get","eid-prefix":"10.1.0.1/24"}"#, .invalid,
      "eid-prefix: expected a prefix: 10.1.0.1/24 has bits set beyond its length; 10.1.0.0/24 is the prefix at byte 25"
    ),
    (#"{"op":"get","instance-id":16777216}"#, .invalid, "instance-id: expected an integer in 0…16777215 at byte 26"),
    (#"{"op":"get","instance-id":"7"}"#, .invalid, "expected an integer at byte 26"),
    (#"{"op":"get","instance-id":1e2}"#, .invalid, "expected an integer at byte 26"),
    (#"{"op":"get","instance-id":99999999999999999999}"#, .invalid, "number out of range at byte 26"),
    (#"{"op":"add","eid-prefix":"10.2.0.0/24"}"#, .invalid, "mapping: expected either rlocs or an action at byte 0"),
    (
      #"{"op":"add","eid-prefix":"10.2.0.0/24","rlocs":[],"ttl-minutes":1}"#, .invalid,
      "rlocs: expected at least one locator; a negative mapping has an action at byte 0"
    ),
    (
      #"{"op":"add","mappings":[{"eid-prefix":"10.2.0.0/24","action":"drop","rlocs":[]}]}"#, .invalid,
      "mapping: expected either rlocs or an action at byte 24"
    ),
    (#"{"op":"add","mappings":[{"action":"drop"}]}"#, .invalid, "eid-prefix: expected a prefix; it is missing at byte 24"),
    (
      #"{"op":"add","mappings":[{"eid-prefix":"10.2.0.0/24","action":"reject"}]}"#, .invalid,
      "action: expected one of \"no-action\", \"native-forward\", \"send-map-request\", \"drop\", \"policy-denied\", "
        + "\"authentication-failure\" at byte 61"
    ),
    (#"{"op":"add","mappings":[{"owner":"x"}]}"#, .invalid, "unknown field \"owner\" at byte 33"),
    (#"{"op":"add","mappings":[],"eid-prefix":"10.2.0.0/24"}"#, .invalid, "add has no field \"eid-prefix\""),
    (
      #"{"op":"add","eid-prefix":"10.2.0.0/24","rlocs":[{"address":"192.0.2.300"}]}"#, .invalid,
      "address: expected an IPv4 or IPv6 address, found \"192.0.2.300\" at byte 59"
    ),
    (
      #"{"op":"add","eid-prefix":"10.2.0.0/24","rlocs":[{"priority":1}]}"#, .invalid,
      "rlocs.address: expected an address; it is missing at byte 48"
    ),
    (
      #"{"op":"add","eid-prefix":"10.2.0.0/24","rlocs":[{"address":"192.0.2.2","priority":256}]}"#, .invalid,
      "priority: expected an integer in 0…255 at byte 82"
    ),
    (
      #"{"op":"add","eid-prefix":"10.2.0.0/24","rlocs":[{"address":"192.0.2.2","weight":101}]}"#, .invalid,
      "weight: expected an integer in 0…100 at byte 80"
    ),
    (
      #"{"op":"add","eid-prefix":"10.2.0.0/24","rlocs":[{"address":"192.0.2.2","port":4341}]}"#, .invalid,
      "unknown field \"rlocs.port\" at byte 78"
    ),
    (#"{"op":"delete","eid-prefixes":[{"eid-prefix":"10.2.0.0/24","rlocs":[]}]}"#, .invalid, "unknown field \"rlocs\" at byte 67"),
    (#"{"op":"replace"}"#, .invalid, "mappings: expected an array; it is missing"),
    (
      #"{"op":"replace","mappings":[],"more":true}"#, .invalid,
      "part: expected 0, 1, 2 … on every line of a replace with more lines; it is missing"
    ),
    (
      #"{"op":"replace","mappings":[],"scope":"all"}"#, .invalid,
      "scope: expected \"owner\" (with owner or without), or \"instance\" with instance-id"
    ),
    (
      #"{"op":"replace","mappings":[],"scope":"instance"}"#, .invalid,
      "scope: expected \"owner\" (with owner or without), or \"instance\" with instance-id"
    ),
    (#"{"op":"list","limit":0}"#, .invalid, "limit: expected an integer in 1…10000 at byte 21"),
    (#"{"op":"list","after":"10.2.0.0/24"}"#, .invalid, "after: expected a prefix such as \"[7]10.2.0.0/24\" at byte 21"),
    (
      #"{"op":"watch","events":["misses"]}"#, .invalid,
      "events: expected one of \"miss\", \"add\", \"delete\", \"expired\", \"reach\", \"badreach\", \"stale\", \"neighbour\" at byte 24"
    ),
    (#"{"op":"status","id":null}"#, .invalid, "expected id: an integer or a string at byte 20"),
  ])
  func `a request that is not understood is refused with its reason`(line: String, code: ControlFailure.Code, message: String) throws {
    let failed = try #require(failure(line))
    #expect(failed.failure == ControlFailure(code, message))
  }

  @Test func `the id is given back with a refusal, wherever it stands in the line`() {
    #expect(failure(#"{"op":"peer","id":5}"#)?.id == .number(5))
    #expect(failure(#"{"op":"status","verbose":[{}],"id":"late"}"#)?.id == .text("late"))
    #expect(failure(#"{"id":"early","op":"#)?.id == .text("early"))
    #expect(failure(#"{"op":"status","id":{}}"#)?.id == nil)
  }

  @Test func `every truncation of a request is refused`() throws {
    var random = SplitMix64(seed: 0x5EED_0011)
    let line = ControlRequest(.replace(scope: .owner("mapd"), mappings: [random.mapping(), random.mapping()], part: nil), id: .number(1))
      .line
    for count in 0..<line.count - 1 {
      guard case .failure(let failed) = ControlRequest.decode(line: Array(line[..<count])) else {
        Issue.record("first \(count) bytes were understood")
        continue
      }
      #expect(failed.failure.code == .malformed, "first \(count) bytes")
    }
  }

  @Test func `a request with bytes changed is understood or refused, never a trap`() throws {
    let seed: UInt64 = 0x5EED_0012
    var random = SplitMix64(seed: seed)
    var refused = 0
    for _ in 0..<20_000 {
      var line = ControlRequest(.add([random.mapping()]), id: .number(1)).line
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        line[Int.random(in: 0..<line.count, using: &random)] = UInt8(truncatingIfNeeded: random.next())
      }
      if case .failure = ControlRequest.decode(line: line) { refused += 1 }
    }
    #expect(refused > 10_000, "seed \(seed)")
  }

  @Test func `a mapping of more than 255 locators is refused`() throws {
    func line(_ count: Int) -> [UInt8] {
      let locators = (0..<count).map { #"{"address":"10.0.\#($0 / 256).\#($0 % 256)"}"# }.joined(separator: ",")
      return Array(#"{"op":"add","eid-prefix":"10.2.0.0/24","rlocs":[\#(locators)]}"#.utf8)
    }
    #expect(throws: Never.self) { try ControlRequest.decode(line: line(255)).get() }
    guard case .failure(let failed) = ControlRequest.decode(line: line(256)) else {
      Issue.record("256 locators were understood")
      return
    }
    #expect(failed.failure.message.hasPrefix("rlocs: expected at most 255 locators"))
  }

  @Test func `a mapping in a file's line is the mapping of a request`() throws {
    var random = SplitMix64(seed: 0x5EED_0013)
    for _ in 0..<200 {
      let mapping = random.mapping()
      var writer = JSONWriter()
      mapping.write(to: &writer)
      #expect(try ControlMapping(line: writer.bytes) == mapping)
    }
    #expect(throws: JSONError.self) { try ControlMapping(line: Array(#"{"eid-prefix":"10.0.0.0/8","action":"drop"} x"#.utf8)) }
  }
}
