// SPDX-License-Identifier: Apache-2.0
//
// Instance IDs have 24 bits.

import Testing
import Wire

@Suite struct InstanceIDTests {
  @Test func `24 bits and no more`() {
    #expect(InstanceID(0) == .zero)
    #expect(InstanceID(0xFF_FFFF) == .control)
    #expect(InstanceID(0x100_0000) == nil)
    #expect(InstanceID(-1) == nil)
    #expect(InstanceID(UInt64.max) == nil && InstanceID(Int.min) == nil)
    #expect(InstanceID(truncating: 0xAB12_3456).rawValue == 0x12_3456)
  }

  @Test func `instance IDs are numbers to readers and sorters`() throws {
    let (nine, ten) = (try #require(InstanceID(9)), try #require(InstanceID(10)))
    #expect(nine < ten && ten.description == "10")
  }
}
