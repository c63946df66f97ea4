// SPDX-License-Identifier: Apache-2.0
//
// A status value of every kind that goes over the control socket. The tests of ControlAPI code and decode them, those of xtr have a router that
// answers with them and read what the commands print.

import ControlAPI

extension RouterStatus {
  public static let sample = RouterStatus(
    version: "0.1.0", pid: 42, state: .forwarding, uptimeSeconds: 12.5, configuration: "/etc/xtr/site.toml", generation: 7, mappings: 3,
    databasePrefixes: 1, locators: 2,
    workers: [
      WorkerStatus(
        index: 0, core: 1, queue: 0, loops: 1000, busyPercent: 12.5, sleeps: 3, received: 10, transmitted: 7, dropped: 2, punted: 1,
        frames: FrameStatus(free: 1, fill: 2, received: 3, transmit: 4, total: 10, violations: 0))
    ],
    totals: .sample, exception: ExceptionStatus(injected: 1, failed: 0, overflowed: 0))
}

extension TrafficTotals {
  public static let sample = TrafficTotals(
    received: PacketCount(packets: 10, bytes: 640), transmitted: PacketCount(packets: 7, bytes: .max), encapsulated: 4, decapsulated: 3,
    dropped: 2, punted: 1, drops: [ReasonCount(reason: "no-mapping", packets: 2)],
    punts: [ReasonCount(reason: "neighbour-unknown", packets: 1)])
}

extension InterfaceStatus {
  public static let sample = InterfaceStatus(
    name: "core0", index: 3, role: "core", up: true, driver: "veth", attachMode: "native",
    queues: [
      QueueStatus(
        queue: 0, worker: 0, socketMode: "copy",
        kernel: KernelQueueStatistics(
          rxDropped: 1, rxInvalidDescriptors: 2, txInvalidDescriptors: 3, rxRingFull: 4, rxFillRingEmpty: 5, txRingEmpty: 6))
    ], mtu: 1556, mac: "02:00:00:00:00:01", rlocs: ["192.0.2.1"], received: PacketCount(packets: 1, bytes: 2),
    transmitted: PacketCount(packets: 3, bytes: 4), changedOffloads: ["rx-lro"])
}

extension NeighbourStatus {
  public static let sample = NeighbourStatus(
    interface: "core0", address: "192.0.2.254", mac: nil, state: "incomplete", usedBy: ["192.0.2.2", "a \"quoted\" name"])
}

extension PeerStatus {
  public static let sample = PeerStatus(rloc: "2001:db8::2", secondsAgo: 59)
}

extension RegistrationEntry {
  public static let sample = RegistrationEntry(
    instanceID: 7, eidPrefix: "10.1.0.0/16", mapServer: "192.0.2.100", state: "unanswered", sinceSeconds: 12.5, lastRegisterSecondsAgo: 3,
    tries: 3, notifiedSecondsAgo: nil, nextRegisterInSeconds: 1, locators: [.sample], why: "no Map-Notify")
}

extension RegisteredLocator {
  public static let sample = RegisteredLocator(address: "192.0.2.1", priority: 1, weight: 100, reachable: false)
}

extension RegisteredEntry {
  public static let sample = RegisteredEntry(
    instanceID: 7, eidPrefix: "10.1.0.0/16", site: "berlin", proxied: true, ttlMinutes: 1440, locators: [.sample],
    xtrs: [
      XTR(
        name: "00", address: "192.0.2.1", proxyReply: true, merge: true, ageSeconds: 61, refreshedSecondsAgo: 3, expiresInSeconds: 177)
    ])
}

extension ResolutionEntry {
  public static let sample = ResolutionEntry(
    instanceID: 0, eidPrefix: "10.2.0.5/32", state: "asking", tries: 2, lastRequestSecondsAgo: 1, asked: "192.0.2.100",
    lastReplySecondsAgo: nil, answeredBy: nil, nextTryInSeconds: 2)
}

extension ProbeEntry {
  public static let sample = ProbeEntry(
    rloc: "192.0.2.2", state: "up", roundTripMilliseconds: 1.234, lastProbeSecondsAgo: 4, lastReplySecondsAgo: 4, nextProbeInSeconds: 5,
    reachable: true, why: "It answers probes.")
}

extension ControlPlaneStatus {
  public static let sample = ControlPlaneStatus(
    addresses: ["192.0.2.1"], mapResolvers: ["192.0.2.100"], received: 12345, sent: 7, unsendable: 8, dropped: 9,
    refused: [CountedReason(reason: "unknown-nonce", count: 3, meaning: "late, doubled or spoofed")],
    siteRefusals: [
      SiteRefusal(site: "berlin", reason: "wrong-key", from: "192.0.2.9:4342", secondsAgo: 62, count: 10, why: "the keys differ"),
      SiteRefusal(site: nil, reason: "unknown-site", from: "192.0.2.9:4342", secondsAgo: 1.5, count: 1, why: "no site has it"),
    ], waiting: 1, released: 2,
    unresolved: [CountedReason(reason: "timed-out", count: 4, meaning: "nobody answered")], outstanding: 5,
    events: [CountedReason(reason: "replies", count: 6, meaning: "Map-Replies sent")])
}
