// SPDX-License-Identifier: Apache-2.0
//
// What a configuration has packets tell of locators, and what a status bit does to the forwarding state.

import ControlPlane
import MapCache
import Netlink
import Testing
import Wire

@testable import DataPlane
@testable import xtr

@Suite struct LocatorHintsTests {
  private func parse(_ text: String) throws -> Configuration {
    try Configuration.parse(Array((ConfigurationTests.ports + text).utf8), file: "site.toml")
  }

  @Test func `E12 nothing is sent or believed by default, nor on the public Internet whatever else is set`() throws {
    let all = "[locator-hints]\nlocator-status-bits = true\necho-nonce = true\n"
    for text in ["", "[locator-hints]\n", all + "public-internet = true\n"] {
      let configuration = try parse(text)
      #expect(!configuration.locatorHints.usesStatusBits && !configuration.locatorHints.usesEchoNonce)
      #expect(HintNotes.flags(configuration.engineSettings) == 0 && configuration.engineSettings.statusBits == nil)
    }
    let configuration = try parse(all)
    #expect(configuration.locatorHints.usesStatusBits && configuration.locatorHints.usesEchoNonce)
    #expect(HintNotes.flags(configuration.engineSettings) == LISPFlag.locatorStatusBits | LISPFlag.nonce)
  }

  private static func database(_ prefix: String, _ rlocs: [String]) -> String {
    let list = rlocs.map { "{ address = \"\($0)\" }" }.joined(separator: ", ")
    return "[[database]]\neid-prefix = \"\(prefix)\"\n" + (rlocs.isEmpty ? "" : "rlocs = [\(list)]\n")
  }

  @Test func `E11 our bits have places only where all our mappings name the same locators, and nobody merges them`() throws {
    let two = ["192.0.2.2", "192.0.2.1"]
    let server = "[mapping-system]\n[[mapping-system.map-server]]\naddress = \"203.0.113.1\"\nkey = \"k\"\nmerge = "
    for (text, hasPlaces) in [
      ("", false), (Self.database("10.1.0.0/24", []), false), (Self.database("10.1.0.0/24", two), true),
      (Self.database("10.1.0.0/24", two) + Self.database("10.2.0.0/24", two.reversed()), true),
      (Self.database("10.1.0.0/24", two) + Self.database("10.2.0.0/24", ["192.0.2.1"]), false),
      (Self.database("10.1.0.0/24", two) + Self.database("10.2.0.0/24", []), false),
      (Self.database("10.1.0.0/24", two) + server + "false\n", true), (Self.database("10.1.0.0/24", two) + server + "true\n", false),
    ] { #expect(try parse(text).hasPlacesForStatusBits == hasPlaces, "\(text)") }
  }

  @Test func `E11 bit i is set where locator i is up, in canonical order`() throws {
    let configuration = try parse(Self.database("10.1.0.0/24", ["2001:db8::1", "192.0.2.2", "192.0.2.1"]))
    let eid = configuration.database[0].eid
    func bits(_ up: [Bool]) throws -> UInt32? {
      let locators = try ["2001:db8::1", "192.0.2.2", "192.0.2.1"].enumerated().map {
        SiteLocator(try #require(IPAddress($1)), isReachable: up[$0])
      }
      return configuration.statusBits([eid: locators])
    }
    #expect(try bits([true, true, true]) == 0b111)
    #expect(try bits([false, true, true]) == 0b011)
    #expect(try bits([true, false, true]) == 0b101)
    #expect(try bits([true, true, false]) == 0b110)
    #expect(configuration.statusBits([:]) == nil)
  }

  @Test func `a mapping that its site's status bits mark has a set of its own, and goes on counting`() throws {
    let publisher = try ForwardingPublisher(mappingCapacity: 1 << 12, handleCapacity: 1 << 12)
    let kernel = try KernelView(following: [])
    let compiler = ForwardingCompiler(publisher: publisher, underlay: Underlay(kernel: kernel, ports: []), kernel: kernel, workers: { [] })
    let locators = (1...2).map { Locator(address: .v4(IPv4Address(198, 51, 100, $0))) }
    let mappings = try ["10.2.0.0/24", "10.3.0.0/24"].map {
      Mapping(eid: EIDPrefix(.zero, try IPPrefix(parsing: $0)), target: Mapping.Target(locators), source: .configuration, now: .now)
    }
    var sites = StatusBits()
    for mapping in mappings { try compiler.set(mapping.eid, mapping.target) }
    let before = mappings.map { publisher.mapping($0.eid) }
    #expect(before[0]?.set == before[1]?.set && publisher.counts.sets == 1)

    _ = sites.note(0b10, count: 8, from: locators[1].address, about: mappings[0], now: .now)
    compiler.told = { [sites] in sites.told($0, $1) }
    for mapping in mappings { try compiler.set(mapping.eid, mapping.target) }
    let marked = mappings.map { publisher.mapping($0.eid) }
    #expect(marked[0]?.set != before[0]?.set && marked[0]?.counters == before[0]?.counters)
    #expect(marked[1]?.set == before[1]?.set)

    compiler.told = { $1 }
    for mapping in mappings { try compiler.set(mapping.eid, mapping.target) }
    #expect(publisher.mapping(mappings[0].eid)?.set == before[1]?.set)
    for mapping in mappings { try compiler.remove(mapping.eid) }
    compiler.publish()
    publisher.reclaim()
    #expect(publisher.counts == (0, 0, 0))
  }
}
