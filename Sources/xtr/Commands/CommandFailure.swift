// SPDX-License-Identifier: Apache-2.0
//
// Why a command did not do what it was told, and the exit code that says so to a script. XTR.swift prints the line.

import ControlAPI

/// A command's failure: one line (configuration: one line per fault) that says why, and what would mend it.
enum CommandFailure: Error, Sendable, Equatable, CustomStringConvertible {
  /// It failed; trying again, or something the line names, may help.
  case failed(String)
  /// The arguments or the configuration cannot be used. Nothing was touched.
  case unusable(String)
  /// This machine or this user cannot do it: no privilege, kernel too old.
  case impossibleHere(String)

  static let unusable: Int32 = 2

  var exitCode: Int32 {
    switch self {
    case .failed: 1
    case .unusable: Self.unusable
    case .impossibleHere: 77
    }
  }

  var description: String {
    switch self {
    case .failed(let line), .unusable(let line), .impossibleHere(let line): line
    }
  }

  init(_ error: ControlClientError) { self = .failed(error.description) }

  init(_ errors: ConfigurationErrors) { self = .unusable(errors.description) }
}
