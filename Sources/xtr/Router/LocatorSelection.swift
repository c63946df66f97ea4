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
  /// `way` says how well we can send to a locator: a route, a port that is up, an RLOC of ours of its family (rule E18), a next
  /// hop that answers. Worse ways are used when no locator of the mapping has a better one.
  init(_ locators: [Locator], way: (Locator) -> RLOCPath.Quality, template: (Locator) -> TemplateHandle) {
    let needed = locators.filter(\.isOffered).map(way).max() ?? .none
    func isUsable(_ locator: Locator) -> Bool { locator.isOffered && needed != .none && way(locator) == needed }
    let best = locators.filter(isUsable).map(\.priority).min()
    let choices = locators.enumerated().filter { $1.priority == best }.map { ordinal, locator in
      LocatorChoice(
        ordinal: UInt8(truncatingIfNeeded: ordinal), template: template(locator), weight: locator.weight, isUsable: isUsable(locator))
    }
    self.init(.encapsulate, choices)
  }
}
