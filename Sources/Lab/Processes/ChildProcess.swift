// SPDX-License-Identifier: Apache-2.0
//
// A child process, alone or inside a network namespace, whose output is kept in memory files: it may write as much as it likes
// while nobody reads. In its own process group, so that a Ctrl-C on the terminal reaches the lab and not its parts.

import CLinux
import Glibc
import Synchronization

/// How a process ended.
public enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
  case exited(Int32)
  case killed(signal: Int32)

  public var description: String {
    switch self {
    case .exited(let code): "ended with status \(code)"
    case .killed(let signal): "was ended by signal \(signal)"
    }
  }
}

/// Thread: any; `deinit` kills and reaps what still runs.
public final class ChildProcess: Sendable {
  public let identifier: pid_t
  public let command: String
  private let outputFile: Int32
  private let errorFile: Int32
  private let status = Mutex<ExitStatus?>(nil)

  /// Start `arguments` (looked up in PATH), inside `namespace` when one is given. `standardInput` is a descriptor, /dev/null if nil.
  public init(_ arguments: [String], in namespace: Namespace? = nil, standardInput: Int32? = nil) throws(LabError) {
    let prefix = namespace.map { ["ip", "netns", "exec", $0.identifier] } ?? []
    command = arguments.joined(separator: " ")
    outputFile = clinux_memory_file("stdout")
    errorFile = clinux_memory_file("stderr")
    guard outputFile >= 0, errorFile >= 0 else { throw .lastCall("memfd_create") }
    identifier = try Self.spawn(prefix + arguments, input: standardInput, output: outputFile, error: errorFile)
  }

  deinit {
    if isRunning {
      kill(identifier, SIGKILL)
      waitpid(identifier, nil, 0)
    }
    close(outputFile)
    close(errorFile)
  }

  private static func spawn(_ arguments: [String], input: Int32?, output: Int32, error: Int32) throws(LabError) -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if let input {
      posix_spawn_file_actions_adddup2(&actions, input, 0)
    } else {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    }
    posix_spawn_file_actions_adddup2(&actions, output, 1)
    posix_spawn_file_actions_adddup2(&actions, error, 2)

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var nothing = sigset_t()
    var everything = sigset_t()
    sigemptyset(&nothing)
    sigfillset(&everything)
    posix_spawnattr_setsigmask(&attributes, &nothing)
    posix_spawnattr_setsigdefault(&attributes, &everything)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process: pid_t = 0
    let code = posix_spawnp(&process, arguments[0], &actions, &attributes, &words, environ)
    guard code == 0 else { throw .system("starting \(arguments[0])", errno: code) }
    return process
  }

  // MARK: While it runs

  /// False once it has ended; reaps it.
  public var isRunning: Bool { exitStatus == nil }

  /// nil while it runs.
  public var exitStatus: ExitStatus? {
    status.withLock { known in
      if known != nil { return known }
      var raw: Int32 = 0
      let answer = waitpid(identifier, &raw, WNOHANG)
      if answer == identifier {
        known =
          clinux_did_exit(raw) != 0 ? .exited(clinux_exit_status(raw)) : .killed(signal: clinux_termination_signal(raw))
      } else if answer < 0, errno == ECHILD {
        known = .killed(signal: 0)
      }
      return known
    }
  }

  public func signal(_ number: Int32) {
    if isRunning { kill(identifier, number) }
  }

  /// Wait for its end. When `limit` passes or a signal comes to us it is killed, and that is the error.
  @discardableResult
  public func wait(atMost limit: Duration = .seconds(30)) throws(LabError) -> ExitStatus {
    let end = ContinuousClock.now + limit
    while true {
      if let exitStatus { return exitStatus }
      do {
        try Interruption.check()
        if ContinuousClock.now >= end { throw LabError.timedOut("`\(command)`") }
      } catch {
        stop(grace: .milliseconds(200))
        throw error as? LabError ?? .timedOut(command)
      }
      Interruption.pause(.milliseconds(2))
    }
  }

  /// SIGTERM, and SIGKILL when `grace` has passed. Returns when it is gone; deaf to `Interruption`, for clean-up.
  @discardableResult
  public func stop(grace: Duration = .seconds(5)) -> ExitStatus? {
    signal(SIGTERM)
    let end = ContinuousClock.now + grace
    while isRunning, ContinuousClock.now < end { Interruption.pause(.milliseconds(2)) }
    signal(SIGKILL)
    while isRunning { Interruption.pause(.milliseconds(1)) }
    return exitStatus
  }

  // MARK: What it said

  public var standardOutput: String { Self.contents(outputFile) }
  public var standardError: String { Self.contents(errorFile) }

  private static func contents(_ file: Int32) -> String {
    var information = stat()
    guard fstat(file, &information) == 0, information.st_size > 0 else { return "" }
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(information.st_size)) { buffer, count in
      count = max(0, pread(file, buffer.baseAddress, buffer.count, 0))
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  // MARK: In one go

  /// Run a command to its end and return its standard output. Another status than 0 is an error with what it said.
  @discardableResult
  public static func run(
    _ arguments: [String], in namespace: Namespace? = nil, standardInput: Int32? = nil, atMost limit: Duration = .seconds(30)
  ) throws(LabError) -> String {
    let process = try ChildProcess(arguments, in: namespace, standardInput: standardInput)
    let status = try process.wait(atMost: limit)
    guard status == .exited(0) else {
      let said = process.standardError.isEmpty ? process.standardOutput : process.standardError
      throw .command(process.command, status: status.description, output: said)
    }
    return process.standardOutput
  }
}
