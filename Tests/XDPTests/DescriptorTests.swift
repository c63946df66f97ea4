// SPDX-License-Identifier: Apache-2.0
import CLinux
import Testing

@testable import XDP

@Suite struct DescriptorTests {
  @Test func `lies in memory as the kernel's descriptor does`() {
    #expect(MemoryLayout<Descriptor>.size == MemoryLayout<xdp_desc>.size)
    #expect(MemoryLayout<Descriptor>.stride == MemoryLayout<xdp_desc>.stride)
    #expect(MemoryLayout<Descriptor>.alignment == MemoryLayout<xdp_desc>.alignment)
    let kernel = xdp_desc(addr: 0x0102_0304_0506_0708, len: 0x090A_0B0C, options: 0x0D0E_0F10)
    let ours = withUnsafeBytes(of: kernel) { $0.load(as: Descriptor.self) }
    #expect(ours == Descriptor(address: 0x0102_0304_0506_0708, length: 0x090A_0B0C, options: 0x0D0E_0F10))
  }
}
