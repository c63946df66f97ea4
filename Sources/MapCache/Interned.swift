// SPDX-License-Identifier: Apache-2.0
//
// Values that many entries of the map-cache have in common, each kept once: a million mappings have a few thousand lists of
// locators among them, and a few givers.

/// Values by number, with a count of who uses each. A number is free again when nobody does. Thread: slow path (a value type).
struct Interned<Value: Hashable & Sendable>: Sendable {
  private var numbers: [Value: UInt32] = [:]
  private var values: ContiguousArray<Value?> = []
  private var users: ContiguousArray<UInt32> = []
  private var free: [UInt32] = []

  /// The number of a value, which has one more user from now on. O(1)
  mutating func retain(_ value: Value) -> UInt32 {
    if let number = numbers[value] {
      users[Int(number)] += 1
      return number
    }
    let number = free.popLast() ?? UInt32(values.count)
    if Int(number) == values.count {
      values.append(value)
      users.append(1)
    } else {
      values[Int(number)] = value
      users[Int(number)] = 1
    }
    numbers[value] = number
    return number
  }

  /// One user less. O(1)
  mutating func release(_ number: UInt32) {
    users[Int(number)] -= 1
    guard users[Int(number)] == 0, let value = values[Int(number)] else { return }
    numbers[value] = nil
    values[Int(number)] = nil
    free.append(number)
  }

  /// The value of a number in use; nil of a free one.
  subscript(_ number: UInt32) -> Value? { values[Int(number)] }

  /// How many different values there are.
  var count: Int { numbers.count }
  /// Numbers are below it.
  var bound: Int { values.count }
  func userCount(_ number: UInt32) -> Int { Int(users[Int(number)]) }
}
