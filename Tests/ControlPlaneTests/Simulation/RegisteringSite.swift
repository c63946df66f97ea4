// SPDX-License-Identifier: Apache-2.0
//
// A site with nothing but a registrar, as a node of the simulation.

import Wire

@testable import ControlPlane

final class RegisteringSite: SimulatedNode {
  let addresses: [IPAddress]
  private(set) var registrar: Registrar
  private(set) var reports: [RegistrationReport] = []
  private(set) var refusals: [Refusal: Int] = [:]

  init(_ address: IPAddress, _ registrar: Registrar) {
    addresses = [address]
    self.registrar = registrar
  }

  /// Another run of the same xTR.
  func restart(_ registrar: Registrar) { self.registrar = registrar }

  /// Does something to the registrar and keeps what it says; the datagrams are to be sent.
  func with(_ body: (inout Registrar) -> [RegistrarAction]) -> [Datagram] { keep(body(&registrar)) }

  var nextDeadline: Instant? { registrar.nextDeadline }
  func tick(now: Instant) -> [Datagram] { keep(registrar.tick(now: now)) }

  func receive(_ bytes: [UInt8], _ arrival: Arrival, now: Instant) -> [Datagram] {
    guard case .mapNotify(let notify) = try? ControlMessage(parsing: bytes) else {
      refusals[.malformed, default: 0] += 1
      return []
    }
    return keep(registrar.receive(notify, bytes: bytes, arrival, now: now))
  }

  private func keep(_ actions: [RegistrarAction]) -> [Datagram] {
    var datagrams: [Datagram] = []
    for action in actions {
      switch action {
      case .send(let datagram): datagrams.append(datagram)
      case .report(let report): reports.append(report)
      case .refused(let refusal): refusals[refusal, default: 0] += 1
      }
    }
    return datagrams
  }
}
