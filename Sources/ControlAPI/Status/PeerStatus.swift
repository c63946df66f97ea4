// SPDX-License-Identifier: Apache-2.0
//
// Who sent us encapsulated data in the last minute, as `peers` tells it.

/// One row of the answer to `peers`: an RLOC whose packets were decapsulated here.
public struct PeerStatus: Codable, Sendable, Equatable {
  public var rloc: String
  /// Since the look that last found packets of it, 0…60. The router looks every 5 seconds and when it is asked.
  public var secondsAgo: Int

  public init(rloc: String, secondsAgo: Int) {
    self.rloc = rloc
    self.secondsAgo = secondsAgo
  }
}
