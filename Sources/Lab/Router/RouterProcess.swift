// SPDX-License-Identifier: Apache-2.0
//
// One `xtr run` or `xtr map-server` as a child process inside its namespace: its configuration file, its start and its ends, and what its control socket
// says. The demo and the namespace tests see the router only from here, as an operator would.

import ControlAPI
import Glibc
import Synchronization
import Wire

/// Thread: any, one call at a time.
public final class RouterProcess: Sendable {
  public let name: String
  public let namespace: Namespace
  public let configurationPath: String
  public let controlSocket: String
  private let binary: String
  private let role: Role
  private let launcher: [String]
  private let child = Mutex<ChildProcess?>(nil)

  /// Which command it is; the rest is the same for both.
  public enum Role: String, Sendable {
    case router = "run"
    case mapServer = "map-server"
  }

  /// Nothing runs yet. `binary`: the xtr to start; `launcher`: words of a command that starts it in its own place, ["env", "NAME=value"].
  public init(
    _ name: String, in namespace: Namespace, binary: String, directory: String, role: Role = .router, launcher: [String] = []
  ) {
    self.role = role
    self.launcher = launcher
    self.name = name
    self.namespace = namespace
    self.binary = binary
    configurationPath = "\(directory)/\(name).toml"
    controlSocket = "\(directory)/\(name).sock"
  }

  deinit { child.withLock { _ = $0?.stop(grace: .seconds(1)) } }

  // MARK: Life

  public var process: ChildProcess? { child.withLock { $0 } }

  /// Write the configuration file; a running router sees it at its next SIGHUP.
  public func write(_ configuration: RouterConfiguration) throws(LabError) { try write(text: configuration.text) }

  public func write(text: String) throws(LabError) {
    guard let file = fopen(configurationPath, "w") else { throw .lastCall("writing \(configurationPath)") }
    fputs(text, file)
    fclose(file)
  }

  /// Start it and return at once.
  public func start() throws(LabError) {
    let process = try ChildProcess(launcher + [binary, role.rawValue, configurationPath], in: namespace)
    child.withLock { $0 = process }
  }

  /// Wait until the control socket says "forwarding", or that a map-server listens. If the process ends instead: what it said, `impossibleHere` for status 77.
  public func waitUntilForwarding(atMost limit: Duration = .seconds(10)) throws(LabError) {
    try Interruption.wait(for: "\(name) to forward", atMost: limit) { () throws(LabError) in
      if let process, let status = process.exitStatus { throw Self.error(of: process, status) }
      switch role {
      case .router: return (try? status())?.state == .forwarding
      case .mapServer: return (try? control())?.addresses.isEmpty == false
      }
    }
  }

  /// Run it where it is expected to end by itself, and return how and with which words.
  public func runToItsEnd(atMost limit: Duration = .seconds(10)) throws(LabError) -> (status: ExitStatus, said: String) {
    let process = try ChildProcess(launcher + [binary, role.rawValue, configurationPath], in: namespace)
    let status = try process.wait(atMost: limit)
    return (status, process.standardError + process.standardOutput)
  }

  /// SIGTERM and wait; SIGKILL after 10 s. How it ended.
  @discardableResult
  public func stop() -> ExitStatus? {
    let process = child.withLock { running in
      defer { running = nil }
      return running
    }
    return process?.stop(grace: .seconds(10))
  }

  public func signal(_ number: Int32) { process?.signal(number) }

  /// Everything it wrote to its log up to now.
  public var log: String { process?.standardError ?? "" }

  private static func error(of process: ChildProcess, _ status: ExitStatus) -> LabError {
    let said = process.standardError.isEmpty ? process.standardOutput : process.standardError
    if status == .exited(77) {
      return .impossibleHere(said.split(separator: "\n").last.map(String.init) ?? "xtr cannot run here")
    }
    return .command(process.command, status: status.description, output: said)
  }

  // MARK: Control socket

  /// One request over a connection of its own: a restarted router is simply the next one. An answer that says no is an error.
  public func ask(_ operation: ControlRequest.Operation) throws(LabError) -> ControlAnswer {
    do throws(ControlClientError) {
      var client = try ControlClient(path: controlSocket, name: "lab", timeoutSeconds: 5)
      return try client.request(operation)
    } catch {
      throw .wrongData("\(name): \(error)")
    }
  }

