// SPDX-License-Identifier: Apache-2.0
//
// Configuration file → `Configuration`, or every fault in it. `xtr run`, `xtr check` and the reload on SIGHUP call
// `Configuration.load`. The order is the file's: router, encapsulation, decapsulation, locator hints, interfaces, instances, database,
// mapping system, mappings. What several keys must agree about is in ConfigurationChecks.swift.

import ControlAPI
import Logging
import Wire

extension Configuration {
  /// Reads and checks `file`; touches nothing. Thread: any but a worker.
  static func load(file: String) throws(ConfigurationErrors) -> Configuration { try check(ConfigurationFile(reading: file)) }

  /// Reads and checks the text of `file`.
  static func parse(_ bytes: [UInt8], file: String) throws(ConfigurationErrors) -> Configuration {
    try check(ConfigurationFile(parsing: bytes, file: file))
  }

  private static func check(_ file: ConfigurationFile) throws(ConfigurationErrors) -> Configuration {
    let configuration = ConfigurationReader(problems: file.problems).read(file.members)
    guard file.problems.isEmpty else { throw file.problems.errors() }
    return configuration
  }
}

/// Reads the tables of a file into a configuration. Where something is wrong a default stands in, and a problem is noted.
struct ConfigurationReader {
  let problems: ProblemList

  func read(_ members: [String: ConfigurationValue]) -> Configuration {
    let root = TableReader(
      members, path: "",
      keys: [
        "router", "encapsulation", "decapsulation", "locator-hints", "interface", "instance", "database", "mapping-system", "map-cache",
        "mapping",
      ], problems: problems)
    var configuration = Configuration()
    configuration.router = router(root)
    configuration.encapsulation = encapsulation(root)
    configuration.decapsulation = decapsulation(root)
    configuration.locatorHints = locatorHints(root)
    configuration.interfaces = interfaces(root)
    configuration.instances = instances(root)
    configuration.database = database(root)
    configuration.mappingSystem = mappingSystem(root)
    configuration.mapCache = mapCache(root)
    configuration.mappings = mappings(root, database: configuration.database)
    return configuration
  }

  // MARK: [router]

  private func router(_ root: TableReader) -> Configuration.Router {
    var router = Configuration.Router()
    let keys = ["workers", "control-socket", "control-group", "poll", "log-level", "frames-per-queue", "pin"]
    guard let table = root.table("router", keys: keys) else { return router }
    router.workers = workers(table) ?? router.workers
    router.controlSocket = socketPath(table) ?? router.controlSocket
    router.controlGroup = table.string("control-group", expected: "a group's name")
    router.poll = table.name("poll", Configuration.Poll.self) ?? router.poll
    router.logLevel = table.name("log-level", Logger.Level.self) ?? router.logLevel
    // At least a batch in each of the four rings; at most what 4 GiB of memory hold.
    router.framesPerQueue = table.integer("frames-per-queue", in: 256...1_048_576) ?? router.framesPerQueue
    router.pin = table.boolean("pin") ?? router.pin
    return router
  }

  private func workers(_ table: TableReader) -> Configuration.Workers? {
    guard let value = table.either("workers") else { return nil }
    switch value {
    case .string("auto"): return .auto
    case .integer(let count) where (1...256).contains(count): return .count(count)
    case .string, .integer, .boolean, .array, .table, .other:
      table.wrong("workers", expected: "\"auto\" or an integer in 1…256", found: value)
      return nil
    }
  }

  func socketPath(_ table: TableReader) -> String? {
    guard let path = table.string("control-socket", expected: "an absolute path") else { return nil }
    // sun_path is 108 bytes with its zero (unix(7)).
    guard path.hasPrefix("/"), path.utf8.count <= 107 else {
      table.problem("control-socket", "expected an absolute path of at most 107 bytes, found \"\(path)\"")
      return nil
    }
    return path
  }

  // MARK: [encapsulation], [decapsulation]

