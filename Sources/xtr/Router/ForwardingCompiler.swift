// SPDX-License-Identifier: Apache-2.0
//
// Mappings and local EIDs in, forwarding state out. Keeps what the engine's tables were made from, shares what is equal:
// one template per RLOC, one set per list of locators, one template and set per host of the site (ForwardingCompiler+Locals). Owned by Router.

import ControlAPI
import DataPlane
import MapCache
import Netlink
import Wire

/// Thread: slow path.
final class ForwardingCompiler {
  let publisher: ForwardingPublisher
  private let underlay: Underlay
  private let kernel: KernelView
  private let workers: () -> [WorkerCounters]
  /// What is known of a locator besides the way to it.
  var verdict: (Locator) -> Reachability = { _ in .assumed }
  /// A mapping's target, with what its site says of the locators.
  var told: (EIDPrefix, Mapping.Target) -> Mapping.Target = { $1 }
  var counterBlocks = CounterBlocks()
  private var rlocs: [IPAddress: RLOC] = [:]
  /// What packets to an RLOC carry, where they do; also of RLOCs that are not in use now.
  private var nonces: [IPAddress: LISPNonce] = [:]
  private var sets: [Mapping.Target: CompiledSet] = [:]
  /// The same by their handles: the forwarding state itself says which one a mapping has, and by its handle whether it is a mapping.
  private var setsByHandle: [SetHandle: CompiledSet] = [:]
  var locals: [EIDPrefix: CompiledLocal] = [:]
  var databases: [EIDPrefix: Database] = [:]
  var databasePrefixes = EIDPrefixSet([])
  var haveSpacesChanged = false
  /// Counters that no mapping has any more after the next publication.
  var retired: [CounterRun] = []
  var hosts: [NextHopKey: Host] = [:]
  var bareLocalSet: SetHandle?
  private var lookupFailure: NetlinkError?

  /// An RLOC in use.
  private final class RLOC {
    let template: TemplateHandle
    var path: RLOCPath
    /// Whether it was usable when `refreshRLOCs` last told of it, or at first.
    var isKnownUsable: Bool
    /// The sets that name it.
    var users: Set<Mapping.Target> = []

    init(template: TemplateHandle, path: RLOCPath) {
      self.template = template
      self.path = path
      isKnownUsable = path.quality >= .resolving
    }

    /// Whether it has become usable, or has ceased to be; a next hop that has not answered yet decides nothing.
    func hasTurned() -> Bool {
      let isUsable = path.quality == .good
      guard path.quality != .resolving, isUsable != isKnownUsable else { return false }
      isKnownUsable = isUsable
      return true
    }
  }

  final class CompiledSet {
    let target: Mapping.Target
    let handle: SetHandle
    var users = 0

    init(_ target: Mapping.Target, handle: SetHandle) {
      self.target = target
      self.handle = handle
    }
  }

  /// A mapping as the forwarding state has it.
  struct CompiledMapping {
    var set: CompiledSet
    var counters: CounterRun
  }

  init(publisher: ForwardingPublisher, underlay: Underlay, kernel: KernelView, workers: @escaping () -> [WorkerCounters]) {
    self.publisher = publisher
    self.underlay = underlay
    self.kernel = kernel
    self.workers = workers
  }

  var locatorCount: Int { rlocs.count }

  /// Every locator that a mapping names, in no order.
  var locatorAddresses: [IPAddress] { Array(rlocs.keys) }

  func isInUse(_ rloc: IPAddress) -> Bool { rlocs[rloc] != nil }

  /// Whether packets to a locator in use get as far as its next hop.
  func hasGoodWay(to rloc: IPAddress) -> Bool { rlocs[rloc]?.path.quality == .good }

  /// The RLOC of ours that packets to a locator in use leave from; nil without a way to it.
  func source(to rloc: IPAddress) -> IPAddress? { rlocs[rloc]?.path.template?.tunnel?.source }

  /// Makes all changes visible at once.
  func publish() {
    if haveSpacesChanged { publisher.setLocalSpaces(databases.filter { $1.mappingsWithin == 0 && locals[$0] != nil }.keys) }
    haveSpacesChanged = false
    if !retired.isEmpty {
      publisher.afterGracePeriod { [self, runs = retired] in runs.forEach(release) }
      retired = []
    }
    publisher.publish()
  }

  private func release(_ run: CounterRun) {
    for worker in workers() { for counter in run.counters { worker.resetLocator(counter) } }
    counterBlocks.release(run)
  }

  // MARK: - Mappings

  /// The mapping of exactly this prefix, not a local entry.
  func mapping(_ eid: EIDPrefix) -> CompiledMapping? {
    guard let (handle, first) = publisher.mapping(eid), let set = setsByHandle[handle] else { return nil }
    return CompiledMapping(set: set, counters: CounterRun(first: first, count: set.target.counterCount))
  }

