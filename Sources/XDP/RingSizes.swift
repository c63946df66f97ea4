// SPDX-License-Identifier: Apache-2.0
//
// How many entries each of a socket's four rings has. Chosen in the configuration, given to XDPSocket.

/// Entry counts of the four rings; each a power of two.
///
/// The fill ring is twice the receive ring, because frames handed to the kernel wait both in the card's own ring and in
/// the receive ring: with less, a burst finds the fill ring empty and is lost.
public struct RingSizes: Equatable, Sendable {
  public var receive: UInt32
  public var transmit: UInt32
  public var fill: UInt32
  public var completion: UInt32

  public init(receive: UInt32 = 1024, transmit: UInt32 = 1024, fill: UInt32 = 2048, completion: UInt32 = 1024) {
    self.receive = receive
    self.transmit = transmit
    self.fill = fill
    self.completion = completion
  }

  /// The first thing that is wrong with these sizes, nil when the kernel will take them.
  var problem: String? {
    for (name, size) in [("receive", receive), ("transmit", transmit), ("fill", fill), ("completion", completion)] {
      if size < 2 || size > Self.largest || size & (size - 1) != 0 {
        return "the \(name) ring's size \(size) is not a power of two from 2 to \(Self.largest)"
      }
    }
    return nil
  }

  /// Ours: a million entries are 16 MB of descriptors, far beyond any use.
  static let largest: UInt32 = 1 << 20
}