  private func encapsulation(_ root: TableReader) -> Configuration.Encapsulation {
    var encapsulation = Configuration.Encapsulation()
    guard let table = root.table("encapsulation", keys: ["ecn", "udp-checksum"]) else { return encapsulation }
    encapsulation.ecn = table.name("ecn", Configuration.ECN.self) ?? encapsulation.ecn
    encapsulation.udpChecksum = table.name("udp-checksum", Configuration.UDPChecksum.self) ?? encapsulation.udpChecksum
    return encapsulation
  }

  private func decapsulation(_ root: TableReader) -> Configuration.Decapsulation {
    var decapsulation = Configuration.Decapsulation()
    guard let table = root.table("decapsulation", keys: ["dscp", "verify-udp-checksum"]) else { return decapsulation }
    decapsulation.dscp = table.name("dscp", Configuration.DSCP.self) ?? decapsulation.dscp
    decapsulation.verifyUDPChecksum = table.boolean("verify-udp-checksum") ?? decapsulation.verifyUDPChecksum
    return decapsulation
  }

  // MARK: [locator-hints]

  private func locatorHints(_ root: TableReader) -> Configuration.LocatorHints {
    var hints = Configuration.LocatorHints()
    guard let table = root.table("locator-hints", keys: ["public-internet", "locator-status-bits", "echo-nonce"]) else { return hints }
    hints.publicInternet = table.boolean("public-internet") ?? hints.publicInternet
    hints.locatorStatusBits = table.boolean("locator-status-bits") ?? hints.locatorStatusBits
    hints.echoNonce = table.boolean("echo-nonce") ?? hints.echoNonce
    return hints
  }

  // MARK: [[interface]]

  private func interfaces(_ root: TableReader) -> [Configuration.Interface] {
    let keys = ["name", "role", "attach", "mode", "rlocs", "busy-poll", "instance-id", "vlan"]
    var names = FirstPlaces<String>()
    let interfaces = root.tables("interface", keys: keys).map { table in
      let interface = interface(table)
      if !interface.name.isEmpty, let first = names.repeats(interface.name, at: table.path) {
        table.problem("name", "\"\(interface.name)\" is \(first) already; expected each interface once")
      }
      return interface
    }
    if interfaces.count > Configuration.maximumInterfaces {
      root.problem("interface", "expected at most \(Configuration.maximumInterfaces), found \(interfaces.count)")
    }
    // A role that could not be read may be the one that is missing here.
    guard problems.isEmpty else { return interfaces }
    if !interfaces.contains(where: \.role.facesCore) {
      root.problem("interface", "expected at least one with role \"core\" or \"both\": without it no site can be reached")
    }
    if !interfaces.contains(where: \.role.facesSite) {
      root.problem("interface", "expected at least one with role \"site\" or \"both\": without it there is no site")
    }
    return interfaces
  }

  private func interface(_ table: TableReader) -> Configuration.Interface {
    table.require("name", "an interface's name such as \"eth0\"")
    table.require("role", TableReader.alternatives(Configuration.Role.allCases.map(\.rawValue)))
    var interface = Configuration.Interface(name: interfaceName(table) ?? "", role: .both)
    let role = table.name("role", Configuration.Role.self)
    interface.role = role ?? .both
    interface.attach = table.name("attach", Configuration.Attach.self) ?? .auto
    interface.mode = table.name("mode", Configuration.Mode.self) ?? .auto
    interface.rlocs = rlocs(table)
    interface.busyPoll = busyPoll(table)
    interface.instanceID = deliverable(table, "instance-id") ?? .zero
    interface.vlans = vlans(table)
    if role == .site, table.has("rlocs") {
      table.problem("rlocs", "an interface of role \"site\" has no RLOCs; expected role \"core\" or \"both\"")
    }
    for key in ["instance-id", "vlan"] where role == .core && table.has(key) {
      table.problem(key, "an interface of role \"core\" has no sites; expected role \"site\" or \"both\"")
    }
    if interface.attach == .generic, interface.mode == .zeroCopy {
      table.problem("mode", "\"zero-copy\" needs attach \"native\" or \"auto\", found \"generic\"")
    }
    return interface
  }

