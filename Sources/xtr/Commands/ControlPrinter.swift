// SPDX-License-Identifier: Apache-2.0
//
// The mapping system for people: what `xtr show map-cache`, `registrations`, `probes` and `control` print without --json.

import ControlAPI

enum ControlPrinter {
  static func text(_ rows: [ResolutionEntry]) -> String {
    var table = TextTable(
      ("INSTANCE", .right), ("ASKED FOR", .left), ("STATE", .left), ("TRIES", .right), ("LAST REQUEST", .right), ("TO", .left),
      ("LAST REPLY", .right), ("FROM", .left), ("NEXT TRY", .right))
    for row in rows {
      table.add(
        "\(row.instanceID)", row.eidPrefix, row.state, "\(row.tries)", ago(row.lastRequestSecondsAgo), row.asked ?? "",
        ago(row.lastReplySecondsAgo), row.answeredBy ?? "", ahead(row.nextTryInSeconds))
    }
    return table.text(empty: "no requests to the mapping system")
  }

  static func text(_ rows: [RegistrationEntry]) -> String {
    var table = TextTable(
      ("INSTANCE", .right), ("EID-PREFIX", .left), ("MAP-SERVER", .left), ("STATE", .left), ("SINCE", .right), ("LAST REGISTER", .right),
      ("TRIES", .right), ("LAST NOTIFY", .right), ("NEXT", .right), ("WHY", .left))
    for row in rows {
      table.add(
        "\(row.instanceID)", row.eidPrefix, row.mapServer, row.state, duration(seconds: row.sinceSeconds), ago(row.lastRegisterSecondsAgo),
        "\(row.tries)", ago(row.notifiedSecondsAgo), ahead(row.nextRegisterInSeconds), row.why)
    }
    return table.text(empty: "nothing is registered: the configuration has no map-server or no EID-prefix")
  }

  static func text(_ rows: [RegisteredEntry]) -> String {
    var table = TextTable(
      ("INSTANCE", .right), ("EID-PREFIX", .left), ("SITE", .left), ("LOCATORS", .left), ("ANSWERS", .left), ("XTR", .left),
      ("REFRESHED", .right), ("EXPIRES", .right))
    for row in rows {
      let locators = row.locators.map { "\($0.address) \($0.priority)/\($0.weight)\($0.reachable ? "" : " down")" }.joined(separator: ", ")
      for (i, xtr) in row.xtrs.enumerated() {
        table.add(
          i == 0 ? "\(row.instanceID)" : "", i == 0 ? row.eidPrefix : "", i == 0 ? row.site : "", i == 0 ? locators : "",
          i == 0 ? (row.proxied ? "the map-server" : "the site") : "", "\(xtr.address)\(xtr.merge ? ", merges" : "")",
          ago(xtr.refreshedSecondsAgo), ahead(xtr.expiresInSeconds))
      }
    }
    return table.text(empty: "nothing is registered")
  }

  static func text(_ rows: [ProbeEntry]) -> String {
    var table = TextTable(
      ("RLOC", .left), ("PROBES SAY", .left), ("ROUND TRIP", .right), ("LAST PROBE", .right), ("LAST REPLY", .right), ("NEXT", .right),
      ("IN USE", .left), ("WHY", .left))
    for row in rows {
      table.add(
        row.rloc, row.state, row.roundTripMilliseconds.map { "\(hundredths($0)) ms" } ?? "", ago(row.lastProbeSecondsAgo),
        ago(row.lastReplySecondsAgo), ahead(row.nextProbeInSeconds), row.reachable ? "yes" : "no", row.why)
    }
    return table.text(empty: "no locators in use")
  }

  static func text(_ status: ControlPlaneStatus) -> String {
    var lines = ["port 4342 of \(status.addresses.isEmpty ? "no address" : status.addresses.joined(separator: ", "))"]
    if !status.mapResolvers.isEmpty { lines.append("map-resolvers \(status.mapResolvers.joined(separator: ", "))") }
    lines.append("\(grouped(status.received)) control messages received, \(grouped(status.sent)) sent")
    if status.unsendable > 0 {
      lines.append("\(grouped(status.unsendable)) could not be sent: no way there, or no address of ours of that family")
    }
    if status.dropped > 0 {
      lines.append("\(grouped(status.dropped)) thrown away by the kernel before they were read: buffer full, or checksum wrong")
    }
    if !status.mapResolvers.isEmpty {
      lines.append(
        "\(counted(status.outstanding, "request")) under way, \(counted(status.waiting, "packet")) waiting, "
          + "\(grouped(status.released)) released when the answer came")
    }
    var parts = [lines.joined(separator: "\n")]
    if !status.events.isEmpty { parts.append(text(status.events, of: "TIMES", empty: "")) }
    parts.append(text(status.refused, of: "MESSAGES REFUSED", empty: "no message was refused"))
    if !status.siteRefusals.isEmpty { parts.append(text(status.siteRefusals)) }
    if !status.unresolved.isEmpty { parts.append(text(status.unresolved, of: "PACKETS GIVEN UP", empty: "")) }
    if !status.subscriptions.isEmpty { parts.append(text(status.subscriptions)) }
    return parts.joined(separator: "\n\n")
  }

  /// The last registration that was refused of each site.
  static func text(_ rows: [SiteRefusal]) -> String {
    var table = TextTable(
      ("REFUSED OF SITE", .left), ("LAST", .right), ("FROM", .left), ("TIMES", .right), ("REASON", .left), ("MEANING", .left))
    for row in rows { table.add(row.site ?? "(none)", ago(row.secondsAgo), row.from, grouped(row.count), row.reason, row.why) }
    return table.text(empty: "no registration was refused")
  }

  private static func text(_ rows: [SubscriptionEntry]) -> String {
    var table = TextTable(
      ("INSTANCE", .right), ("SUBSCRIBED TO", .left), ("STATE", .left), ("MAP-SERVER", .left), ("LAST REQUEST", .right),
      ("LAST NOTIFY", .right), ("NEXT TRY", .right))
    for row in rows {
      table.add(
        "\(row.instanceID)", row.eidPrefix, row.state, row.mapServer ?? "", ago(row.lastRequestSecondsAgo), ago(row.lastNotifySecondsAgo),
        ahead(row.nextTryInSeconds))
    }
    return table.text(empty: "")
  }

  private static func text(_ reasons: [CountedReason], of what: String, empty: String) -> String {
    var table = TextTable((what, .right), ("REASON", .left), ("MEANING", .left))
    for reason in reasons { table.add(grouped(reason.count), reason.reason, reason.meaning) }
    return table.text(empty: empty)
  }

  private static func ago(_ seconds: Double?) -> String { seconds.map { "\(duration(seconds: $0)) ago" } ?? "" }
  private static func ahead(_ seconds: Double?) -> String { seconds.map { "in \(duration(seconds: $0))" } ?? "" }

  /// Two decimals, without Foundation.
  static func hundredths(_ number: Double) -> String {
    guard number.isFinite else { return "" }
    let hundredths = Int((min(max(number, 0), 1e9) * 100).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
  }
}
