// SPDX-License-Identifier: Apache-2.0
//
// What becomes of punted packets. Packets of the site's hosts go through an exception device (a TUN, one per instance) to the
// kernel, which forwards them, resolves neighbours and delivers to the host itself; packets that carry our outer header are
// our own and leave by a raw socket. ICMP errors are made here, because the kernel's own would take the main routing table
// whatever the instance.

import ControlPlane
import DataPlane
import Netlink
import Wire

/// Thread: slow path.
final class ExceptionPath {
  private let root: StateRoot
  private let kernel: KernelView
  private let ports: [Port]
  private let raw: RawSender
  /// `nil`: every instance without a table of its own.
  private var devices: [InstanceID?: Device] = [:]
  /// Rule: ICMP errors are rate-limited (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
  private var icmpBudget = RateLimit(perSecond: 1000, burst: 200)
  private var missesReported: [MissKey: ContinuousClock.Instant] = [:]
  private var missesPruned = ContinuousClock.now
  private(set) var injected: UInt64 = 0
  private(set) var failed: UInt64 = 0

  // An engine of the slow path's own, for packets that we make ourselves and that have to be encapsulated.
  private var engine: Engine
  private var batch = Batch()
  let counters: WorkerCounters

  /// Tells of a destination without a mapping.
  var onMiss: (InstanceID, IPAddress, IPAddress?) -> Void = { _, _, _ in }
  /// Takes a packet without a mapping; its bytes are there during the call only.
  var onMissedPacket: (PuntRing.Item, _ source: IPAddress, _ destination: IPAddress) -> Void = { _, _, _ in }
  /// Whether anybody wants to be told.
  var areMissesWanted: () -> Bool = { false }
  /// Whether an address is an EID of our own in an instance, and has not moved away.
  var isOwnEID: (InstanceID, IPAddress) -> Bool = { _, _ in false }

  private final class Device {
    var device: ExceptionDevice
    init(_ device: consuming ExceptionDevice) { self.device = device }
  }

  private struct MissKey: Hashable {
    var instance: InstanceID
    var eid: IPAddress
  }

  /// Makes the devices: xtr0, and one for each instance with a routing table of its own.
  init(root: StateRoot, kernel: KernelView, ports: [Port], tables: [InstanceID: UInt32]) throws {
    guard let counters = WorkerCounters() else { throw CommandFailure.failed("no address space left for counters (ulimit -v)") }
    self.root = root
    self.kernel = kernel
    self.ports = ports
    self.counters = counters
    engine = Engine(counters: counters)
    raw = try RawSender()
    let mtu = max(1500, ports.map(\.mtu).max() ?? 1500)
    devices[nil] = Device(try ExceptionDevice(name: tables[.zero] == nil ? "xtr0" : "xtr-main", mtu: mtu))
    for (instance, table) in tables {
      devices[instance] = Device(try ExceptionDevice(name: "xtr\(instance)", mtu: mtu, routingTable: table))
    }
  }

  /// Removes the devices and their policy rules, which would otherwise outlive the process.
  func close() { devices = [:] }

  /// What an operator has to change, one line each.
  var warnings: [String] { devices.values.flatMap { $0.device.warnings } }

  /// Sets the devices' kernel settings again: others (udev among them) change those of a new device after a while.
  func reapplySettings() { for device in devices.values { device.device.reapplySettings() } }

  /// Readable when the kernel has routed something into a device.
  var fileDescriptors: [CInt] { devices.values.map { $0.device.fileDescriptor } }

  /// Throws away what the kernel has routed into the devices.
  func drainIncoming() { for device in devices.values { device.device.drainIncoming() } }

  /// One packet from a worker.
  func handle(_ item: PuntRing.Item) {
    switch item.kind {
    case .punt(.miss):
      guard let (source, destination) = addresses(item.packet) else { return }
      miss(item.instanceID, from: source, to: destination)
      onMissedPacket(item, source, destination)
    case .punt(.nativeForward), .punt(.innerNeighbour): inject(item.packet, item.instanceID)
    case .punt(.control): inject(item.packet, .zero)
    case .punt(.timeExceeded): answer(.timeExceeded, item)
    case .punt(.outerNeighbour): send(item.packet)
    case .notice(let reason): notice(reason, item)
    }
  }

  /// At most once a second for one destination, and for at most 4096 destinations at a time.
  private func miss(_ instance: InstanceID, from source: IPAddress, to destination: IPAddress) {
    guard areMissesWanted() else { return }
    let now = ContinuousClock.now
    let key = MissKey(instance: instance, eid: destination)
    if let last = missesReported[key], now - last < .seconds(1) { return }
    if missesReported.count >= 4096, now - missesPruned >= .seconds(1) {
      missesPruned = now
      missesReported = missesReported.filter { now - $0.value < .seconds(1) }
    }
    guard missesReported.count < 4096 else { return }
    missesReported[key] = now
    onMiss(instance, destination, source)
  }

  private func addresses(_ packet: PacketBytes) -> (source: IPAddress, destination: IPAddress)? {
    if let ip = IPv4View(packet) { return (.v4(IPv4Address(rawValue: ip.source)), .v4(IPv4Address(rawValue: ip.destination))) }
    if let ip = IPv6View(packet) { return (.v6(ip.source), .v6(ip.destination)) }
    return nil
  }

