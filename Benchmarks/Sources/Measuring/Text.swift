// SPDX-License-Identifier: Apache-2.0
//
// Figures in tables.

extension String {
  public func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }
  public func rightAligned(_ width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}

public func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
public func thousandths(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
