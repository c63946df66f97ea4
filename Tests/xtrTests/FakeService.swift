// SPDX-License-Identifier: Apache-2.0
//
// A router for the control server's tests: keeps mappings in a dictionary and remembers who asked.

import ControlAPI
import ControlSamples
import Foundation
import Logging
import NIOCore
import NIOPosix
import Wire

@testable import xtr

actor FakeService: ControlService {
  private(set) var mappings: [EIDPrefix: ControlMapping] = [:]
  private(set) var owners: Set<String> = []
  /// Requests that were begun and not ended, at most: more than one of a client would be a fault of the server.
  private var underWay: [UInt64: Int] = [:]
  private(set) var mostUnderWay = 0
  private(set) var requestCount = 0

  func answer(_ request: ControlRequest, from client: ClientID) async -> ControlAnswer {
    owners.insert(client.owner)
    requestCount += 1
    underWay[client.number, default: 0] += 1
    mostUnderWay = max(mostUnderWay, underWay[client.number] ?? 0)
    await Task.yield()
    defer { underWay[client.number, default: 1] -= 1 }
    return answer(request.operation)
  }

  private func answer(_ operation: ControlRequest.Operation) -> ControlAnswer {
    switch operation {
    case .hello, .watch: return .failure(ControlFailure(.failed, "the server should not have passed this on"))
    case .add(let list):
      for mapping in list { mappings[mapping.eid] = mapping }
      return .changed(list.count)
    case .delete(let eids):
      for eid in eids where mappings[eid] == nil { return .failure(ControlFailure(.notFound, "no mapping of \(eid)")) }
      for eid in eids { mappings[eid] = nil }
      return .changed(eids.count)
    case .replace(_, let list, let part):
      guard part == nil else { return .failure(ControlFailure(.failed, "a part reached the service")) }
      mappings = Dictionary(list.map { ($0.eid, $0) }) { _, last in last }
      return .changed(list.count)
    case .get(let eid, _):
      guard let mapping = mappings[eid] else { return .failure(ControlFailure(.notFound, "no mapping of \(eid)")) }
      return .mapping(Self.entry(mapping))
    case .list(let instance, let after, let limit):
      let all = mappings.values.filter { instance == nil || $0.eid.instanceID == instance }.sorted { $0.eid < $1.eid }
      let rest = after.map { after in all.filter { after < $0.eid } } ?? all
      let page = rest.prefix(limit).map(Self.entry)
      return .mappings(page, next: rest.count > limit ? page.last?.eid : nil)
    case .drops:
      return .drops([DropStatus(reason: "no-mapping", direction: .encapsulation, packets: 1234567, meaning: "no way to the EID")])
    case .database: return .database([DatabaseEntry(instanceID: 7, eidPrefix: "10.1.0.0/24", table: 102)])
    case .neighbours:
      return .neighbours([NeighbourStatus(interface: "core0", address: "192.0.2.254", mac: nil, state: "incomplete", usedBy: [])])
    case .interfaces: return .interfaces([])
    case .registrations(let after, _):
      guard after == nil else { return .registered([], next: nil) }
      return .registered([.sample], next: EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(10, 1, 0, 0)), length: 16)))
    case .resolutions: return .resolutions([.sample])
    case .probes: return .probes([.sample])
    case .control: return .control(.sample)
    case .peers: return .peers([PeerStatus(rloc: "192.0.2.2", secondsAgo: 3), PeerStatus(rloc: "2001:db8::2", secondsAgo: 59)])
    case .stats, .status: return .failure(ControlFailure(.unavailable, "the router is starting"))
    case .locator, .reload, .drain: return .done
    }
  }

  private static func entry(_ mapping: ControlMapping) -> MappingEntry {
    let target: MappingEntry.Target =
      switch mapping.target {
      case .action(let action): .action(action)
      case .locators(let locators):
        .locators(locators.map { LocatorEntry(locator: $0, state: .up, count: PacketCount(packets: 1, bytes: 64)) })
      }
    return MappingEntry(eid: mapping.eid, target: target, owner: "fake", origin: .control)
  }
}

/// A control server over a fake service, on an event loop of its own and a socket that nobody else has.
struct ServerUnderTest {
  let service = FakeService()
  let server: ControlServer
  let path: String
  private let group: MultiThreadedEventLoopGroup

  static func newPath() -> String { "/tmp/xtr-test-\(getpid())-\(UInt32.random(in: 0...(.max))).sock" }

  init(path: String = Self.newPath(), limits: ControlServer.Limits = .init()) async throws {
    self.path = path
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    server = try await ControlServer.start(
      path: path, group: nil, service: service, eventLoop: group.next(), log: Logger(label: "test"), limits: limits)
  }

  func stop() async throws {
    await server.close()
    try await group.shutdownGracefully()
  }

  /// Runs blocking work of a client beside the test's task.
  func withClient<Value: Sendable>(
    name: String? = nil, _ body: @Sendable @escaping (inout ControlClient) throws -> Value
  ) async throws -> Value {
    let path = path
    return try await blocking {
      var client = try ControlClient(path: path, name: name, timeoutSeconds: 10)
      return try body(&client)
    }
  }
}

/// Does what blocks on a thread of its own.
func blocking<Value: Sendable>(_ body: @Sendable @escaping () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread { continuation.resume(with: Result { try body() }) }.start()
  }
}