  // MARK: - Ways out

  private func inject(_ packet: PacketBytes, _ instance: InstanceID) {
    guard let device = devices[instance] ?? devices[nil] else { return }
    count(packet.withBuffer { device.device.inject($0) } == .accepted)
  }

  private func send(_ packet: PacketBytes) { count(packet.withBuffer { raw.send($0) } == .sent) }

  private func count(_ succeeded: Bool) { if succeeded { injected += 1 } else { failed += 1 } }

  // MARK: - ICMP

  /// What the source of a dropped packet is told (rules E17, M2).
  private func notice(_ reason: DropReason, _ item: PuntRing.Item) {
    switch reason {
    case .policyDenied, .authenticationFailure: answer(.prohibited, item)
    case .mappingDrop, .noUsableLocator: answer(.hostUnreachable, item)
    case .outerTooBig, .deliveryTooBig: if item.mtu > 0, mayNotBeFragmented(item.packet) { answer(.tooBig(mtu: item.mtu), item) }
    default: break
    }
  }

  private func mayNotBeFragmented(_ packet: PacketBytes) -> Bool { IPv4View(packet)?.dontFragment ?? true }

  private func answer(_ kind: ICMPErrorKind, _ item: PuntRing.Item) {
    guard icmpBudget.take(.now), let (source, _) = addresses(item.packet),
      let own = ownAddress(of: source.family, for: item), let error = icmpError(kind, about: item.packet, from: own)
    else { return }
    forward(error, from: own, to: source, item.instanceID)
  }

  /// The address we answer with: of the interface the packet came in on, of one of the instance's sites, or any (RFC 1812 4.3.2.4);
  /// before others one that is an EID of the instance, for the tunnel takes no other (rule E15). Off the instance's own ports an
  /// address tells only by its prefix whose it is, which instances may share.
  private func ownAddress(of family: AddressFamily, for item: PuntRing.Item) -> IPAddress? {
    let arrival = ports.filter { $0.number == item.port && $0.configuration.role.facesSite }
    let others = ports.filter { $0.siteTag(of: item.instanceID) != nil }
    let near = (arrival + others + ports).flatMap { kernel.globalAddresses($0.index) }
    let candidates = (near + kernel.globalAddresses()).filter { $0.family == family }
    return candidates.first { isOwnEID(item.instanceID, $0) } ?? candidates.first
  }

  /// A packet that has waited for its mapping goes the way that the mapping says; `port` is where it came in.
  func release(_ packet: [UInt8], to destination: IPAddress, _ instance: InstanceID, port number: Int) {
    guard let port = ports.first(where: { $0.number == number }), let tag = port.siteTag(of: instance) else { return count(false) }
    process(packet, to: destination, port, tag) { verdict, frame, original in
      if verdict.isTransmit, let header = EthernetView(frame) {
        send(frame.dropFirst(header.payloadOffset))
      } else if let reason = verdict.puntReason, reason != .miss {
        let packet = reason == .outerNeighbour ? frame : original
        handle(PuntRing.Item(kind: .punt(reason), port: number, instanceID: instance, packet: packet))
      } else {
        if let reason = verdict.dropReason {
          notice(reason, PuntRing.Item(kind: .notice(reason), port: number, instanceID: instance, packet: original))
        }
        count(false)
      }
    }
  }

  /// A packet of our own, as if it came from the site. What the mappings do not let out stays here: natively it would leave its instance.
  private func forward(_ packet: [UInt8], from source: IPAddress, to destination: IPAddress, _ instance: InstanceID) {
    guard let (port, tag) = ports.lazy.compactMap({ port in port.siteTag(of: instance).map { (port, $0) } }).first else {
      return count(false)
    }
    process(packet, to: destination, port, tag) { verdict, frame, original in
      if verdict.puntReason == .outerNeighbour {
        send(frame)
      } else if verdict.isTransmit, let header = EthernetView(frame) {
        send(frame.dropFirst(header.payloadOffset))
      } else if verdict.puntReason == .nativeForward || verdict == .drop(.sourceNotLocal) && isOwnEID(instance, destination) {
        inject(original, instance)
      } else {
        if verdict.puntReason == .miss { miss(instance, from: source, to: destination) }
        count(false)
      }
    }
  }

  /// Has the engine decide about a packet as if it came in on a site port. `body` gets the frame as the engine left it, and the packet
  /// where the engine has not changed it.
  private func process(
    _ packet: [UInt8], to destination: IPAddress, _ port: Port, _ tag: Port.SiteTag, _ body: (Verdict, PacketBytes, PacketBytes) -> Void
  ) {
    let type: EtherType = destination.family == .ipv4 ? .ipv4 : .ipv6
    let ethernet = EthernetHeader(destination: port.macAddress, source: port.macAddress, vlan: tag.vlan, etherType: type).array
    PacketBuffer(ethernet + packet, headroom: 128).withBytes { bytes in
      batch.clear()
      batch.append(bytes.dropFirst(128))
      engine.process(&batch, port: port.number, root: root)
      let (verdict, frame, _) = batch.outcome(0)
      body(verdict, frame, bytes.dropFirst(128 + ethernet.count))
    }
  }
}
