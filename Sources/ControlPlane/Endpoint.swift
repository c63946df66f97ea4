// SPDX-License-Identifier: Apache-2.0
//
// Where control messages come from and go to. The state machines of this module speak of these; sockets are the program's.

import Wire

/// An instant of the clock that runs while the machine runs and that nobody sets. The state machines get it as a parameter.
public typealias Instant = ContinuousClock.Instant

/// A UDP endpoint.
public struct Endpoint: Hashable, Sendable {
  public var address: IPAddress
  public var port: UInt16

  public init(_ address: IPAddress, port: UInt16 = LISPPort.control) {
    self.address = address
    self.port = port
  }
}

extension Endpoint: CustomStringConvertible {
  public var description: String {
    switch address {
    case .v4: "\(address):\(port)"
    case .v6: "[\(address)]:\(port)"
    }
  }
}

/// A UDP datagram that is to leave from port 4342.
public struct Datagram: Hashable, Sendable {
  public var payload: [UInt8]
  public var destination: Endpoint
  /// Which of our addresses it leaves from; nil: an RLOC of ours of the destination's family.
  public var source: IPAddress?

  public init(_ payload: [UInt8], to destination: Endpoint, from source: IPAddress? = nil) {
    self.payload = payload
    self.destination = destination
    self.source = source
  }

  public init(_ message: ControlMessage, to destination: Endpoint, from source: IPAddress? = nil) {
    self.init(message.bytes, to: destination, from: source)
  }
}

/// Where a datagram came from and which of our addresses it was sent to.
public struct Arrival: Hashable, Sendable {
  public var from: Endpoint
  public var to: IPAddress

  public init(from: Endpoint, to: IPAddress) {
    self.from = from
    self.to = to
  }
}
