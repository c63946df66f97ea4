// SPDX-License-Identifier: Apache-2.0
//
// The xTR-ID and site-ID at the end of registrations and subscriptions (RFC 9301 5.6, RFC 9437 section 3).

/// Who an xTR is, whatever its RLOCs are at the moment.
public struct XTRIdentity: Hashable, Sendable {
  public static let byteCount = 24

  /// 128 bits without structure, unique within the site: the more and the less significant half.
  public var xtrIDHigh: UInt64
  public var xtrIDLow: UInt64
  /// Unique among the sites of a mapping system; 0 says nothing.
  public var siteID: UInt64

  public init(xtrIDHigh: UInt64, xtrIDLow: UInt64, siteID: UInt64 = 0) {
    self.xtrIDHigh = xtrIDHigh
    self.xtrIDLow = xtrIDLow
    self.siteID = siteID
  }

  /// From an xTR-ID as `description` shows it, 32 hexadecimal digits; nil for anything else.
  public init?(xtrID text: some StringProtocol, siteID: UInt64 = 0) {
    guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16), let low = UInt64(text.suffix(16), radix: 16) else {
      return nil
    }
    self.init(xtrIDHigh: high, xtrIDLow: low, siteID: siteID)
  }

  init(parsing reader: inout ControlReader) throws(WireError) {
    xtrIDHigh = try reader.u64(.xtrIdentity)
    xtrIDLow = try reader.u64(.xtrIdentity)
    siteID = try reader.u64(.xtrIdentity)
  }

  func emit(into writer: inout ControlWriter) {
    writer.u64(xtrIDHigh)
    writer.u64(xtrIDLow)
    writer.u64(siteID)
  }
}

extension XTRIdentity: CustomStringConvertible {
  /// 32 hexadecimal digits.
  public var description: String {
    [xtrIDHigh, xtrIDLow].map { number in
      let digits = String(number, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }
}