  /// Adds or replaces a mapping.
  func set(_ eid: EIDPrefix, _ target: Mapping.Target) throws(StateError) {
    let target = told(eid, target)
    let old = mapping(eid)
    if let old, old.set.target == target { return }
    let set = try acquire(target)
    do throws(StateError) {
      // The same locators, otherwise judged, go on counting.
      if let old, old.set.target.addresses == target.addresses {
        try publisher.setMapping(eid, set: set.handle, counters: old.counters.first)
        return release(old.set)
      }
      try put(eid, set)
    } catch {
      release(set)
      throw error
    }
    if let old { retire(old) } else { noteMapping(eid, 1) }
  }

  /// Puts a mapping into the forwarding state, with counters of its own.
  private func put(_ eid: EIDPrefix, _ set: CompiledSet) throws(StateError) {
    let counters = try counterBlocks.allocate(set.target.counterCount)
    do { try publisher.setMapping(eid, set: set.handle, counters: counters.first) } catch {
      counterBlocks.release(counters)
      throw error
    }
  }

  /// Removes a mapping; a local entry of the same prefix takes its place again.
  func remove(_ eid: EIDPrefix) throws(StateError) {
    guard let old = mapping(eid) else { return }
    if let local = locals[eid] {
      try publisher.setMapping(eid, set: local.set, counters: local.counters)
    } else {
      try publisher.removeMapping(eid)
    }
    noteMapping(eid, -1)
    retire(old)
  }

  /// A mapping has come or gone.
  private func noteMapping(_ eid: EIDPrefix, _ change: Int) {
    for prefix in databasePrefixes.covering(eid) {
      databases[prefix]?.mappingsWithin += change
      haveSpacesChanged = true
    }
  }

  private func retire(_ mapping: CompiledMapping) {
    release(mapping.set)
    retired.append(mapping.counters)
  }

  /// Packets and bytes of a mapping's counters, in the order of its locators.
  func counts(_ eid: EIDPrefix) -> [PacketCount] {
    mapping(eid).map { $0.counters.counters.map(sum) } ?? []
  }

  /// The packets of a mapping, for comparison with what they were before.
  func packetCount(_ eid: EIDPrefix) -> UInt32 {
    UInt32(truncatingIfNeeded: counts(eid).reduce(0) { $0 &+ $1.packets })
  }

  private func sum(_ counter: UInt32) -> PacketCount {
    workers().reduce(into: PacketCount()) { total, worker in
      let count = worker.locator(counter)
      total.packets += count.packets
      total.bytes += count.bytes
    }
  }

  // MARK: - Sets and RLOCs

  private func acquire(_ target: Mapping.Target) throws(StateError) -> CompiledSet {
    if let set = sets[target] {
      set.users += 1
      return set
    }
    let set: CompiledSet
    do {
      for address in target.addresses { try acquire(address, for: target) }
      set = CompiledSet(target, handle: try publisher.addSet(compile(target)))
    } catch {
      for address in target.addresses { release(address, for: target) }
      throw error
    }
    set.users = 1
    sets[target] = set
    setsByHandle[set.handle] = set
    return set
  }

  private func release(_ set: CompiledSet) {
    set.users -= 1
    guard set.users == 0 else { return }
    sets[set.target] = nil
    setsByHandle[set.handle] = nil
    publisher.removeSet(set.handle)
    for address in set.target.addresses { release(address, for: set.target) }
  }

  private func acquire(_ address: IPAddress, for target: Mapping.Target) throws(StateError) {
    if let rloc = rlocs[address] {
      rloc.users.insert(target)
      return
    }
    let path = path(to: address, before: nil)
    let rloc = RLOC(template: try publisher.addTemplate(header(path.template ?? .nowhere, to: address)), path: path)
    rloc.users.insert(target)
    rlocs[address] = rloc
    if let nextHop = path.nextHop, path.state == .resolving { kernel.resolve(nextHop) }
  }

  /// The way to an RLOC; as it was, if the kernel could not be asked.
  private func path(to address: IPAddress, before: RLOCPath?) -> RLOCPath {
    do { return try underlay.path(to: address, before: before) } catch {
      lookupFailure = error
      return before ?? .unusable(.noRoute)
    }
  }

  private func header(_ template: HeaderTemplate, to address: IPAddress) -> HeaderTemplate {
    var template = template
    template.nonce = nonces[address]
    return template
  }

  /// What packets to an RLOC carry from now on; at once.
  func setNonce(_ nonce: LISPNonce?, to address: IPAddress) {
    guard nonces[address] != nonce else { return }
    nonces[address] = nonce
    if let rloc = rlocs[address], let template = rloc.path.template {
      publisher.replaceTemplate(rloc.template, header(template, to: address))
    }
  }

  /// What kept the compiler from learning the way to an RLOC since it was last asked: `refreshRLOCs` is due once more.
  func takeLookupFailure() -> NetlinkError? {
    defer { lookupFailure = nil }
    return lookupFailure
  }

