// SPDX-License-Identifier: Apache-2.0
//
// What a Map-Server wants done, and what it says. The program does it: it sends, writes rows and log lines.

import Wire

/// Something that the caller of MapServer has to do, in the order in which they come.
public enum MapServerAction: Hashable, Sendable {
  case send(Datagram)
  /// Keep this row, in the place of another with its key.
  case store(MapServerRow)
  /// Drop the row with this key.
  case forget(MapServerRow.Key)
  case log(MapServerEvent)
}

/// What is worth a line in the log.
public enum MapServerEvent: Hashable, Sendable, CustomStringConvertible {
  /// Messages of (or for) a site were refused: `count` of them since the last such line, the last one from `from`.
  case refused(site: String?, Refusal, from: Endpoint, count: Int)
  /// An xTR did not acknowledge a Map-Notify about what others have merged.
  case notifyUnanswered(site: String, xtr: String)
  /// A subscriber did not acknowledge, or could not be told, and is subscribed no more.
  case subscriptionDropped(EIDPrefix, xtr: String)

  public var description: String {
    switch self {
    case .refused(let site, let refusal, let from, let count):
      "refused \(count) \(count == 1 ? "message" : "messages")\(site.map { " of site \($0)" } ?? ""), last from \(from): \(refusal.meaning)"
    case .notifyUnanswered(let site, let xtr): "xTR \(xtr) of site \(site) did not acknowledge a Map-Notify"
    case .subscriptionDropped(let eid, let xtr): "xTR \(xtr) does not acknowledge: its subscription to \(eid) has ended"
    }
  }
}

/// What came in and what became of it. Every message is counted once under `received` or `Refusal.unknownType`, and once under
/// `accepted` or a refusal.
public struct MapServerCounters: Hashable, Sendable {
  /// Messages by type; what has no type that we know, or no byte, is not among them.
  public var received: [ControlMessageType: Int] = [:]
  public var accepted = 0
  public var refused: [Refusal: Int] = [:]
  public var repliesSent = 0
  public var negativeRecordsSent = 0
  public var requestsForwarded = 0
  /// Map-Notifies that answer a Map-Register.
  public var notifiesSent = 0
  /// Map-Notifies on our own account, without retransmissions.
  public var announcementsSent = 0
  public var retransmissions = 0
  public var acknowledged = 0
  public var expired = 0

  public init() {}
}
