// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing the reader of the kernel's messages: messages, attributes and those nested in them. Compiled together with that reader's two
// files, which are internal to Netlink. Built and run by .ci/fuzz.

import Wire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzNetlinkMessages(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  for message in NetlinkMessages(datagram: Array(UnsafeBufferPointer(start: data, count: count))[...]) {
    for headerByteCount in [0, 1, 12, 16] { read(message.attributes(after: headerByteCount), depth: 0) }
  }
  return 0
}

private func read(_ attributes: NetlinkAttributes, depth: Int) {
  guard depth < 3 else { return }
  for attribute in attributes {
    _ = (attribute.value.number8, attribute.value.number16, attribute.value.number32, attribute.value.text, attribute.value.macAddress)
    _ = (attribute.value.address(.ipv4), attribute.value.address(.ipv6))
    read(attribute.nested, depth: depth + 1)
  }
}
