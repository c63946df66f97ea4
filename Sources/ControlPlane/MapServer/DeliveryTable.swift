// SPDX-License-Identifier: Apache-2.0
//
// Map-Notifies on the server's own account, which are sent until they are acknowledged (RFC 9301 5.7): to subscribers (RFC 9437), and to
// xTRs whose locators are merged with others'.
//
// A recipient has one delivery at most, and a delivery has one message under way. What else there is to tell waits in line:
//
//     pending    10.1.0.0/16  10.2.0.0/16  10.3.0.0/16  10.4.0.0/16
//                ╰── in the message under way ───────╯  ╰─ waits ─╯
//
// An acknowledgement takes the front part off, and the rest makes the next message. A change meanwhile is not made to wait for an old
// message's acknowledgement: a new message takes the old one's place, with the newest mappings and a new nonce, and the timer goes on as
// it was: a recipient that never answers is given up after 75 seconds, whatever changes. Only the confirmation of a subscription stays as
// it is until it is acknowledged, for its nonce says what it is.
//
// A message is sent at 0, 3, 6, 9, 15, 27 and 51 seconds (three times three seconds, then doubling three times).

import MapCache
import Wire

/// Who is told.
enum Recipient: Hashable, Sendable {
  /// An xTR, by its number.
  case xtr(UInt32)
  /// A subscription, by its slot.
  case subscription(UInt32)
}

/// What a recipient has to be told.
struct Delivery: Sendable {
  /// A message under way.
  struct Message: Sendable {
    var nonce: UInt64
    var payload: [UInt8]
    var key: AuthenticationKey
    /// How many of `pending`, from the front, it is about.
    var count: Int
    var isConfirmation: Bool
  }

  var recipient: Recipient
  /// Tried in turn; not empty.
  var destinations: [IPAddress]
  /// Changed and not acknowledged. A confirmed prefix that changes comes once more behind the confirmation.
  var pending: [EIDPrefix] = []
  /// Those among them that need not be added when they change again.
  fileprivate var pendingSet: Set<EIDPrefix> = []
  var message: Message?
  /// How often the recipient was sent something since it last answered.
  var attempts = 0
  /// Whether it stands in line for a message.
  fileprivate var waits = false
  /// Where an acknowledgement of the message may come from.
  fileprivate var acknowledgers: Set<IPAddress> = []

  var destination: Endpoint { Endpoint(destinations[max(attempts - 1, 0) % destinations.count]) }
}

/// Deliveries by recipient. Thread: slow path.
struct DeliveryTable: Sendable {
  typealias Slot = UInt32

  private struct Sent: Hashable, Sendable {
    var nonce: UInt64
    var to: IPAddress
  }

  /// Between one sending and the next, and before giving up.
  static let waits: [Duration] = [3, 3, 3, 6, 12, 24, 24].map(Duration.seconds)
  /// What one recipient may be behind: more is a recipient that is lost.
  static let maximumPending = 65_536

  private var slots: ContiguousArray<Delivery?> = []
  private var free: [Slot] = []
  private var byRecipient: [Recipient: Slot] = [:]
  private var bySent: [Sent: [Slot]] = [:]
  private var deadlines = DeadlineQueue()
  /// Those that stand in line, and from where on they still do.
  private var line: [Slot] = []
  private var lineStart = 0
  private var lineSince: Instant?

  /// Confirmations of subscriptions that are under way.
  private(set) var confirmationCount = 0

  var count: Int { byRecipient.count }
  var hasWaiting: Bool { lineStart < line.count }
  var nextDeadline: Instant? { [deadlines.first?.deadline, hasWaiting ? lineSince : nil].compactMap(\.self).min() }

  subscript(_ slot: Slot) -> Delivery? { slots[Int(slot)] }

  /// `eid` has changed for `recipient`; false when it is too far behind. `destinations` is not empty.
  mutating func add(_ eid: EIDPrefix, for recipient: Recipient, destinations: [IPAddress], now: Instant) -> Bool {
    let slot = byRecipient[recipient] ?? insert(Delivery(recipient: recipient, destinations: destinations))
    guard var delivery = take(slot) else { return false }
    defer { slots[Int(slot)] = delivery }
    delivery.destinations = destinations
    guard delivery.pending.count < Self.maximumPending else { return false }
    if delivery.pendingSet.insert(eid).inserted { delivery.pending.append(eid) }
    if delivery.message?.isConfirmation != true { queue(&delivery, slot, now) }
    return true
  }

  /// The next that stands in line.
  mutating func nextWaiting() -> Slot? {
    while lineStart < line.count {
      let slot = line[lineStart]
      lineStart += 1
      if lineStart == line.count { (line, lineStart) = ([], 0) }
      guard slots[Int(slot)]?.waits == true else { continue }
      slots[Int(slot)]?.waits = false
      return slot
    }
    return nil
  }

