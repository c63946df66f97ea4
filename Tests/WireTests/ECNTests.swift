// SPDX-License-Identifier: Apache-2.0
//
// RFC 6040 section 4.2, figure 4, cell by cell.

import Testing
import Wire

@Suite struct ECNTests {
  /// Rows: inner Not-ECT, ECT(0), ECT(1), CE. Columns: outer in the same order. nil: drop.
  static let figure4: [(inner: ECN, outer: [ECN?])] = [
    (.notECT, [.notECT, .notECT, .notECT, nil]),
    (.ect0, [.ect0, .ect0, .ect1, .ce]),
    (.ect1, [.ect1, .ect1, .ect1, .ce]),
    (.ce, [.ce, .ce, .ce, .ce]),
  ]

  @Test func `D8 all sixteen cells of RFC 6040's decapsulation table`() {
    for row in Self.figure4 {
      for (outer, result) in zip([ECN.notECT, .ect0, .ect1, .ce], row.outer) {
        #expect(ECN.decapsulated(inner: row.inner, outer: outer) == result, "\(row.inner) under \(outer)")
      }
    }
  }

  @Test func `the field is the two low bits of the traffic class`() {
    for trafficClass in UInt8.min...UInt8.max { #expect(ECN(trafficClass: trafficClass).rawValue == trafficClass & 3) }
    #expect(ECN.ect1.rawValue == 0b01 && ECN.ect0.rawValue == 0b10)
  }
}
