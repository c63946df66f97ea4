// SPDX-License-Identifier: Apache-2.0
//
// The slow path's hand on the published state: every change of templates, sets, mappings, ports and settings goes through here.
// Changes of mappings, ports and settings are collected until `publish()`; new contents of a template or set take effect at
// once. What is replaced is freed when no worker can hold it any more.

import PrefixTable
import Wire

/// Why a change was refused. Nothing changed.
public enum StateError: Error, Equatable, CustomStringConvertible {
  case table(PrefixTableError)
  case full(String, limit: Int)
  case noMemory

  public var description: String {
    switch self {
    case .table(let error): "\(error)"
    case .full(let what, let limit): "no room for another \(what): the limit is \(limit)"
    case .noMemory: "cannot reserve address space for the forwarding state (see ulimit -v)"
    }
  }
}

/// The one writer of the forwarding state. Thread: slow path.
public final class ForwardingPublisher {
  /// The most own RLOCs of one family.
  public static let maximumRLOCs = ForwardingState.maximumRLOCs

  public let root: StateRoot
  public let quiescentState = QuiescentState()
  public let table: PrefixTable

  private var templates: HandleTable
  private var sets: HandleTable
  private var mappings: MappingRecords
  private var state: ForwardingState
  /// Whether more of it than the table differs from what is published, and the epoch after which no worker has what was before.
  private var hasNewSettings = false
  private var settingsEpoch: UInt64 = 0
  /// What to free, with the epoch after which it may be; `unpublished` waits for the next epoch.
  private var unpublished: [Reclamation] = []
  private var waiting: [(epoch: UInt64, reclamation: Reclamation)] = []

  /// Freed things are values, not closures: a bulk change retires a million of them.
  fileprivate enum Reclamation {
    case template(TemplateBlock)
    case templateHandle(TemplateHandle)
    case set(SetBlock)
    case setHandle(SetHandle)
    case mapping(UInt32)
    case state(ForwardingStateReader)
    case vlanTable(VLANTable)
    case action(() -> Void)
  }

  /// Limits: mappings, and distinct sets and templates. Memory is used as it is needed.
  public init(mappingCapacity: UInt32 = 1 << 23, handleCapacity: UInt32 = 1 << 22) throws(StateError) {
    do { table = try PrefixTable() } catch { throw .table(error) }
    guard let templates = HandleTable(capacity: handleCapacity), let sets = HandleTable(capacity: handleCapacity),
      let mappings = MappingRecords(capacity: mappingCapacity)
    else { throw .noMemory }
    state = ForwardingState(
      generation: 0, table: table.view, mappings: mappings.reader, sets: sets.reader, templates: templates.reader,
      settings: EngineSettings(), roles: InlineArray(repeating: 0),
      untaggedInstance: InlineArray(repeating: ForwardingState.noInstance), vlanInstances: InlineArray(repeating: VLANTable([:])),
      ownIPv4: InlineArray(repeating: 0), ownIPv6: InlineArray(repeating: .any))
    self.templates = templates
    self.sets = sets
    self.mappings = mappings
    root = StateRoot(ForwardingStateReader(state))
  }

  public var generation: UInt64 { state.generation }
  public var counts: (mappings: Int, sets: Int, templates: Int) { (mappings.count, sets.count, templates.count) }

  // MARK: - Templates and sets

  public func addTemplate(_ template: HeaderTemplate) throws(StateError) -> TemplateHandle {
    guard let handle = templates.allocate() else { throw .full("locator template", limit: templates.limit) }
    replaceTemplate(handle, template)
    return handle
  }

  /// Takes effect at once.
  public func replaceTemplate(_ handle: TemplateHandle, _ template: HeaderTemplate) {
    if let old = unsafe templates.set(handle, TemplateBlock(template).base) {
      unsafe unpublished.append(.template(TemplateBlock(base: old)))
    }
  }