  public func status() throws(LabError) -> RouterStatus {
    guard case .status(let status) = try ask(.status) else { throw unexpected("status") }
    return status
  }

  public func interfaces() throws(LabError) -> [InterfaceStatus] {
    guard case .interfaces(let rows) = try ask(.interfaces) else { throw unexpected("interfaces") }
    return rows
  }

  public func drops() throws(LabError) -> [DropStatus] {
    guard case .drops(let rows) = try ask(.drops) else { throw unexpected("drops") }
    return rows
  }

  public func neighbours() throws(LabError) -> [NeighbourStatus] {
    guard case .neighbours(let rows) = try ask(.neighbours) else { throw unexpected("neighbours") }
    return rows
  }

  public func mappings() throws(LabError) -> [MappingEntry] {
    guard case .mappings(let rows, _) = try ask(.list(instance: nil, after: nil, limit: 1000)) else { throw unexpected("list") }
    return rows
  }

  /// What a map-server has registered.
  public func registered() throws(LabError) -> [RegisteredEntry] {
    guard case .registered(let rows, _) = try ask(.registrations(after: nil, limit: 1000)) else { throw unexpected("registrations") }
    return rows
  }

  /// What a router has registered where.
  public func registrations() throws(LabError) -> [RegistrationEntry] {
    guard case .registrations(let rows) = try ask(.registrations(after: nil, limit: 1000)) else { throw unexpected("registrations") }
    return rows
  }

  public func resolutions() throws(LabError) -> [ResolutionEntry] {
    guard case .resolutions(let rows) = try ask(.resolutions) else { throw unexpected("resolutions") }
    return rows
  }

  public func probes() throws(LabError) -> [ProbeEntry] {
    guard case .probes(let rows) = try ask(.probes) else { throw unexpected("probes") }
    return rows
  }

  public func control() throws(LabError) -> ControlPlaneStatus {
    guard case .control(let status) = try ask(.control) else { throw unexpected("control") }
    return status
  }

  /// All mappings this lab gave before go, these come, in one change.
  public func replace(_ mappings: [RouterConfiguration.Mapping]) throws(LabError) {
    _ = try ask(.replace(scope: .owner(nil), mappings: mappings.compactMap(\.controlMapping), part: nil))
  }

  /// The status when nothing is in flight any more: two readings in a row that are the same and add up.
  public func quietStatus(atMost limit: Duration = .seconds(3)) throws(LabError) -> RouterStatus {
    let end = ContinuousClock.now + limit
    var last = try status()
    while true {
      try Interruption.sleep(.milliseconds(50))
      let now = try status()
      if now.totals == last.totals, now.isConserved || ContinuousClock.now >= end { return now }
      last = now
    }
  }

  private func unexpected(_ what: String) -> LabError { .wrongData("\(name) gave another answer to \(what)") }
}

extension RouterConfiguration.Mapping {
  /// The same for the control socket; nil when an address does not parse.
  public var controlMapping: ControlMapping? {
    guard let id = InstanceID(instance), let prefix = try? IPPrefix(parsing: prefix) else { return nil }
    let eid = EIDPrefix(id, prefix)
    if let action { return MappingAction(rawValue: action).map { ControlMapping(eid: eid, target: .action($0)) } }
    let addresses = locators.compactMap { IPAddress($0) }
    guard addresses.count == locators.count, !addresses.isEmpty else { return nil }
    return ControlMapping(eid: eid, target: .locators(addresses.map { ControlLocator(address: $0) }))
  }
}

extension RouterStatus {
  /// Every packet has an outcome, every frame an owner.
  public var isConserved: Bool { packetsConserved && framesConserved }

  public var packetsConserved: Bool { totals.received.packets == totals.transmitted.packets + totals.dropped + totals.punted }

  public var framesConserved: Bool {
    workers.allSatisfy {
      $0.frames.free + $0.frames.fill + $0.frames.received + $0.frames.transmit == $0.frames.total && $0.frames.violations == 0
    }
  }
}
