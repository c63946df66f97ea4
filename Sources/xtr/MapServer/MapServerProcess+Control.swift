// SPDX-License-Identifier: Apache-2.0
//
// The map-server's answers to its control socket: the same protocol as the router's, of which it knows what makes sense for a map-server.

import ControlAPI
import ControlPlane
import Wire

extension MapServerProcess: ControlService {
  func answer(_ request: ControlRequest, from client: ClientID) async -> ControlAnswer {
    switch request.operation {
    case .hello, .watch: return .done
    case .registrations(let after, let limit):
      let page = server.page(after: after, limit: limit, now: .now)
      return .registered(page.registrations.map(RegisteredEntry.init), next: page.next)
    case .control: return .control(status())
    case .reload:
      do {
        try reload()
        return .done
      } catch let errors as ConfigurationErrors {
        return .failure(ControlFailure(.invalid, "\(errors)"))
      } catch {
        return .failure(ControlFailure(.failed, "\(error)"))
      }
    case .drain:
      requestEnd()
      return .done
    case .add, .delete, .replace, .get, .list, .stats, .status, .drops, .database, .interfaces, .neighbours, .resolutions, .locator,
      .probes, .peers:
      return .failure(ControlFailure(.unknownOperation, "this is a map-server: ask a router, or for registrations and control"))
    }
  }

  private func status() -> ControlPlaneStatus {
    let refused = server.counters.refused.map { reason, count in
      CountedReason(reason: reason.rawValue, count: UInt64(count), meaning: reason.meaning)
    }
    let refusals = server.lastRefusals(now: .now).map {
      SiteRefusal(
        site: $0.site, reason: $0.reason.rawValue, from: "\($0.from)", secondsAgo: $0.ago / .seconds(1), count: UInt64($0.count),
        why: $0.reason.meaning)
    }
    return ControlPlaneStatus(
      addresses: sockets?.addresses.map(\.description) ?? [], received: received, sent: sockets?.sent ?? 0,
      unsendable: sockets?.unsendable ?? 0, dropped: sockets?.dropped ?? 0, refused: refused.ordered, siteRefusals: refusals,
      events: server.counters.events)
  }
}

extension MapServerCounters {
  /// What occurred, in the order in which it occurs.
  fileprivate var events: [CountedReason] {
    let kinds = [
      ("replies", repliesSent, "Map-Replies sent"), ("negative-records", negativeRecordsSent, "records in them that say: not mapped"),
      ("forwarded", requestsForwarded, "Map-Requests that went on to an ETR"),
      ("notifies", notifiesSent, "Map-Notifies that answer a Map-Register"),
      ("announcements", announcementsSent, "Map-Notifies to subscribers, and to xTRs about what others merged"),
      ("retransmissions", retransmissions, "announcements sent again, because no acknowledgement came"),
      ("acknowledged", acknowledged, "announcements that were acknowledged"),
      ("expired", expired, "registrations that were not refreshed in time"),
    ]
    return kinds.filter { $0.1 > 0 }.map { CountedReason(reason: $0.0, count: UInt64($0.1), meaning: $0.2) }
  }
}

extension [CountedReason] {
  /// What occurs most first.
  var ordered: Self { filter { $0.count > 0 }.sorted { ($1.count, $0.reason) < ($0.count, $1.reason) } }
}

extension RegisteredLocator {
  init(_ record: LocatorRecord) {
    self.init(
      address: "\(record.address)", priority: record.priority, weight: record.weight, reachable: record.flags.contains(.reachable))
  }
}

extension RegisteredEntry {
  fileprivate init(_ view: RegistrationView) {
    self.init(
      instanceID: view.eid.instanceID.rawValue, eidPrefix: "\(view.eid.prefix)", site: view.site, proxied: view.isProxied,
      ttlMinutes: view.ttl, locators: view.locators.map(RegisteredLocator.init),
      xtrs: view.xtrs.map { xtr in
        XTR(
          name: "\(xtr.name)", address: "\(xtr.source)", proxyReply: xtr.wantsProxyReply, merge: xtr.merges,
          ageSeconds: xtr.age / .seconds(1), refreshedSecondsAgo: xtr.refreshedAgo / .seconds(1),
          expiresInSeconds: xtr.expiresIn / .seconds(1)
        )
      })
  }
}
