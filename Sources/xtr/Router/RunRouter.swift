// SPDX-License-Identifier: Apache-2.0
//
// The running router: `xtr run` calls it.

import Logging

/// Runs until SIGTERM, SIGINT or `drain`; returns when everything is detached and restored.
func runRouter(_ configuration: Configuration, file: String, log: Logger) async throws(CommandFailure) {
  throw .failed("the router is not in this build")
}
