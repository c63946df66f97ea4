// SPDX-License-Identifier: Apache-2.0
//
// Map-Registers (RFC 9301 5.6, 8.2). A message is obeyed as a whole or refused as a whole, under the first reason found in this order:
//
//     unknown-site      no configured prefix is around the EID of its first record
//     wrong-key         none of that site's keys verifies it
//     bad-record        an EID is no IP prefix in an instance
//     eid-not-allowed   an EID-prefix is not the site's to register
//     bad-locator       a locator that no packet may be sent to (rule C9)
//     too-many          the server's bounds
//     replayed          its nonce is not beyond the last one of its xTR under that key (an exact copy is notified again)
//
// A record with TTL 0 or without locators withdraws what the xTR has registered for its prefix.
//
// The Map-Notify goes to port 4342 of where the message came from, not to its source port (8.2), with its nonce, signed with its key. Its
// records are those of the message, with the merged mapping in the place of what was merged.

import Wire

extension MapServer {
  /// How long a registration lasts (section 8.2), and one under T whose TTL is left to us.
  static let registrationLifetime = Duration.seconds(180)
  static let ownChoiceOfTTL = Duration.seconds(86_400)
  /// In the first word of a Map-Notify that carries an xTR-ID, as implementations in the field send it.
  private static let identityFollows: UInt32 = 1 << 27

  mutating func register(_ register: MapRegister, _ bytes: [UInt8], _ arrival: Arrival, _ now: Instant) -> Refusal? {
    guard let number = register.records.first?.eidPrefix.flatMap({ sites.match($0)?.site }), let site = sites.site(number) else {
      return refuse(.unknownSite, site: nil, arrival, now)
    }
    guard let key = site.key(thatSigned: register, bytes) else { return refuse(.wrongKey, site: number, arrival, now) }
    if let refusal = judge(register, site: number) { return refuse(refusal, site: number, arrival, now) }
    let new = RegisteringXTR(
      site: number, name: register.identity.map(XTRName.id) ?? .address(arrival.from.address), source: arrival.from.address)
    guard let xtr = xtrs.add(new, limit: settings.maximumXTRsPerSite), !mergesTooMany(register, xtr) else {
      return refuse(.tooMany, site: number, arrival, now)
    }
    let nonce = RegisteringXTR.LastNonce(
      keyID: key.id, algorithm: key.algorithm, nonce: register.nonce,
      code: register.authentication.data.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
    if site.requiresIncreasingNonces {
      switch xtrs.freshness(of: nonce, from: xtr) {
      case .new: break
      case .copy:
        if register.flags.contains(.wantNotify) { notify(register, key, to: xtrs[xtr]?.source ?? arrival.from.address, from: arrival.to) }
        return .replayed
      case .replay: return refuse(.replayed, site: number, arrival, now)
      }
    }
    xtrs.accept(nonce, from: xtr, source: arrival.from.address)
    touchXTR(xtr)
    for record in register.records { apply(record, register.flags, xtr, now) }
    if register.flags.contains(.wantNotify) { notify(register, key, to: arrival.from.address, from: arrival.to) }
    return nil
  }

  /// How long a registration lasts that is not refreshed.
  static func lifetime(ttlMinutes: UInt32, usesTTL: Bool) -> Duration {
    guard usesTTL else { return registrationLifetime }
    return ttlMinutes == EIDRecord.receiverChoosesTTL ? ownChoiceOfTTL : .seconds(60 * Int64(ttlMinutes))
  }

  private mutating func refuse(_ refusal: Refusal, site: SiteTable.Number?, _ arrival: Arrival, _ now: Instant) -> Refusal {
    if let count = refusals.note(refusal, site: site, from: arrival.from, now: now) {
      actions.append(.log(.refused(site: site.map(sites.name), refusal, from: arrival.from, count: count)))
    }
    return refusal
  }

  /// What is wrong with the records of an authenticated message.
  private func judge(_ register: MapRegister, site: SiteTable.Number) -> Refusal? {
    for record in register.records {
      guard let eid = record.eidPrefix else { return .badRecord }
      guard sites.allows(eid, site: site) else { return .eidNotAllowed }
      guard !MapServerRecord.hasBadLocator(record) else { return .badLocator }
    }
    guard registrations.count + register.records.count > settings.maximumRegistrations else { return nil }
    let added = register.records.count { $0.eidPrefix.map { registrations.prefixes[$0] == nil } ?? false }
    return registrations.count + added > settings.maximumRegistrations ? .tooMany : nil
  }

  /// Whether the xTR would be one too many to merge a prefix.
  private func mergesTooMany(_ register: MapRegister, _ xtr: UInt32) -> Bool {
    guard register.flags.contains(.merge) else { return false }
    return register.records.contains { record in
      guard let all = record.eidPrefix.flatMap({ registrations[$0]?.registrations }) else { return false }
      return all.count >= settings.maximumXTRsPerPrefix && !all.contains { $0.xtr == xtr }
    }
  }

  private mutating func apply(_ record: EIDRecord, _ flags: MapRegister.Flags, _ xtr: UInt32, _ now: Instant) {
    guard let eid = record.eidPrefix, let site = xtrs[xtr]?.site else { return }
    guard record.ttl > 0, !record.locators.isEmpty else {
      guard let outcome = registrations.remove(eid, xtr: xtr) else { return }
      withdrawn(eid, xtr: xtr)
      if outcome.mappingChanged { changes.append((eid, xtr)) }
      return
    }
    let registration = Registration(
      xtr: xtr, wantsProxyReply: flags.contains(.proxyReply), merges: flags.contains(.merge), usesTTL: flags.contains(.useTTL),
      record: MapServerRecord.encoded(record), since: now, refreshed: now,
      deadline: now + Self.lifetime(ttlMinutes: record.ttl, usesTTL: flags.contains(.useTTL)))
    let outcome = registrations.put(registration, for: eid, site: site)
    for displaced in outcome.displaced { withdrawn(eid, xtr: displaced) }
    if outcome.mappingChanged { changes.append((eid, xtr)) }
    if outcome.contentChanged {
      if let entry = registrations[eid] { actions.append(.store(.registration(row(registration, of: entry, now)))) }
    } else {
      touch(eid)
    }
  }

  // MARK: - Map-Notify

  private mutating func notify(_ register: MapRegister, _ key: AuthenticationKey, to address: IPAddress, from source: IPAddress) {
    var notify = MapNotify(nonce: register.nonce, records: register.records, identity: register.identity)
    if register.identity != nil { notify.flags = Self.identityFollows }
    if register.flags.contains(.merge) {
      notify.records = register.records.map { record in
        guard let eid = record.eidPrefix, let entry = registrations[eid], record.ttl > 0 else { return record }
        return MapServerRecord.decoded(entry.mapping) ?? record
      }
    }
    counters.notifiesSent += 1
    send(key.sign(notify: notify), to: Endpoint(address), from: source)
  }
}

extension MapServerSite {
  /// The key that verifies the message.
  fileprivate func key(thatSigned register: MapRegister, _ bytes: [UInt8]) -> AuthenticationKey? {
    keys.first { $0.verifies(bytes, type: .mapRegister, nonce: register.nonce, fields: register.authentication) }
  }
}
