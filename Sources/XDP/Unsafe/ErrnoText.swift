// SPDX-License-Identifier: Apache-2.0
//
// The words for an errno value, for XDPError's descriptions.

import CLinux

/// "Device or resource busy (EBUSY)"; "error 4711" for a number that the C library has no words for. Thread: any.
func errnoText(_ code: CInt) -> String {
  // SAFETY: both functions return nil or a constant, zero-terminated string of the C library.
  guard let words = unsafe clinux_errno_words(code), let name = unsafe clinux_errno_name(code) else { return "error \(code)" }
  return unsafe "\(String(cString: words)) (\(String(cString: name)))"
}