  private func release(_ address: IPAddress, for target: Mapping.Target) {
    guard let rloc = rlocs[address] else { return }
    rloc.users.remove(target)
    guard rloc.users.isEmpty else { return }
    rlocs[address] = nil
    publisher.removeTemplate(rloc.template)
  }

  /// The action, and among the locators those of the best priority that has a usable one (rule E14).
  private func compile(_ target: Mapping.Target) -> LocatorSet {
    switch target {
    case .negative(let action): return LocatorSet(action.forwarding)
    case .locators(let locators):
      return LocatorSet(locators, way: way) { self.rlocs[$0.address]?.template ?? 0 }
    }
  }

  /// The way to a locator; one that does not answer at its far end is no better than one whose next hop is silent.
  private func way(_ locator: Locator) -> RLOCPath.Quality {
    guard let quality = rlocs[locator.address]?.path.quality else { return .none }
    let verdict = verdict(locator)
    if verdict == .operatorDown { return .none }
    return verdict.isUp ? quality : min(quality, .silent)
  }

  /// What an operator is told about a locator of a mapping.
  func state(of locator: Locator, among locators: [Locator]) -> LocatorState {
    guard locator.isOffered else { return .unreachable }
    guard let path = rlocs[locator.address]?.path else { return .noRoute }
    guard path.quality == .good else { return path.state }
    guard verdict(locator).isUp else { return .unreachable }
    let best = locators.filter { $0.isOffered && way($0) == .good }.map(\.priority).min()
    return locator.priority == best ? path.state : .standby
  }

  /// The verdict on a locator is another one: the sets that name it are compiled anew.
  func refreshVerdict(_ address: IPAddress) {
    for target in rlocs[address]?.users ?? [] {
      if let set = sets[target] { publisher.replaceSet(set.handle, compile(target)) }
    }
  }

  // MARK: - When the kernel's view changes

  /// Asks anew for the way to every RLOC (or those behind `nextHops`). Returns those that became usable or ceased to be.
  func refreshRLOCs(behind nextHops: Set<NextHopKey>? = nil) -> [(address: IPAddress, path: RLOCPath)] {
    var turned: [(address: IPAddress, path: RLOCPath)] = []
    var changed: Set<Mapping.Target> = []
    for (address, rloc) in rlocs {
      if let nextHops, rloc.path.nextHop.map(nextHops.contains) != true { continue }
      let path = path(to: address, before: rloc.path)
      guard path != rloc.path else { continue }
      let before = rloc.path.quality
      rloc.path = path
      // A way that is gone leaves its header behind: until the sets below have changed, workers still take it.
      if let template = path.template { publisher.replaceTemplate(rloc.template, header(template, to: address)) }
      if let nextHop = path.nextHop, path.state == .resolving { kernel.resolve(nextHop) }
      if rloc.hasTurned() { turned.append((address, path)) }
      if before != path.quality { changed.formUnion(rloc.users) }
    }
    // Only now: RLOCs behind one next hop change together, and no flow may see one of them before the others.
    for target in changed { if let set = sets[target] { publisher.replaceSet(set.handle, compile(target)) } }
    return turned
  }

  /// Next hops that packets leave by.
  func nextHopsInUse() -> Set<NextHopKey> {
    Set(rlocs.values.compactMap(\.path.nextHop)).union(locals.values.compactMap(\.local.nextHop))
  }

  /// The same with what is behind them, for people.
  func nextHopUsers() -> [NextHopKey: [String]] {
    var users: [NextHopKey: [String]] = [:]
    for (address, rloc) in rlocs { if let key = rloc.path.nextHop { users[key, default: []].append("\(address)") } }
    for (prefix, local) in locals { if let key = local.local.nextHop { users[key, default: []].append("\(prefix)") } }
    return users
  }
}

extension HeaderTemplate {
  /// For a locator without a way to it. Never used for a packet: its locator is not usable.
  fileprivate static var nowhere: HeaderTemplate {
    HeaderTemplate(tunnel: nil, port: 0, sourceMAC: MACAddress(rawValue: 0), destinationMAC: nil, mtu: 0)
  }
}

extension Mapping.Target {
  /// One for each locator, and one for packets that meet an action.
  fileprivate var counterCount: Int { max(1, addresses.count) }

  /// The RLOCs it names, in the mapping's order.
  var addresses: [IPAddress] {
    switch self {
    case .locators(let locators): locators.map(\.address)
    case .negative: []
    }
  }
}

extension NegativeAction {
  fileprivate var forwarding: ForwardingAction {
    switch self {
    case .noAction, .nativeForward: .nativeForward
    case .sendMapRequest: .sendMapRequest
    case .drop: .drop
    case .policyDenied: .policyDenied
    case .authenticationFailure: .authenticationFailure
    }
  }
}
