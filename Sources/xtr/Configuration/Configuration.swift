// SPDX-License-Identifier: Apache-2.0
//
// What the configuration file says, once it has been found to make sense. `ConfigurationReader` makes one of a file; the router
// runs by it and, on SIGHUP, compares the new one with the one in force.

import ControlAPI
import Logging
import Wire

/// A whole, checked configuration. Thread: any.
struct Configuration: Sendable, Equatable {
  /// The most ports that the data plane is laid out for.
  static let maximumInterfaces = 16

  var router = Router()
  var encapsulation = Encapsulation()
  var decapsulation = Decapsulation()
  var locatorHints = LocatorHints()
  /// At least one faces a site and at least one the core; names differ.
  var interfaces: [Interface] = []
  /// Instances whose sites live in another kernel routing table than the main one; IDs differ.
  var instances: [Instance] = []
  /// Our own EID-prefixes, each once, in the file's order.
  var database: [Database] = []
  /// How to ask for mappings and to register ours; nil: mappings are static or come over the control socket.
  var mappingSystem: MappingSystem?
  var mapCache = MapCache()
  /// Static mappings, each EID-prefix once, none of them a database prefix; never with a time to live.
  var mappings: [ControlMapping] = []

  struct Router: Sendable, Equatable {
    var workers = Workers.auto
    var controlSocket = ControlProtocol.defaultPath
    /// The group that may use the control socket; nil: root's only.
    var controlGroup: String?
    var poll = Poll.adaptive
    var logLevel = Logger.Level.info
    /// Frames per port and queue.
    var framesPerQueue = 3072
    /// Whether workers are pinned to cores.
    var pin = true
  }

  enum Workers: Sendable, Equatable {
    /// One per queue.
    case auto
    /// At least one.
    case count(Int)
  }

  enum Poll: String, Sendable, CaseIterable {
    /// Sleeps when nothing comes.
    case adaptive
    /// Never sleeps.
    case busy
  }

  struct Encapsulation: Sendable, Equatable {
    var ecn = ECN.normal
    var udpChecksum = UDPChecksum.zero
  }

  /// RFC 6040 section 4.1.
  enum ECN: String, Sendable, CaseIterable {
    case normal, compatibility
  }

  /// The outer UDP checksum over IPv6; over IPv4 it is always zero.
  enum UDPChecksum: String, Sendable, CaseIterable {
    case zero, compute
  }

  struct Decapsulation: Sendable, Equatable {
    var dscp = DSCP.keepInner
    var verifyUDPChecksum = false
  }

  enum DSCP: String, Sendable, CaseIterable {
    case keepInner = "keep-inner"
    case copyOuter = "copy-outer"
  }

  /// What packets tell of locators: RFC 9300 section 10, for closed networks only (section 4.1).
  struct LocatorHints: Sendable, Equatable {
    /// Nothing of it is sent or believed, whatever else is set (rule E12).
    var publicInternet = false
    var locatorStatusBits = false
    var echoNonce = false

    var usesStatusBits: Bool { locatorStatusBits && !publicInternet }
    var usesEchoNonce: Bool { echoNonce && !publicInternet }
  }

  struct Interface: Sendable, Equatable {
    var name: String
    var role: Role
    var attach = Attach.auto
    var mode = Mode.auto
    /// Which of the interface's addresses are RLOCs; nil: all global ones. Only on the core side.
    var rlocs: [IPAddress]?
    /// nil: the kernel's interrupts drive the queue.
    var busyPoll: BusyPoll?
    /// Of untagged traffic on the site side.
    var instanceID = InstanceID.zero
    /// Tagged traffic on the site side; IDs differ.
    var vlans: [VLAN] = []
  }

  enum Role: String, Sendable, CaseIterable {
    case site, core, both

    var facesSite: Bool { self != .core }
    var facesCore: Bool { self != .site }
  }

  /// How the steering program is attached.
  enum Attach: String, Sendable, CaseIterable {
    case auto, native, generic
  }

  /// How packets pass between the driver and our frames.
  enum Mode: String, Sendable, CaseIterable {
    case auto
    case zeroCopy = "zero-copy"
    case copy
  }

  /// SO_PREFER_BUSY_POLL with SO_BUSY_POLL and SO_BUSY_POLL_BUDGET.
  struct BusyPoll: Sendable, Equatable {
    var microseconds: Int
    var budget: Int
  }

  struct VLAN: Sendable, Equatable {
    /// 1…4094.
    var id: UInt16
    var instanceID: InstanceID
  }

  struct Database: Sendable, Equatable {
    var eid: EIDPrefix
    /// What is registered and answered; nil: all our RLOCs, priority 1 and equal shares.
    var locators: [ControlLocator]?
  }

  struct Instance: Sendable, Equatable {
    var id: InstanceID
    /// The kernel routing table in which the instance's inner next hops are looked up.
    var table: UInt32
  }
}