  /// Puts a new message under way, in the place of another.
  mutating func start(_ message: Delivery.Message, of slot: Slot, now: Instant) {
    guard var delivery = take(slot) else { return }
    let wasUnderWay = delivery.message != nil
    unindex(delivery, slot)
    delivery.message = message
    if message.isConfirmation { confirmationCount += 1 }
    if !wasUnderWay {
      delivery.attempts = 1
      deadlines.schedule(slot, at: now + Self.waits[0])
    }
    delivery.acknowledgers = Set(delivery.destinations)
    for address in delivery.acknowledgers { bySent[Sent(nonce: message.nonce, to: address), default: []].append(slot) }
    slots[Int(slot)] = delivery
  }

  /// Puts the confirmation of a subscription under way. What the recipient had still to be told comes behind it.
  mutating func confirm(
    _ message: Delivery.Message, about eid: EIDPrefix, for recipient: Recipient, destinations: [IPAddress], now: Instant
  ) {
    var delivery = Delivery(recipient: recipient, destinations: destinations)
    if let old = byRecipient[recipient].flatMap({ slots[Int($0)] }) {
      delivery.pending = old.pending.filter(old.pendingSet.contains)
      delivery.pendingSet = old.pendingSet
    }
    delivery.pending.insert(eid, at: 0)
    remove(recipient)
    start(message, of: insert(delivery), now: now)
  }

  /// The confirmation under way to a recipient.
  func confirmation(for recipient: Recipient) -> Delivery.Message? {
    guard let message = byRecipient[recipient].flatMap({ slots[Int($0)]?.message }), message.isConfirmation else { return nil }
    return message
  }

  /// What of a message is due to be sent again.
  enum Due {
    case resend(Delivery)
    case giveUp(Delivery)
  }

  /// The next delivery whose recipient has not answered in time.
  mutating func nextDue(_ now: Instant) -> Due? {
    guard let due = deadlines.first, due.deadline <= now else { return nil }
    guard var delivery = slots[Int(due.key)] else {
      deadlines.cancel(due.key)
      return nil
    }
    guard delivery.attempts < Self.waits.count else {
      remove(delivery.recipient)
      return .giveUp(delivery)
    }
    deadlines.schedule(due.key, at: now + Self.waits[delivery.attempts])
    delivery.attempts += 1
    slots[Int(due.key)] = delivery
    return .resend(delivery)
  }

  /// Deliveries that an acknowledgement with this nonce from this address may be about: more than one only where an xTR uses one nonce for
  /// several subscriptions.
  func candidates(nonce: UInt64, from address: IPAddress) -> [Slot] { bySent[Sent(nonce: nonce, to: address)] ?? [] }

  /// The message under way has arrived. Where a change stands in line already, what the message said may be what has changed: then it is
  /// all told anew.
  mutating func acknowledge(_ slot: Slot, now: Instant) {
    guard var delivery = take(slot), let message = delivery.message else { return }
    unindex(delivery, slot)
    delivery.message = nil
    if message.isConfirmation || !delivery.waits {
      if !message.isConfirmation { delivery.pendingSet.subtract(delivery.pending.prefix(message.count)) }
      delivery.pending.removeFirst(min(message.count, delivery.pending.count))
    }
    deadlines.cancel(slot)
    if delivery.pending.isEmpty {
      byRecipient[delivery.recipient] = nil
      free.append(slot)
    } else {
      queue(&delivery, slot, now)
      slots[Int(slot)] = delivery
    }
  }

  /// Nothing more is to be told.
  mutating func remove(_ recipient: Recipient) {
    guard let slot = byRecipient.removeValue(forKey: recipient), let delivery = take(slot) else { return }
    unindex(delivery, slot)
    deadlines.cancel(slot)
    free.append(slot)
  }

  // MARK: - Parts

  private mutating func queue(_ delivery: inout Delivery, _ slot: Slot, _ now: Instant) {
    guard !delivery.waits else { return }
    delivery.waits = true
    line.append(slot)
    lineSince = now
  }

  private mutating func insert(_ delivery: Delivery) -> Slot {
    let slot: Slot
    if let last = free.popLast() {
      slot = last
      slots[Int(slot)] = delivery
    } else {
      slot = Slot(slots.count)
      slots.append(delivery)
    }
    byRecipient[delivery.recipient] = slot
    return slot
  }

  private mutating func take(_ slot: Slot) -> Delivery? {
    var delivery: Delivery?
    swap(&delivery, &slots[Int(slot)])
    return delivery
  }

  private mutating func unindex(_ delivery: Delivery, _ slot: Slot) {
    guard let message = delivery.message else { return }
    if message.isConfirmation { confirmationCount -= 1 }
    for address in delivery.acknowledgers {
      let key = Sent(nonce: message.nonce, to: address)
      bySent[key]?.removeAll { $0 == slot }
      if bySent[key]?.isEmpty == true { bySent[key] = nil }
    }
  }
}
