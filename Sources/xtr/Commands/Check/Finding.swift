// SPDX-License-Identifier: Apache-2.0
//
// One thing that `xtr check` noticed about the host.

/// What is the matter and how to mend it.
struct Finding: Codable, Sendable, Equatable {
  enum Severity: String, Codable, Sendable, CaseIterable {
    /// The router would not start, or could not forward.
    case error
    /// It would start, and be slow or lose packets.
    case warning
    /// Worth knowing.
    case info
  }

  var severity: Severity
  /// What it is about: an interface, "kernel", "memory" …
  var subject: String
  var what: String
  /// A command where there is one.
  var cure: String
  /// Whether no other configuration would help: exit code 77.
  var isImpossibleHere = false

  init(_ severity: Severity, _ subject: String, _ what: String, cure: String, isImpossibleHere: Bool = false) {
    self.severity = severity
    self.subject = subject
    self.what = what
    self.cure = cure
    self.isImpossibleHere = isImpossibleHere
  }
}