  /// The caller makes sure that no set names the template after the next publication.
  public func removeTemplate(_ handle: TemplateHandle) { unpublished.append(.templateHandle(handle)) }

  public func addSet(_ set: LocatorSet) throws(StateError) -> SetHandle {
    guard let handle = sets.allocate() else { throw .full("locator set", limit: sets.limit) }
    replaceSet(handle, set)
    return handle
  }

  /// Takes effect at once.
  public func replaceSet(_ handle: SetHandle, _ set: LocatorSet) {
    if let old = unsafe sets.set(handle, SetBlock(set).base) {
      unsafe unpublished.append(.set(SetBlock(base: old)))
    }
  }

  /// The caller makes sure that no mapping names the set after the next publication.
  public func removeSet(_ handle: SetHandle) { unpublished.append(.setHandle(handle)) }

  // MARK: - Mappings, ports, settings

  /// Adds or replaces what packets to `prefix` meet. `counters` is the first of the set's locator counters: as many as the set's
  /// ordinals ask for, at most 256, must lie below WorkerCounters.maximumLocatorCounters.
  public func setMapping(_ prefix: EIDPrefix, set: SetHandle, counters: UInt32) throws(StateError) {
    guard Int(counters) + Int(UInt8.max) < WorkerCounters.maximumLocatorCounters else {
      throw .full("locator counter", limit: WorkerCounters.maximumLocatorCounters)
    }
    guard let index = mappings.add(MappingRecord(set: set, counters: counters)) else { throw .full("mapping", limit: mappings.limit) }
    do {
      if let old = try table.update(prefix, value: index) { unpublished.append(.mapping(old)) }
    } catch {
      mappings.release(index)
      throw .table(error)
    }
  }

  /// What packets to exactly this prefix meet, changes included that are not published yet.
  public func mapping(_ prefix: EIDPrefix) -> (set: SetHandle, counters: UInt32)? {
    guard let index = table.value(for: prefix) else { return nil }
    let record = mappings.reader[index]
    return (record.set, record.counters)
  }

  public func removeMapping(_ prefix: EIDPrefix) throws(StateError) {
    do { unpublished.append(.mapping(try table.delete(prefix))) } catch { throw .table(error) }
  }

  public func setSettings(_ settings: EngineSettings) {
    state.settings = settings
    hasNewSettings = true
  }

  /// At most 16 ports; `port` is 0…15.
  public func setPort(_ port: Int, _ new: PortState?) {
    precondition((0..<ForwardingState.maximumPorts).contains(port))
    hasNewSettings = true
    unpublished.append(.vlanTable(state.vlanInstances[port]))
    state.roles[port] = new?.role.rawValue ?? 0
    state.untaggedInstance[port] = new?.instance?.rawValue ?? ForwardingState.noInstance
    state.vlanInstances[port] = VLANTable(new?.vlanInstances ?? [:])
  }

  /// Our RLOCs; throws when there are more than 16 of a family.
  public func setOwnRLOCs(_ addresses: [IPAddress]) throws(StateError) {
    var ipv4: [UInt32] = []
    var ipv6: [IPv6Address] = []
    for address in addresses {
      switch address {
      case .v4(let a): ipv4.append(a.rawValue)
      case .v6(let a): ipv6.append(a)
      }
    }
    guard max(ipv4.count, ipv6.count) <= ForwardingState.maximumRLOCs else {
      throw .full("RLOC of one family", limit: ForwardingState.maximumRLOCs)
    }
    hasNewSettings = true
    (state.ownIPv4Count, state.ownIPv6Count) = (ipv4.count, ipv6.count)
    for (i, address) in ipv4.enumerated() { state.ownIPv4[i] = address }
    for (i, address) in ipv6.enumerated() { state.ownIPv6[i] = address }
  }

