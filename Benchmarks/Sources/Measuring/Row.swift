// SPDX-License-Identifier: Apache-2.0
//
// Rows of results, as Benchmarks/Results keeps them (results.py writes the same for the other benchmarks).

/// One figure and what it is compared with.
public struct Row {
  public var name: String
  public var metric: String
  public var unit: String
  public var value: Double
  public var reference: String
  public var referenceValue: Double
  public var ratio: Double
  /// What is asked of it.
  public var bar: Bar?

  public init(
    name: String, metric: String, unit: String, value: Double, reference: String = "", referenceValue: Double = 0, ratio: Double = 0,
    bar: Bar? = nil
  ) {
    self.name = name
    self.metric = metric
    self.unit = unit
    self.value = value
    self.reference = reference
    self.referenceValue = referenceValue
    self.ratio = ratio
    self.bar = bar
  }

  /// A limit that a figure of the row must not exceed.
  public enum Bar {
    case value(Double)
    case ratio(Double)
    /// A limit that it must reach.
    case valueAtLeast(Double)
    case ratioAtLeast(Double)
  }

  /// Whether the bar is met; nil without one.
  public var isMet: Bool? {
    switch bar {
    case .value(let limit): value <= limit
    case .ratio(let limit): ratio <= limit
    case .valueAtLeast(let limit): value >= limit
    case .ratioAtLeast(let limit): ratio >= limit
    case nil: nil
    }
  }

  private var barText: String {
    switch bar {
    case .value(let limit): "value ≤ \(limit)"
    case .ratio(let limit): "ratio ≤ \(limit)"
    case .valueAtLeast(let limit): "value ≥ \(limit)"
    case .ratioAtLeast(let limit): "ratio ≥ \(limit)"
    case nil: ""
    }
  }

  public var json: String {
    var fields = [
      "\"name\": \"\(name)\"", "\"metric\": \"\(metric)\"", "\"unit\": \"\(unit)\"", "\"value\": \(thousandths(value))",
      "\"reference\": \"\(reference)\"", "\"reference_value\": \(thousandths(referenceValue))", "\"ratio\": \(thousandths(ratio))",
    ]
    if let isMet { fields += ["\"bar\": \"\(barText)\"", "\"met\": \(isMet)"] }
    return "{" + fields.joined(separator: ", ") + "}"
  }
}
