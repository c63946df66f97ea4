// SPDX-License-Identifier: Apache-2.0
//
// Which locators of a mapping packets may take (rule E14). Used by ForwardingCompiler; apart from it, so that it can be judged
// without a kernel.

import DataPlane
import MapCache

extension Locator {
  /// Whether the mapping itself allows its use: priority 255 never does, nor does R = 0.
  var isOffered: Bool { isReachable && priority != 255 }
}

extension LocatorSet {
  /// Encapsulation to the locators of the lowest priority that has a usable one. Those of that priority which are not usable now
  /// stay in the set: flows keep their shares, and return when the locator does. Positions are those among `locators`.
  ///
  /// `hasWay` says whether we can send to a locator: a route, a port that is up, an RLOC of ours of its family (rule E18).
  init(_ locators: [Locator], hasWay: (Locator) -> Bool, template: (Locator) -> TemplateHandle) {
    func isUsable(_ locator: Locator) -> Bool { locator.isOffered && hasWay(locator) }
    let best = locators.filter(isUsable).map(\.priority).min()
    let choices = locators.enumerated().filter { $1.priority == best }.map { ordinal, locator in
      LocatorChoice(
        ordinal: UInt8(truncatingIfNeeded: ordinal), template: template(locator), weight: locator.weight, isUsable: isUsable(locator))
    }
    self.init(.encapsulate, choices)
  }
}
