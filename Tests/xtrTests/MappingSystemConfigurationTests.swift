// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import Testing
import Wire

@testable import xtr

@Suite struct MappingSystemConfigurationTests {
  private func parse(_ text: String) throws -> Configuration {
    try Configuration.parse(Array((ConfigurationTests.ports + text).utf8), file: "site.toml")
  }

  private func errors(_ text: String) -> [String] {
    do throws(ConfigurationErrors) {
      _ = try Configuration.parse(Array((ConfigurationTests.ports + text).utf8), file: "site.toml")
      return []
    } catch {
      return error.problems.map(\.description)
    }
  }

  private static func prefix(_ text: String, _ instance: Int = 0) throws -> EIDPrefix {
    EIDPrefix(try #require(InstanceID(instance)), try IPPrefix(parsing: text))
  }

  @Test func `a mapping system is understood`() throws {
    let configuration = try parse(
      """
      [[database]]
      eid-prefix = "10.1.0.0/24"
      instance-id = 7
      rlocs = [{ address = "192.0.2.1", priority = 2, weight = 50 }]
      [mapping-system]
      map-resolvers = ["192.0.2.100", "2001:db8::100"]
      requests-per-second = 500
      replies-per-second = 300
      probe-interval = 3
      ttl-minutes = 60
      xtr-id = "000102030405060708090a0b0c0d0e0f"
      site-id = 9
      [[mapping-system.map-server]]
      address = "192.0.2.100"
      key = "secret"
      key-id = 3
      algorithm = "hmac-sha-1-96"
      proxy-reply = false
      merge = true
      use-ttl = true
      [[mapping-system.subscription]]
      eid-prefix = "10.2.0.0/16"
      [map-cache]
      maximum = 1000
      maximum-negative = 50
      reserved = [{ instance-id = 7, eid-prefix = "10.9.0.0/16" }]
      """)
    let system = try #require(configuration.mappingSystem)
    #expect(system.mapResolvers.map(\.description) == ["192.0.2.100", "2001:db8::100"])
    #expect(system.requestsPerSecond == 500 && system.repliesPerSecond == 300)
    #expect(system.probeSeconds == 3)
    #expect(system.ttlMinutes == 60)
    #expect(system.identity == XTRIdentity(xtrIDHigh: 0x0001_0203_0405_0607, xtrIDLow: 0x0809_0A0B_0C0D_0E0F, siteID: 9))
    #expect(system.subscriptions.map(\.eid) == [try Self.prefix("10.2.0.0/16")])
    let server = try #require(system.mapServers.first)
    #expect(server.key == AuthenticationKey(id: 3, algorithm: .hmacSHA1, secret: Array("secret".utf8)))
    #expect(!server.proxyReply && server.merge && server.useTTL)
    #expect(configuration.database.first?.eid == (try Self.prefix("10.1.0.0/24", 7)))
    #expect(configuration.database.first?.locators?.first?.weight == 50)
    #expect(configuration.mapCache == .init(maximum: 1000, maximumNegative: 50, reserved: [try Self.prefix("10.9.0.0/16", 7)]))
  }

  @Test func `what is left out has its default, and without the table there is no mapping system`() throws {
    #expect(try parse("").mappingSystem == nil)
    let system = try #require(try parse("[mapping-system]\nmap-resolvers = [\"192.0.2.100\"]\nprobe-interval = 0").mappingSystem)
    #expect(system.probeSeconds == nil)
    #expect(system.ttlMinutes == 1440)
    #expect(system.identity == nil)
  }

  @Test func `faults of a mapping system are told with line and key`() {
    #expect(
      errors("[mapping-system]") == [
        "site.toml:7: mapping-system: expected map-resolvers or [[mapping-system.map-server]]; both are missing"
      ])
    #expect(
      errors("[mapping-system]\nmap-resolvers = [\"224.0.0.1\", \"192.0.2.1\", \"192.0.2.1\"]") == [
        "site.toml:8: mapping-system.map-resolvers[0]: 224.0.0.1 is a multicast address; expected a unicast address of the core",
        "site.toml:8: mapping-system.map-resolvers[2]: 192.0.2.1 is mapping-system.map-resolvers[1] already; expected each once",
      ])
    #expect(
      errors("[mapping-system]\nxtr-id = \"12\"\n[[mapping-system.map-server]]\naddress = \"192.0.2.1\"").sorted() == [
        "site.toml:8: mapping-system.xtr-id: expected 32 hexadecimal digits, found \"12\"",
        "site.toml:9: mapping-system.map-server[0].key: expected the secret that the map-server knows us by; it is missing",
      ])
  }
}
