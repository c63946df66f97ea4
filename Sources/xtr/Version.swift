// SPDX-License-Identifier: Apache-2.0
//
// The program's version, as `xtr --version`, the handshake and the status tell it.

enum Version {
  static let text = "0.1.0"
}