  /// EID-prefixes which are in the table, and of which, in the next publication, every address is ours: no mapping lies in them. Their
  /// sources need no lookup. Of each family the 8 widest that have at most 64 bits count.
  public func setLocalSpaces(_ prefixes: some Sequence<EIDPrefix>) {
    var widest: [EIDPrefix] = []
    for prefix in prefixes.sorted(by: { ($0.prefix.length, $0) < ($1.prefix.length, $1) }) {
      let isWithin = widest.contains { $0.instanceID == prefix.instanceID && $0.prefix.contains(prefix.prefix) }
      let count = widest.count { $0.prefix.family == prefix.prefix.family }
      if !isWithin, prefix.prefix.length <= 64, count < ForwardingState.maximumLocalSpaces / 2 { widest.append(prefix) }
    }
    let spaces = widest.compactMap(LocalSpace.init)
    hasNewSettings = true
    state.localSpaceCount = spaces.count
    for (i, space) in spaces.enumerated() { state.localSpaces[i] = space }
  }

  // MARK: - Publication

  /// Makes all collected changes visible in one swap, and frees what the workers have left behind. One mapping alone may be seen by
  /// workers in the middle of a batch, when all of them have the settings that it is published with.
  public func publish() {
    state.table = table.commit(mayPrecede: !hasNewSettings && quiescentState.oldest() >= settingsEpoch)
    state.generation &+= 1
    unpublished.append(.state(root.publish(ForwardingStateReader(state))))
    startEpoch()
    reclaim()
  }

  /// Calls `action` when every worker has passed a quiescent point after the next publication.
  public func afterGracePeriod(_ action: @escaping () -> Void) { unpublished.append(.action(action)) }

  /// Frees what no worker can hold any more. Called by `publish`, and from time to time.
  public func reclaim() {
    if !unpublished.isEmpty && state.generation > 0 { startEpochForReplacements() }
    let oldest = quiescentState.oldest()
    table.reclaim(oldest: oldest)
    let ready = waiting.prefix { $0.epoch <= oldest }
    waiting.removeFirst(ready.count)  // before they are freed: an action may itself publish and reclaim
    for entry in ready { free(entry.reclamation) }
  }

  /// Whether anything still waits for a worker.
  public var isWaiting: Bool { !waiting.isEmpty }

  private func startEpoch() {
    let epoch = quiescentState.advance()
    if hasNewSettings { (hasNewSettings, settingsEpoch) = (false, epoch) }
    table.retire(epoch: epoch)
    for reclamation in unpublished { waiting.append((epoch, reclamation)) }
    unpublished.removeAll(keepingCapacity: true)
  }

  /// Contents that were replaced in place are unreachable without a publication; mappings and handles are not.
  private func startEpochForReplacements() {
    let replaced = unpublished.filter { $0.isReplacedContent }
    guard !replaced.isEmpty else { return }
    let epoch = quiescentState.advance()
    for reclamation in replaced { waiting.append((epoch, reclamation)) }
    unpublished.removeAll { $0.isReplacedContent }
  }

  private func free(_ reclamation: Reclamation) {
    switch reclamation {
    case .template(let block): unsafe block.deallocate()
    case .set(let block): unsafe block.deallocate()
    case .mapping(let index): mappings.release(index)
    case .state(let old): unsafe old.deallocate()
    case .vlanTable(let table): unsafe table.deallocate()
    case .action(let action): action()
    case .templateHandle(let handle):
      if let block = unsafe templates.set(handle, nil) { unsafe TemplateBlock(base: block).deallocate() }
      templates.release(handle)
    case .setHandle(let handle):
      if let block = unsafe sets.set(handle, nil) { unsafe SetBlock(base: block).deallocate() }
      sets.release(handle)
    }
  }
}

extension ForwardingPublisher.Reclamation {
  fileprivate var isReplacedContent: Bool {
    switch self {
    case .template, .set: true
    case .templateHandle, .setHandle, .mapping, .state, .vlanTable, .action: false
    }
  }
}