  private func interfaceName(_ table: TableReader) -> String? {
    guard let name = table.string("name", expected: "an interface's name such as \"eth0\"") else { return nil }
    // IFNAMSIZ is 16 with the zero; the kernel's dev_valid_name.
    let isValid =
      name.utf8.count <= 15 && name != "." && name != ".."
      && name.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") }
    guard isValid else {
      table.problem("name", "expected an interface's name of at most 15 bytes without space, \"/\" or \":\", found \"\(name)\"")
      return nil
    }
    return name
  }

  /// Addresses of ours, each once; nil when the key is absent.
  func rlocs(_ table: TableReader, _ key: String = "rlocs") -> [IPAddress]? {
    guard let addresses = table.addresses(key) else { return nil }
    var places = FirstPlaces<IPAddress>()
    for (address, path) in addresses {
      checkLocator(address, at: path)
      if let first = places.repeats(address, at: path) { problems.add(path, "\(address) is \(first) already; expected each once") }
    }
    if addresses.isEmpty, table.has(key), problems.isEmpty {
      table.problem(key, "expected at least one address; leave the key out to take all global addresses")
    }
    return addresses.map(\.address)
  }

  private func busyPoll(_ table: TableReader) -> Configuration.BusyPoll? {
    guard let settings = table.table("busy-poll", keys: ["microseconds", "budget"]) else { return nil }
    settings.require("microseconds", "an integer in 1…1000")
    let microseconds = settings.integer("microseconds", in: 1...1000) ?? 20
    // The kernel takes more than 64 from CAP_NET_ADMIN only, and packets of one poll are 64 anyway (NAPI_POLL_WEIGHT).
    return Configuration.BusyPoll(microseconds: microseconds, budget: settings.integer("budget", in: 1...1024) ?? 64)
  }

  private func vlans(_ table: TableReader) -> [Configuration.VLAN] {
    var places = FirstPlaces<Int>()
    return table.tables("vlan", keys: ["id", "instance-id"]).compactMap { vlan in
      vlan.require("id", "an integer in 1…4094")
      vlan.require("instance-id", "an integer in 0…16777214")
      let id = vlan.integer("id", in: 1...4094)
      if let id, let first = places.repeats(id, at: vlan.path) {
        vlan.problem("id", "VLAN \(id) is \(first) already; expected each once")
      }
      guard let id, let instanceID = deliverable(vlan, "instance-id") else { return nil }
      return Configuration.VLAN(id: UInt16(id), instanceID: instanceID)
    }
  }

  // MARK: [[instance]]

  private func instances(_ root: TableReader) -> [Configuration.Instance] {
    var places = FirstPlaces<InstanceID>()
    return root.tables("instance", keys: ["id", "table"]).compactMap { table in
      table.require("id", "an integer in 0…16777214")
      table.require("table", "the number of a kernel routing table")
      let id = deliverable(table, "id")
      if let id, let first = places.repeats(id, at: table.path) {
        table.problem("id", "instance \(id) is \(first) already; expected each once")
      }
      guard let id, let number = table.integer("table", in: 1...Int(UInt32.max)) else { return nil }
      return Configuration.Instance(id: id, table: UInt32(number))
    }
  }

  // MARK: [[database]], [[mapping]]

  private func database(_ root: TableReader) -> [Configuration.Database] {
    var places = FirstPlaces<EIDPrefix>()
    return root.tables("database", keys: ["instance-id", "eid-prefix", "rlocs"]).compactMap { table in
      let locators = table.has("rlocs") ? locators(table) : nil
      guard let eid = eid(table) else { return nil }
      if let first = places.repeats(eid, at: table.path) {
        table.problem("eid-prefix", "\(eid) is \(first) already; expected each once")
      }
      return Configuration.Database(eid: eid, locators: locators)
    }
  }

