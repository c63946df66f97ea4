// SPDX-License-Identifier: Apache-2.0
//
// Configuration files: a full one is understood, and of a bad one every fault is told with file, line, key and what was expected.

import ControlAPI
import Foundation
import Testing
import Wire

@testable import xtr

@Suite struct ConfigurationTests {
  /// The shortest file that is right: lines 1 to 6.
  static let ports = """
    [[interface]]
    name = "core0"
    role = "core"
    [[interface]]
    name = "site0"
    role = "site"

    """

  private func errors(_ text: String) -> [String] {
    do throws(ConfigurationErrors) {
      _ = try Configuration.parse(Array(text.utf8), file: "site.toml")
      return []
    } catch {
      return error.problems.map(\.description)
    }
  }

  @Test func `a full file is understood`() throws {
    let text = """
      [router]
      workers = 2
      control-socket = "/run/xtr/a.sock"
      control-group = "netdev"
      poll = "busy"
      log-level = "debug"
      frames-per-queue = 4096
      pin = false
      [encapsulation]
      ecn = "compatibility"
      udp-checksum = "compute"
      [decapsulation]
      dscp = "copy-outer"
      verify-udp-checksum = true
      [locator-hints]
      public-internet = false
      locator-status-bits = true
      echo-nonce = true
      [[interface]]
      name = "core0"
      role = "core"
      attach = "native"
      mode = "zero-copy"
      rlocs = ["192.0.2.1", "2001:db8::1"]
      busy-poll = { microseconds = 30, budget = 128 }
      [[interface]]
      name = "site0"
      role = "both"
      attach = "generic"
      mode = "copy"
      instance-id = 3
      [[interface.vlan]]
      id = 100
      instance-id = 7
      [[interface.vlan]]
      id = 4094
      instance-id = 7
      [[instance]]
      id = 7
      table = 102
      [[database]]
      eid-prefix = "10.1.0.0/24"
      [[database]]
      instance-id = 7
      eid-prefix = "2001:db8:1::/48"
      [[mapping]]
      instance-id = 7
      eid-prefix = "10.2.0.0/24"
      rlocs = [{ address = "192.0.2.2", priority = 0, weight = 50 }, { address = "2001:db8::2" }]
      [[mapping]]
      eid-prefix = "0.0.0.0/0"
      action = "native-forward"
      """
    let seven = InstanceID(truncating: 7)
    let configuration = try Configuration.parse(Array(text.utf8), file: "site.toml")
    #expect(
      configuration.router
        == Configuration.Router(
          workers: .count(2), controlSocket: "/run/xtr/a.sock", controlGroup: "netdev", poll: .busy, logLevel: .debug,
          framesPerQueue: 4096, pin: false))
    #expect(configuration.encapsulation == Configuration.Encapsulation(ecn: .compatibility, udpChecksum: .compute))
    #expect(configuration.decapsulation == Configuration.Decapsulation(dscp: .copyOuter, verifyUDPChecksum: true))
    #expect(configuration.locatorHints == Configuration.LocatorHints(locatorStatusBits: true, echoNonce: true))
    #expect(
      configuration.interfaces == [
        Configuration.Interface(
          name: "core0", role: .core, attach: .native, mode: .zeroCopy,
          rlocs: [.v4(IPv4Address(192, 0, 2, 1)), .v6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 1))],
          busyPoll: Configuration.BusyPoll(microseconds: 30, budget: 128)),
        Configuration.Interface(
          name: "site0", role: .both, attach: .generic, mode: .copy, instanceID: InstanceID(truncating: 3),
          vlans: [Configuration.VLAN(id: 100, instanceID: seven), Configuration.VLAN(id: 4094, instanceID: seven)]),
      ])
    #expect(configuration.instances == [Configuration.Instance(id: seven, table: 102)])
    #expect(
      configuration.database.map(\.eid) == [
        EIDPrefix(.zero, try IPPrefix(parsing: "10.1.0.0/24")), EIDPrefix(seven, try IPPrefix(parsing: "2001:db8:1::/48")),
      ])
    let locators = [
      ControlLocator(address: .v4(IPv4Address(192, 0, 2, 2)), priority: 0, weight: 50),
      ControlLocator(address: .v6(IPv6Address(high: 0x2001_0DB8_0000_0000, low: 2)), priority: 1, weight: 100),
    ]
    #expect(
      configuration.mappings == [
        ControlMapping(eid: EIDPrefix(seven, try IPPrefix(parsing: "10.2.0.0/24")), target: .locators(locators)),
        ControlMapping(eid: EIDPrefix(.zero, try IPPrefix(parsing: "0.0.0.0/0")), target: .action(.nativeForward)),
      ])
  }

  @Test func `what a file leaves out has its default`() throws {
    let configuration = try Configuration.parse(Array(Self.ports.utf8), file: "site.toml")
    #expect(configuration.router == Configuration.Router())
    #expect(configuration.router.controlSocket == "/run/xtr/control.sock")
    #expect(configuration.router.workers == .auto && configuration.router.pin && configuration.router.poll == .adaptive)
    #expect(configuration.interfaces.map(\.rlocs) == [nil, nil])
    #expect(configuration == (try Configuration.parse(Array(("# the same\n" + Self.ports).utf8), file: "other.toml")))
  }

  /// Each: what is put before or after the two interfaces (lines 1 to 6), and the one fault that is told.
  static let faults: [(text: String, fault: String)] = [
    // The text itself.
    ("x = \n" + ports, ":1: not TOML:"),
    (ports + "[router\n", ":7: not TOML:"),
    (ports + "[router]\npin = true\npin = true\n", ":9: not TOML:"),
    (ports + "a = 1\u{0}\n", ":7: expected text, found a zero byte"),
    // Keys.
    (
      ports + "[routr]\n",
      ":7: routr: unknown key; expected \"router\", \"encapsulation\", \"decapsulation\", \"locator-hints\", \"interface\", \"instance\", \"database\", \"mapping-system\", \"map-cache\" or \"mapping\""
    ),
    (
      ports + "[router]\n\nworker = 2\n",
      ":9: router.worker: unknown key; expected \"workers\", \"control-socket\", \"control-group\", \"poll\", \"log-level\", "
        + "\"frames-per-queue\" or \"pin\""
    ),
    ("router = 3\n" + ports, ":1: router: expected a table, found 3"),
    // [router]
    (ports + "[router]\nworkers = 0\n", ":8: router.workers: expected \"auto\" or an integer in 1…256, found 0"),
    (ports + "[router]\nworkers = \"two\"\n", ":8: router.workers: expected \"auto\" or an integer in 1…256, found \"two\""),
    (ports + "[router]\nworkers = 1.5\n", ":8: router.workers: expected \"auto\" or an integer in 1…256, found a fraction"),
    (
      ports + "[router]\ncontrol-socket = \"control.sock\"\n",
      ":8: router.control-socket: expected an absolute path of at most 107 bytes, found \"control.sock\""
    ),
    (ports + "[router]\ncontrol-socket = \"\"\n", ":8: router.control-socket: expected an absolute path, found \"\""),
    (ports + "[router]\npoll = \"lazy\"\n", ":8: router.poll: expected \"adaptive\" or \"busy\", found \"lazy\""),
    (ports + "[router]\npin = \"yes\"\n", ":8: router.pin: expected true or false, found \"yes\""),
    (ports + "[router]\nframes-per-queue = 12\n", ":8: router.frames-per-queue: expected an integer in 256…1048576, found 12"),
    (
      ports + "[router]\nlog-level = \"loud\"\n",
      ":8: router.log-level: expected \"trace\", \"debug\", \"info\", \"notice\", \"warning\", \"error\" or \"critical\", found \"loud\""
    ),
    // [encapsulation], [decapsulation]
    (ports + "[encapsulation]\necn = 1\n", ":8: encapsulation.ecn: expected \"normal\" or \"compatibility\", found 1"),
    (ports + "[encapsulation]\nudp-checksum = \"on\"\n", ":8: encapsulation.udp-checksum: expected \"zero\" or \"compute\", found \"on\""),
    (ports + "[locator-hints]\necho-nonce = 1\n", ":8: locator-hints.echo-nonce: expected true or false, found 1"),
    (ports + "[decapsulation]\ndscp = \"copy\"\n", ":8: decapsulation.dscp: expected \"keep-inner\" or \"copy-outer\", found \"copy\""),
    (
      ports + "[decapsulation]\nverify-udp-checksum = 1979-05-27\n",
      ":8: decapsulation.verify-udp-checksum: expected true or false, found a date"
    ),
    // [[interface]]
    (ports + "[[interface]]\nrole = \"core\"\n", ":7: interface[2].name: expected an interface's name such as \"eth0\"; it is missing"),
    (ports + "[[interface]]\nname = \"x\"\n", ":7: interface[2].role: expected \"site\", \"core\" or \"both\"; it is missing"),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"sit\"\n",
      ":9: interface[2].role: expected \"site\", \"core\" or \"both\", found \"sit\""
    ),
    (
      ports + "[[interface]]\nname = \"a-name-too-long-\"\nrole = \"core\"\n",
      ":8: interface[2].name: expected an interface's name of at most 15 bytes without space, \"/\" or \":\", found \"a-name-too-long-\""
    ),
    (
      ports + "[[interface]]\nname = \"core0\"\nrole = \"core\"\n",
      ":8: interface[2].name: \"core0\" is interface[0] already; expected each interface once"
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\nattach = \"driver\"\n",
      ":10: interface[2].attach: expected \"auto\", \"native\" or \"generic\", found \"driver\""
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\nmode = \"fast\"\n",
      ":10: interface[2].mode: expected \"auto\", \"zero-copy\" or \"copy\", found \"fast\""
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\nattach = \"generic\"\nmode = \"zero-copy\"\n",
      ":11: interface[2].mode: \"zero-copy\" needs attach \"native\" or \"auto\", found \"generic\""
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\nrlocs = [\n  \"192.0.2.1\",\n  \"192.0.2\"]\n",
      ":12: interface[2].rlocs[1]: expected an address such as \"192.0.2.1\" or \"2001:db8::1\", found \"192.0.2\""
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\nrlocs = \"192.0.2.1\"\n",
      ":10: interface[2].rlocs: expected an array of addresses, found \"192.0.2.1\""
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\nrlocs = []\n",
      ":10: interface[2].rlocs: expected at least one address; leave the key out to take all global addresses"
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\nrlocs = [\"224.0.0.1\"]\n",
      ":10: interface[2].rlocs[0]: 224.0.0.1 is a multicast address; expected a unicast address of the core"
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\nrlocs = [\"192.0.2.1\", \"192.0.2.1\"]\n",
      ":10: interface[2].rlocs[1]: 192.0.2.1 is interface[2].rlocs[0] already; expected each once"
    ),
    (
      ports + "rlocs = [\"192.0.2.1\"]\n",
      ":7: interface[1].rlocs: an interface of role \"site\" has no RLOCs; expected role \"core\" or \"both\""
    ),
    (
      ports + "[[interface]]\nname = \"x\"\nrole = \"core\"\ninstance-id = 7\n",
      ":10: interface[2].instance-id: an interface of role \"core\" has no sites; expected role \"site\" or \"both\""
    ),
    (ports + "busy-poll = { microseconds = 0 }\n", ":7: interface[1].busy-poll.microseconds: expected an integer in 1…1000, found 0"),
    (ports + "busy-poll = { budget = 64 }\n", ":7: interface[1].busy-poll.microseconds: expected an integer in 1…1000; it is missing"),
    (ports + "instance-id = 16777216\n", ":7: interface[1].instance-id: expected an integer in 0…16777215, found 16777216"),
    (
      ports + "instance-id = 0xFFFFFF\n",
      ":7: interface[1].instance-id: 16777215 carries control messages; expected an integer in 0…16777214"
    ),
    (ports + "[[interface.vlan]]\nid = 4095\ninstance-id = 1\n", ":8: interface[1].vlan[0].id: expected an integer in 1…4094, found 4095"),
    (ports + "[[interface.vlan]]\nid = 5\n", ":7: interface[1].vlan[0].instance-id: expected an integer in 0…16777214; it is missing"),
    (
      ports + "vlan = [{ id = 5, instance-id = 1 },\n  { id = 5, instance-id = 2 }]\n",
      ":8: interface[1].vlan[1].id: VLAN 5 is interface[1].vlan[0] already; expected each once"
    ),
    (
      "[[interface]]\nname = \"a\"\nrole = \"core\"\n",
      ":1: interface: expected at least one with role \"site\" or \"both\": without it there is no site"
    ),
    (
      "[[interface]]\nname = \"a\"\nrole = \"site\"\n",
      ":1: interface: expected at least one with role \"core\" or \"both\": without it no site can be reached"
    ),
    (
      (0..<17).map { "[[interface]]\nname = \"p\($0)\"\nrole = \"both\"\n" }.joined(),
      ":1: interface: expected at most 16, found 17"
    ),
    // [[instance]]
    (ports + "[[instance]]\nid = 7\ntable = 0\n", ":9: instance[0].table: expected an integer in 1…4294967295, found 0"),
    (ports + "[[instance]]\nid = -1\ntable = 5\n", ":8: instance[0].id: expected an integer in 0…16777215, found -1"),
    (
      ports + "[[instance]]\nid = 7\ntable = 5\n[[instance]]\nid = 7\ntable = 6\n",
      ":11: instance[1].id: instance 7 is instance[0] already; expected each once"
    ),
    // [[database]]
    (ports + "[[database]]\n", ":7: database[0].eid-prefix: expected a prefix such as \"10.1.0.0/24\"; it is missing"),
    (ports + "[database]\neid-prefix = \"10.1.0.0/24\"\n", ":7: database: expected an array of tables, found a table"),
    (
      ports + "[[database]]\neid-prefix = \"10.1.0.1/24\"\n",
      ":8: database[0].eid-prefix: 10.1.0.1/24 has bits set beyond its length; 10.1.0.0/24 is the prefix"
    ),
    (ports + "[[database]]\neid-prefix = \"10.1.0.0/33\"\n", ":8: database[0].eid-prefix: prefix length 33 is not in 0…32"),
    (
      ports + "[[database]]\neid-prefix = \"site\"\n",
      ":8: database[0].eid-prefix: \"site\" is not an address or prefix such as 10.1.0.0/24 or 2001:db8::/32"
    ),
    (ports + "[[database]]\neid-prefix = 10\n", ":8: database[0].eid-prefix: expected a prefix such as \"10.1.0.0/24\", found 10"),
    (
      ports + "[[database]]\neid-prefix = \"ff02::/16\"\n", ":8: database[0].eid-prefix: ff02::/16 is multicast; expected a unicast prefix"
    ),
    (
      ports + "[[database]]\neid-prefix = \"10.1.0.0/24\"\n[[database]]\neid-prefix = \"10.1.0.0/24\"\ninstance-id = 0\n",
      ":10: database[1].eid-prefix: [0]10.1.0.0/24 is database[0] already; expected each once"
    ),
    // [[mapping]]
    (ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\n", ":7: mapping[0]: expected rlocs or action; both are missing"),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\naction = \"drop\"\nrlocs = [{ address = \"192.0.2.2\" }]\n",
      ":9: mapping[0].action: expected either rlocs or action, found both"
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\naction = \"reject\"\n",
      ":9: mapping[0].action: expected \"no-action\", \"native-forward\", \"send-map-request\", \"drop\", \"policy-denied\" or "
        + "\"authentication-failure\", found \"reject\""
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = []\n",
      ":9: mapping[0].rlocs: expected at least one locator; a mapping without any has an action"
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [\"192.0.2.2\"]\n",
      ":9: mapping[0].rlocs[0]: expected a table, found \"192.0.2.2\""
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [{ priority = 1 }]\n",
      ":9: mapping[0].rlocs[0].address: expected an address such as \"192.0.2.1\"; it is missing"
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [{ address = \"192.0.2.2\", priority = 256 }]\n",
      ":9: mapping[0].rlocs[0].priority: expected an integer in 0…255, found 256"
    ),
    (
      ports
        + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [\n{ address = \"192.0.2.2\" },\n{ address = \"192.0.2.3\", weight = 101 }]\n",
      ":11: mapping[0].rlocs[1].weight: expected an integer in 0…100, found 101"
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [{ address = \"192.0.2.2\", port = 4341 }]\n",
      ":9: mapping[0].rlocs[0].port: unknown key; expected \"address\", \"priority\" or \"weight\""
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [{ address = \"0.0.0.0\" }]\n",
      ":9: mapping[0].rlocs[0].address: 0.0.0.0 is the unspecified address; expected a unicast address of the core"
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [{ address = \"255.255.255.255\" }]\n",
      ":9: mapping[0].rlocs[0].address: 255.255.255.255 is the broadcast address; expected a unicast address of the core"
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [{ address = \"::1\" }]\n",
      ":9: mapping[0].rlocs[0].address: ::1 is a loopback address; expected a unicast address of the core"
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [{ address = \"fe80::1\" }]\n",
      ":9: mapping[0].rlocs[0].address: fe80::1 is a link-local address; expected a unicast address of the core"
    ),
    (
      ports + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\nrlocs = [{ address = \"192.0.2.2\" }, { address = \"192.0.2.2\" }]\n",
      ":9: mapping[0].rlocs[1].address: 192.0.2.2 is mapping[0].rlocs[0] already; expected each once"
    ),
    (
      ports
        + "[[mapping]]\neid-prefix = \"10.2.0.0/24\"\naction = \"drop\"\n[[mapping]]\neid-prefix = \"10.2.0.0/24\"\naction = \"drop\"\n",
      ":11: mapping[1].eid-prefix: [0]10.2.0.0/24 is mapping[0] already; expected each once"
    ),
    (
      ports + "[[database]]\neid-prefix = \"10.2.0.0/24\"\n[[mapping]]\neid-prefix = \"10.2.0.0/24\"\naction = \"drop\"\n",
      ":10: mapping[0].eid-prefix: [0]10.2.0.0/24 is one of our own prefixes ([[database]]); expected a prefix of another site"
    ),
  ]

  @Test(arguments: 0..<Self.faults.count)
  func `a fault is told with file, line, key and what was expected`(index: Int) throws {
    let (text, fault) = Self.faults[index]
    let errors = errors(text)
    #expect(errors.count == 1, "\(errors)")
    let error = try #require(errors.first)
    if fault.hasSuffix("not TOML:") {
      // The parser's own words follow.
      #expect(error.hasPrefix("site.toml" + fault) && error.count > fault.count + 12)
    } else {
      #expect(error == "site.toml" + fault)
    }
  }

  @Test func `there are at least forty kinds of faults in the table`() { #expect(Self.faults.count >= 60) }

  @Test func `all faults are told, in the order of the lines`() {
    let text = """
      [router]
      pin = 3
      [[interface]]
      name = "core0"
      role = "sit"
      colour = "red"
      [[mapping]]
      eid-prefix = "10.2.0.1/24"
      rlocs = [{ address = "192.0.2.2", weight = 200 }]
      """
    #expect(
      errors(text) == [
        "site.toml:2: router.pin: expected true or false, found 3",
        "site.toml:5: interface[0].role: expected \"site\", \"core\" or \"both\", found \"sit\"",
        "site.toml:6: interface[0].colour: unknown key; expected \"name\", \"role\", \"attach\", \"mode\", \"rlocs\", \"busy-poll\", "
          + "\"instance-id\" or \"vlan\"",
        "site.toml:8: mapping[0].eid-prefix: 10.2.0.1/24 has bits set beyond its length; 10.2.0.0/24 is the prefix",
        "site.toml:9: mapping[0].rlocs[0].weight: expected an integer in 0…100, found 200",
      ])
  }

  @Test func `an empty file lacks its interfaces`() {
    #expect(errors("").count == 2)
    #expect(errors("").allSatisfy { $0.hasPrefix("site.toml: interface: expected at least one") })
  }

  @Test func `bytes that are not UTF-8 are told with their line`() {
    do throws(ConfigurationErrors) {
      _ = try Configuration.parse(Array("a = 1\nb = \"".utf8) + [0xFF, 0x22, 0x0A], file: "site.toml")
      Issue.record("understood")
    } catch {
      #expect(error.description == "site.toml:2: expected UTF-8 text, found bytes that are not")
    }
  }

  @Test func `a file that cannot be read is told with the reason`() {
    func reason(_ file: String) -> String {
      do throws(ConfigurationErrors) {
        _ = try Configuration.load(file: file)
        return "none"
      } catch {
        return error.description
      }
    }
    #expect(reason("/nonexistent/site.toml") == "/nonexistent/site.toml: cannot be read: there is no such file")
    #expect(reason("/proc") == "/proc: cannot be read: it is a directory")
  }

  @Test func `every truncation of a full file is understood or refused, never a trap`() {
    let bytes = Array(
      (Self.ports + "vlan = [{ id = 5, instance-id = 1 }]\n[[mapping]]\neid-prefix = \"10.2.0.0/24\"\naction = \"drop\"\n").utf8)
    var refused = 0
    for count in 0..<bytes.count {
      do throws(ConfigurationErrors) {
        _ = try Configuration.parse(Array(bytes[..<count]), file: "site.toml")
      } catch {
        refused += 1
        #expect(!error.problems.isEmpty)
      }
    }
    #expect(refused > bytes.count / 2)
  }
}
