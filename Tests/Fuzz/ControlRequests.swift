// SPDX-License-Identifier: Apache-2.0
//
// Fuzzing the readers of the control socket: any line is a request or a failure with a reason, and any JSON is skipped or refused. Built
// and run by .ci/fuzz.

import ControlAPI

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzControlRequests(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let line = Array(UnsafeBufferPointer(start: data, count: count))
  _ = ControlRequest.decode(line: line)
  var reader = JSONReader(line)
  if let range = try? reader.skipValue() { precondition(range.upperBound <= line.count, "a value that ends behind the line") }
  return 0
}
