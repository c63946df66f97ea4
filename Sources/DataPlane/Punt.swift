// SPDX-License-Identifier: Apache-2.0
//
// What the worker cannot finish: copied into the punt ring, and the slow path is woken once per batch. Cold on purpose.

import Wire

extension Worker {
  /// Hands packet `i` of the batch to the slow path; counted as punted, or as dropped when the slow path is behind.
  @inline(never)
  mutating func punt(_ i: Int, port: Int) {
    let verdict = batch[i].verdict
    guard let reason = PuntReason(rawValue: verdict.detail) else { return }
    // A host that scans addresses must not keep others' first packets from the slow path.
    guard reason != .miss || !puntRing.isHalfFull else { return count(drop: .puntRingFull) }
    if puntRing.push(.punt(reason), port: port, instanceID: batch[i].instanceID, batch[i].forSlowPath) {
      counters[.punted].addAsOnlyWriter(1)
      counters[reason].addAsOnlyWriter(1)
      hasPunted = true
    } else {
      count(drop: .puntRingFull)
    }
  }

  /// Counts a drop; where the source is to be told (rules E17, M2), gives the slow path a copy, at most one per batch.
  @inline(never)
  mutating func drop(_ i: Int, port: Int) {
    guard let reason = DropReason(rawValue: batch[i].verdict.detail) else { return }
    count(drop: reason)
    guard reason.earnsICMP, !hasNoticed, !puntRing.isHalfFull else { return }
    hasNoticed = puntRing.push(
      .notice(reason), port: port, instanceID: batch[i].instanceID, mtu: batch[i].innerMTU, batch[i].forSlowPath)
    hasPunted = hasPunted || hasNoticed
  }

  func count(drop reason: DropReason) {
    counters[.dropped].addAsOnlyWriter(1)
    counters[reason].addAsOnlyWriter(1)
  }
}

extension DropReason {
  /// Whether the source of the packet gets an ICMP error from the slow path.
  public var earnsICMP: Bool {
    switch self {
    case .mappingDrop, .policyDenied, .authenticationFailure, .noUsableLocator, .outerTooBig, .deliveryTooBig: true
    default: false
    }
  }
}

extension Packet {
  /// The largest inner packet that fits the chosen template's way; 0 when none is chosen (rule M2: S = L − H).
  var innerMTU: UInt16 {
    // SAFETY: set by the engine in this batch.
    guard let template = unsafe template else { return 0 }
    return unsafe TemplateBlock(base: template).fields.maximumPacket
  }

  /// What the slow path gets: from the IP header on.
  var forSlowPath: PacketBytes { innerByteCount == 0 ? frame.dropFirst(Int(innerOffset)) : inner }
}
