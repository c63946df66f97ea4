// SPDX-License-Identifier: Apache-2.0
//
// `xtr check`: is the configuration right, and what would keep this host from line rate? It changes nothing. The facts are
// gathered and judged in Check/.

import ArgumentParser
import ControlAPI

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Validate a configuration, and say what would keep this host from line rate and how to mend it.",
    discussion: """
      Changes nothing. Run it as the user that will run the router. Exit code 1 or 77 when the router would not start. A map-server's file is
      known by its [map-server] or [[site]].
      """)

  @Argument(help: ArgumentHelp("The configuration file.", valueName: "config"), completion: .file(extensions: ["toml"]))
  var file: String

  @OptionGroup var format: FormatOption

  func run() throws {
    let configuration: Configuration
    do throws(ConfigurationErrors) {
      if try MapServerConfiguration.isMeant(by: file) { return reportMapServer(try MapServerConfiguration.load(file: file)) }
      configuration = try Configuration.load(file: file)
    } catch {
      if format.json { print(String(decoding: StatusCoding.encode(Report(file: file, error), pretty: true), as: UTF8.self)) }
      throw CommandFailure(error)
    }
    let findings = HostCheck(
      configuration: configuration, host: .current(), ports: PortFacts.gather(configuration), paths: .gather(configuration)
    )
    .findings()
    if format.json {
      print(String(decoding: StatusCoding.encode(Report(file: file, findings), pretty: true), as: UTF8.self))
    } else {
      print(Self.text(file, configuration, findings))
    }
    if let failure = Self.failure(findings) { throw failure }
  }

  /// A map-server asks nothing of the host.
  private func reportMapServer(_ configuration: MapServerConfiguration) {
    if format.json { return print(String(decoding: StatusCoding.encode(Report(file: file, []), pretty: true), as: UTF8.self)) }
    let prefixes = configuration.sites.reduce(0) { $0 + $1.prefixes.count }
    print(
      "\(file) is valid for `xtr map-server`: \(counted(configuration.sites.count, "site")), "
        + counted(prefixes, "EID-prefix", plural: "EID-prefixes"))
  }

  /// What the exit code and the line on standard error say; nil when the router would start.
  static func failure(_ findings: [Finding]) -> CommandFailure? {
    let errors = findings.filter { $0.severity == .error }
    guard let first = errors.first else { return nil }
    let line =
      "\(errors.count == 1 ? "1 error keeps" : "\(errors.count) errors keep") the router from starting; first: "
      + "\(first.subject): \(first.what): \(first.cure)"
    return errors.contains(where: \.isImpossibleHere) ? .impossibleHere(line) : .failed(line)
  }

  static func text(_ file: String, _ configuration: Configuration, _ findings: [Finding]) -> String {
    var lines = [
      "\(file) is valid: \(counted(configuration.interfaces.count, "interface")), "
        + "\(counted(configuration.database.count, "own EID-prefix", plural: "own EID-prefixes")), "
        + counted(configuration.mappings.count, "mapping")
    ]
    for finding in findings {
      lines.append("\n\(finding.severity.rawValue): \(finding.subject): \(finding.what)")
      lines.append("  mend: \(finding.cure)")
    }
    if findings.isEmpty { lines.append("nothing keeps this host from line rate") }
    return lines.joined(separator: "\n")
  }

  /// What --json prints.
  struct Report: Codable {
    var configuration: String
    var valid: Bool
    var problems: [Problem]
    var findings: [Finding]

    struct Problem: Codable {
      var line: Int?
      var key: String
      var message: String
    }

    init(file: String, _ findings: [Finding]) {
      self.init(configuration: file, valid: true, problems: [], findings: findings)
    }

    init(file: String, _ errors: ConfigurationErrors) {
      let problems = errors.problems.map { Problem(line: $0.line, key: $0.key, message: $0.message) }
      self.init(configuration: file, valid: false, problems: problems, findings: [])
    }

    private init(configuration: String, valid: Bool, problems: [Problem], findings: [Finding]) {
      self.configuration = configuration
      self.valid = valid
      self.problems = problems
      self.findings = findings
    }
  }
}