  private func mappings(_ root: TableReader, database: [Configuration.Database]) -> [ControlMapping] {
    let own = Set(database.map(\.eid))
    var places = FirstPlaces<EIDPrefix>()
    return root.tables("mapping", keys: ["instance-id", "eid-prefix", "rlocs", "action"]).compactMap { table in
      let eid = eid(table)
      let target = target(table)
      guard let eid else { return nil }
      if let first = places.repeats(eid, at: table.path) {
        table.problem("eid-prefix", "\(eid) is \(first) already; expected each once")
      }
      if own.contains(eid) {
        table.problem("eid-prefix", "\(eid) is one of our own prefixes ([[database]]); expected a prefix of another site")
      }
      return target.map { ControlMapping(eid: eid, target: $0) }
    }
  }

  func eid(_ table: TableReader) -> EIDPrefix? {
    table.require("eid-prefix", "a prefix such as \"10.1.0.0/24\"")
    let instanceID = table.has("instance-id") ? deliverable(table, "instance-id") : .zero
    guard let prefix = table.prefix("eid-prefix") else { return nil }
    if prefix.length > 0, prefix.address.isMulticast {
      table.problem("eid-prefix", "\(prefix) is multicast; expected a unicast prefix")
      return nil
    }
    return instanceID.map { EIDPrefix($0, prefix) }
  }

  private func target(_ table: TableReader) -> MappingTarget? {
    switch (table.has("rlocs"), table.has("action")) {
    case (false, false):
      problems.add(table.path, "expected rlocs or action; both are missing")
      return nil
    case (true, true):
      table.problem("action", "expected either rlocs or action, found both")
      return nil
    case (false, true): return table.name("action", MappingAction.self).map { .action($0) }
    case (true, false): return locators(table).map { .locators($0) }
    }
  }

  func locators(_ mapping: TableReader) -> [ControlLocator]? {
    let tables = mapping.tables("rlocs", keys: ["address", "priority", "weight"])
    var places = FirstPlaces<IPAddress>()
    let locators = tables.compactMap { table -> ControlLocator? in
      table.require("address", "an address such as \"192.0.2.1\"")
      let priority = table.integer("priority", in: 0...255) ?? 1
      let weight = table.integer("weight", in: 0...100) ?? 100
      guard let address = table.address("address") else { return nil }
      checkLocator(address, at: table.path("address"))
      if let first = places.repeats(address, at: table.path) {
        table.problem("address", "\(address) is \(first) already; expected each once")
      }
      return ControlLocator(address: address, priority: UInt8(priority), weight: UInt8(weight))
    }
    if case .array(let elements)? = mapping.either("rlocs"), elements.isEmpty {
      mapping.problem("rlocs", "expected at least one locator; a mapping without any has an action")
    }
    guard locators.count <= 255 else {
      mapping.problem("rlocs", "expected at most 255 locators, found \(locators.count)")
      return nil
    }
    return locators.isEmpty ? nil : locators
  }

  // MARK: Checks of single values

  /// Rule C9, and what cannot be reached beyond a link.
  func checkLocator(_ address: IPAddress, at path: String) {
    if let fault = address.locatorFault { problems.add(path, "\(address) is \(fault); expected a unicast address of the core") }
  }

  /// An instance ID that packets can be delivered in: not the one of encapsulated control messages (rule D14).
  private func deliverable(_ table: TableReader, _ key: String) -> InstanceID? {
    guard let instanceID = table.instanceID(key) else { return nil }
    guard instanceID != .control else {
      table.problem(key, "16777215 carries control messages; expected an integer in 0…16777214")
      return nil
    }
    return instanceID
  }
}

/// Remembers where a value stood first, to tell about the second place.
struct FirstPlaces<Value: Hashable> {
  private var places: [Value: String] = [:]

  /// The path where `value` stood before; nil the first time.
  mutating func repeats(_ value: Value, at path: String) -> String? {
    if let first = places[value] { return first }
    places[value] = path
    return nil
  }
}
