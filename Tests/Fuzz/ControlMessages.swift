// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing the reader of control messages: whatever the bytes are, they are refused, or read and written back as they were. Built and run by
// .ci/fuzz.

import Wire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzControlMessages(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = Array(UnsafeBufferPointer(start: data, count: count))
  guard let message = try? ControlMessage(parsing: bytes) else { return 0 }
  precondition(message.bytes == bytes, "written otherwise than it was read")
  if case .encapsulated(let outer) = message, let inner = try? ControlMessage(parsing: outer.message) {
    precondition(inner.bytes == outer.message, "the inner message is written otherwise than it was read")
  }
  return 0
}
