// SPDX-License-Identifier: Apache-2.0

import Glibc
import Testing
import Wire

@testable import ControlPlane

/// Rates and memory at a million registrations.
@Suite(.serialized) struct MapServerRateTests {
  static let isRelease: Bool = {
    var release = true
    assert(
      {
        release = false; return true
      }())
    return release
  }()

  private static let prefixCount = 1_000_000
  private static let siteCount = 1000

  /// 1000 sites with a /8's worth of /30s each.
  private static func eid(_ i: Int) -> EIDPrefix {
    EIDPrefix(.zero, IPPrefix(masking: .v4(IPv4Address(rawValue: 0x1000_0000 + UInt32(i) << 6)), length: 26))
  }

  private static var sites: [MapServerSite] {
    (0..<siteCount).map { number in
      let first = number * (prefixCount / siteCount)
      let own = (first..<first + prefixCount / siteCount).map { MapServerSite.Allowed(eid($0)) }
      return MapServerSite(name: "site \(number)", keys: [AuthenticationKey(id: 1, secret: Array("secret \(number)".utf8))], allowed: own)
    }
  }

  private static func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 100)
    guard fgets(&buffer, 100, file) != nil else { return 0 }
    let fields = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
    return (Int(fields[1]) ?? 0) * 4096
  }

  /// Processor time of this thread: what others do on the machine does not count.
  private static func seconds(_ body: () -> Void) -> Double {
    let start = processorTime()
    body()
    return processorTime() - start
  }

  private static func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// The registration of prefix `i`, one record a message, with a Map-Notify.
  private static func register(_ i: Int, nonce: UInt64, _ keys: [AuthenticationKey]) -> [UInt8] {
    let locator = IPAddress.v4(IPv4Address(rawValue: 0xC000_0200 + UInt32(i % 250) + 1))
    let record = EIDRecord(eid(i), ttl: 1440, locators: [LocatorRecord(.ip(locator))])
    let register = MapRegister(nonce: nonce, flags: [.proxyReply, .wantNotify], records: [record])
    return keys[i / (prefixCount / siteCount)].sign(register)
  }

  @Test(.enabled(if: isRelease, "only a release build is measured"))
  func `C11 a million registrations: 20 k Map-Registers and 50 k Map-Requests a second on one core, with room for sockets`() {
    let sites = Self.sites
    let keys = sites.map { $0.keys[0] }
    var server = MapServer(settings: MapServerSettings(), sites: sites, nonces: NonceSource(seed: 1))
    let start = ContinuousClock.now
    let arrival = Arrival(from: Endpoint(address("192.0.2.1")), to: MapServerRig.serverAddress)
    let before = Self.residentBytes()
    for i in 0..<Self.prefixCount {
      let now = start + .microseconds(50 * i)
      _ = server.receive(Self.register(i, nonce: UInt64(i) + 1, keys), arrival, now: now)
    }
    let byteCount = (Self.residentBytes() - before) / Self.prefixCount
    #expect(server.registrationCount == Self.prefixCount)

    let sample = stride(from: 0, to: Self.prefixCount, by: 17)
    let registers = sample.map { Self.register($0, nonce: UInt64(2_000_000 + $0), keys) }
    let refresh = Self.seconds { for bytes in registers { _ = server.receive(bytes, arrival, now: start + .seconds(60)) } }
    let requests = sample.map { i in
      MapServerRig.encapsulated(MapServerRig.request(["\(Self.eid(i).prefix.address)/32"]))
    }
    let ask = Self.seconds { for bytes in requests { _ = server.receive(bytes, arrival, now: start + .seconds(60)) } }
    #expect(server.counters.refused.isEmpty)
    #expect(server.counters.repliesSent == requests.count)

    var slowest = 0.0
    var now = start
    let expire = Self.seconds {
      now += .seconds(500)
      while let deadline = server.nextDeadline, deadline <= now { slowest = max(slowest, Self.seconds { _ = server.tick(now) }) }
    }
    #expect(server.registrationCount == 0)
    let microseconds = { (time: Double, count: Int) in (time / Double(count) * 1e8).rounded() / 100 }
    print(
      "map-server: \(microseconds(refresh, registers.count)) µs a Map-Register, \(microseconds(ask, requests.count)) µs a Map-Request,",
      "\(byteCount) bytes a registration, all expire in \(expire) s, slowest tick \(slowest * 1000) ms")
    #expect(microseconds(refresh, registers.count) < 30)
    #expect(microseconds(ask, requests.count) < 12)
    #expect(byteCount <= 600)
  }
}
