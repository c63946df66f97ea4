// SPDX-License-Identifier: Apache-2.0
//
// Rows out of the state, and the state out of rows: how a Map-Server outlives its process. See MapServerRow.

import Wire

extension MapServer {
  func row(_ registration: Registration, of entry: RegisteredPrefix, _ now: Instant) -> MapServerRow.Registration {
    MapServerRow.Registration(
      eid: entry.eid, site: sites.name(entry.site), xtr: xtrs[registration.xtr]?.name ?? .address(.v4(.any)),
      wantsProxyReply: registration.wantsProxyReply, merges: registration.merges, usesTTL: registration.usesTTL,
      record: registration.record,
      age: registration.since.duration(to: now), expiresIn: now.duration(to: registration.deadline))
  }

  func row(_ xtr: RegisteringXTR) -> MapServerRow.XTR {
    MapServerRow.XTR(
      site: sites.name(xtr.site), name: xtr.name, source: xtr.source,
      nonces: xtr.nonces.map { .init(keyID: $0.keyID, algorithmID: $0.algorithm.rawValue, nonce: $0.nonce, code: $0.code) })
  }

  func row(_ subscription: Subscription) -> MapServerRow.Subscription {
    MapServerRow.Subscription(
      eid: subscription.eid, xtr: subscription.xtr, site: sites.name(subscription.site), itrRLOCs: subscription.itrRLOCs,
      nonce: subscription.nonce)
  }

  // MARK: - What refreshes changed

  mutating func touch(_ eid: EIDPrefix) {
    if let slot = registrations.touch(eid) { touchedEntries.append(slot) }
  }

  mutating func touchXTR(_ number: UInt32) {
    guard xtrs[number]?.isTouched == false else { return }
    xtrs[number]?.isTouched = true
    touchedXTRs.append(number)
  }

  /// Rows to be stored whose content is as it was, but for nonces and deadlines; about `limit` of them, none when there are no more.
  public mutating func touchedRows(limit: Int, now: Instant) -> [MapServerRow] {
    var rows: [MapServerRow] = []
    while rows.count < limit, let number = touchedXTRs.popLast() {
      guard let xtr = xtrs[number] else { continue }
      xtrs[number]?.isTouched = false
      rows.append(.xtr(row(xtr)))
    }
    while rows.count < limit, let slot = touchedEntries.popLast() {
      guard let entry = registrations[slot], entry.isTouched else { continue }
      registrations.clearTouched(slot)
      rows += entry.registrations.map { .registration(row($0, of: entry, now)) }
    }
    return rows
  }

  // MARK: - After a restart

  /// What a registration has left after a restart at least, and how long ago its time may have ended for that: the server did not hear
  /// refreshes while it was away, and a row that it did not forget was alive when it went. Our choice.
  static let graceAfterRestart = Duration.seconds(180)
  static let longestAbsence = Duration.seconds(600)

  /// Takes back a row; false: it says nothing any more (its time is over, its site is gone or may not register it, or it is no row of
  /// ours) and is to be forgotten. Rows may come in any order, all of them before the first message: then subscribers are told of the
  /// prefixes that have ended meanwhile. O(bits of the prefix).
  public mutating func restore(_ row: MapServerRow, now: Instant) -> Bool {
    switch row {
    case .registration(let row): restore(row, now)
    case .xtr(let row): restore(row)
    case .subscription(let row): restore(row)
    }
  }

  private mutating func restore(_ row: MapServerRow.Registration, _ now: Instant) -> Bool {
    guard row.expiresIn > .zero - Self.longestAbsence, let site = sites.number(named: row.site), sites.allows(row.eid, site: site),
      let record = MapServerRecord.decoded(row.record), record.eidPrefix == row.eid, !record.locators.isEmpty,
      registrations.count < settings.maximumRegistrations
    else {
      changes.append((row.eid, nil))
      return false
    }
    let source: IPAddress =
      switch row.xtr {
      case .address(let address): address
      case .id: record.locators.lazy.compactMap(\.address.locatorIP).first ?? .v4(.any)
      }
    let xtr = RegisteringXTR(site: site, name: row.xtr, source: source)
    guard let number = xtrs.add(xtr, limit: settings.maximumXTRsPerSite) else { return false }
    // More than a whole life is the word of a clock that was set back.
    let left = min(row.expiresIn, Self.lifetime(of: record, usesTTL: row.usesTTL))
    let registration = Registration(
      xtr: number, wantsProxyReply: row.wantsProxyReply, merges: row.merges, usesTTL: row.usesTTL, record: row.record,
      since: now - row.age, refreshed: now, deadline: now + max(left, Self.graceAfterRestart))
    _ = registrations.put(registration, for: row.eid, site: site)
    return true
  }

  private mutating func restore(_ row: MapServerRow.XTR) -> Bool {
    guard let site = sites.number(named: row.site) else { return false }
    let xtr = RegisteringXTR(site: site, name: row.name, source: row.source)
    guard let number = xtrs.add(xtr, limit: settings.maximumXTRsPerSite) else { return false }
    xtrs[number]?.source = row.source
    for nonce in row.nonces {
      guard let algorithm = AuthenticationAlgorithm(rawValue: nonce.algorithmID), sites.site(site)?.key(nonce.keyID, algorithm) != nil
      else {
        continue
      }
      let last = RegisteringXTR.LastNonce(keyID: nonce.keyID, algorithm: algorithm, nonce: nonce.nonce, code: nonce.code)
      xtrs.accept(last, from: number, source: row.source)
    }
    return true
  }

  private mutating func restore(_ row: MapServerRow.Subscription) -> Bool {
    guard let site = sites.number(named: row.site), sites.maySubscribe(site, to: row.eid),
      subscriptions.count < settings.maximumSubscriptions
    else { return false }
    let reachable = row.itrRLOCs.filter { settings.families.contains($0.family) }
    guard !reachable.isEmpty else { return false }
    _ = subscriptions.put(Subscription(eid: row.eid, xtr: row.xtr, site: site, itrRLOCs: reachable, nonce: row.nonce))
    return true
  }
}
