// SPDX-License-Identifier: Apache-2.0
//
// What of a Map-Server outlives the process, as rows that the program keeps in whatever way it likes. A row is stored when its content
// changes. What a refresh changes (deadlines and nonces) comes in batches from `touchedRows`, which the program asks for every few
// seconds: after a crash a registration is that much older than it was, and a Map-Register of the last seconds could be sent again.
//
// Rows do not know what time it is: they say in how many seconds they end. The program has a clock for what is in its file, which nobody
// sets. If all the same a row says more than a Map-Register could, `MapServer.restore` does not believe it.

import Wire

/// A row, with everything that `MapServer.restore` needs.
public enum MapServerRow: Hashable, Sendable {
  /// What says which row it is. Sites go by their names.
  public enum Key: Hashable, Sendable {
    case registration(EIDPrefix, site: String, XTRName)
    case xtr(site: String, XTRName)
    case subscription(EIDPrefix, XTRIdentity)
  }

  /// A registration of one xTR.
  public struct Registration: Hashable, Sendable {
    public var eid: EIDPrefix
    public var site: String
    public var xtr: XTRName
    public var wantsProxyReply: Bool
    public var merges: Bool
    public var usesTTL: Bool
    /// The encoded EID-record.
    public var record: [UInt8]
    /// How long ago this content came first.
    public var age: Duration
    /// Seconds that it has left; less than 0: none.
    public var expiresIn: Duration

    public init(
      eid: EIDPrefix, site: String, xtr: XTRName, wantsProxyReply: Bool, merges: Bool, usesTTL: Bool, record: [UInt8], age: Duration,
      expiresIn: Duration
    ) {
      (self.eid, self.site, self.xtr) = (eid, site, xtr)
      (self.wantsProxyReply, self.merges, self.usesTTL) = (wantsProxyReply, merges, usesTTL)
      (self.record, self.age, self.expiresIn) = (record, age, expiresIn)
    }
  }

  /// An xTR with its last nonces.
  public struct XTR: Hashable, Sendable {
    /// The last nonce under one key.
    public struct Nonce: Hashable, Sendable {
      public var keyID: UInt8
      public var algorithmID: UInt8
      public var nonce: UInt64
      /// The first 8 bytes of the authentication data.
      public var code: UInt64

      public init(keyID: UInt8, algorithmID: UInt8, nonce: UInt64, code: UInt64) {
        (self.keyID, self.algorithmID, self.nonce, self.code) = (keyID, algorithmID, nonce, code)
      }
    }

    public var site: String
    public var name: XTRName
    public var source: IPAddress
    public var nonces: [Nonce]

    public init(site: String, name: XTRName, source: IPAddress, nonces: [Nonce]) {
      (self.site, self.name, self.source, self.nonces) = (site, name, source, nonces)
    }
  }

  /// A subscription (RFC 9437).
  public struct Subscription: Hashable, Sendable {
    public var eid: EIDPrefix
    public var xtr: XTRIdentity
    /// Whose key it is told with.
    public var site: String
    public var itrRLOCs: [IPAddress]
    /// Of the last Map-Notify, or of the Map-Request.
    public var nonce: UInt64

    public init(eid: EIDPrefix, xtr: XTRIdentity, site: String, itrRLOCs: [IPAddress], nonce: UInt64) {
      (self.eid, self.xtr, self.site, self.itrRLOCs, self.nonce) = (eid, xtr, site, itrRLOCs, nonce)
    }
  }

  case registration(Registration)
  case xtr(XTR)
  case subscription(Subscription)

  public var key: Key {
    switch self {
    case .registration(let row): .registration(row.eid, site: row.site, row.xtr)
    case .xtr(let row): .xtr(site: row.site, row.name)
    case .subscription(let row): .subscription(row.eid, row.xtr)
    }
  }
}
