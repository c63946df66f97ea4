// SPDX-License-Identifier: Apache-2.0
//
// A loaded steering program together with what its maps hold, and the order in which a change of rules reaches them. Used
// by SteeringProgram; by tests also without an interface.
//
// The order of a change, and why:
//
//   1. new addresses     before prefixes, so that a new prefix around an own address never lifts what is sent to it
//   2. new prefixes
//   3. role and MAC      a role is named when all that it decides by is there
//   4. old prefixes go   after the new ones: a prefix that is replaced by a shorter or longer one is covered throughout
//   5. old addresses go

import Wire

/// Owner of a loaded program and its maps. Thread: slow path.
struct SteeringMaps: ~Copyable {
  private let loaded: LoadedSteering
  /// I2: what the maps hold, entry by entry, after each call of the kernel, whether the change as a whole succeeds or not.
  private(set) var installed = SteeringEntries()

  init(_ loaded: consuming LoadedSteering) { self.loaded = loaded }

  var programDescriptor: CInt { loaded.programDescriptor }

  func register(socket descriptor: CInt, queue: Int) throws(XDPError) {
    guard let queue = UInt32(exactly: queue) else {
      throw .interface(name: loaded.interfaceName, problem: "there is no queue \(queue)", cure: "")
    }
    try loaded.set(socket: descriptor, queue: queue)
  }

  mutating func apply(_ rules: SteeringRules) throws(XDPError) {
    let wanted = SteeringEntries(rules)
    try checkLimits(wanted)
    for (address, kind) in wanted.addresses where installed.addresses[address] != kind {
      try loaded.set(address: address, kind: kind)
      installed.addresses[address] = kind
    }
    for prefix in wanted.prefixes.subtracting(installed.prefixes) {
      try loaded.set(prefix: prefix)
      installed.prefixes.insert(prefix)
    }
    if installed.config != wanted.config {
      try loaded.set(config: wanted.config)
      installed.config = wanted.config
    }
    for prefix in installed.prefixes.subtracting(wanted.prefixes) {
      try loaded.remove(prefix: prefix)
      installed.prefixes.remove(prefix)
    }
    for address in installed.addresses.keys where wanted.addresses[address] == nil {
      try loaded.remove(address: address)
      installed.addresses[address] = nil
    }
  }

  /// Within the limits, the maps (twice as large) hold the old and the new entries together.
  private func checkLimits(_ wanted: SteeringEntries) throws(XDPError) {
    guard wanted.addresses.count <= SteeringRules.addressLimit else {
      throw .interface(
        name: loaded.interfaceName, problem: "\(wanted.addresses.count) addresses are too many to steer by",
        cure: "\(SteeringRules.addressLimit) is the limit")
    }
    guard wanted.prefixes.count <= SteeringRules.prefixLimit else {
      throw .interface(
        name: loaded.interfaceName, problem: "\(wanted.prefixes.count) local EID-prefixes are too many to steer by",
        cure: "\(SteeringRules.prefixLimit) is the limit; configure shorter prefixes that cover them")
    }
  }
}
