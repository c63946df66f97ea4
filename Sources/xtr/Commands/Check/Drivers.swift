// SPDX-License-Identifier: Apache-2.0
//
// Which network drivers can do what with AF_XDP. `xtr check` warns by this list; the router does not use it, it tries. Collected
// from the kernel's sources and from users' reports; versions are those in which the driver's support can be relied upon.

/// What is known of a driver.
struct DriverSupport: Equatable {
  /// Whether XDP programs run in the driver, before the kernel makes an sk_buff.
  var native: Bool
  /// The kernel from which zero-copy can be relied upon; nil: it has none.
  var zeroCopySince: (major: Int, minor: Int)?
  /// What else to know.
  var note: String?

  static func == (a: Self, b: Self) -> Bool {
    a.native == b.native && a.note == b.note && a.zeroCopySince?.major == b.zeroCopySince?.major
      && a.zeroCopySince?.minor == b.zeroCopySince?.minor
  }

  /// nil: not on the list.
  static func of(_ driver: String) -> DriverSupport? { known[driver] }

  private static let known: [String: DriverSupport] = [
    "mlx5_core": DriverSupport(native: true, zeroCopySince: (6, 1), note: nil),
    "i40e": DriverSupport(native: true, zeroCopySince: (5, 19), note: nil),
    "ixgbe": DriverSupport(native: true, zeroCopySince: (5, 15), note: nil),
    "ice": DriverSupport(
      native: true, zeroCopySince: (5, 15),
      note: "its zero-copy mode had kernel memory faults in several versions: prefer mode \"copy\" unless the kernel is new"),
    "igc": DriverSupport(native: true, zeroCopySince: (5, 15), note: nil),
    "igb": DriverSupport(native: true, zeroCopySince: (6, 14), note: "the link goes down for seconds when the program is attached"),
    "st_gmac": DriverSupport(native: true, zeroCopySince: (5, 15), note: nil),
    "nfp": DriverSupport(native: true, zeroCopySince: (5, 18), note: nil),
    "gve": DriverSupport(native: true, zeroCopySince: (6, 6), note: nil),
    "virtio_net": DriverSupport(
      native: true, zeroCopySince: (6, 11), note: "the hypervisor must offer twice the queues: queues × 2 for XDP transmit"),
    "ena": DriverSupport(
      native: true, zeroCopySince: nil, note: "native XDP needs an MTU of at most 3498 and at most half of the queues"),
    "ixgbevf": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "bnxt_en": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "mlx4_en": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "qede": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "sfc": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "hv_netvsc": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "vmxnet3": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "veth": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "tun": DriverSupport(native: true, zeroCopySince: nil, note: nil),
    "e1000": DriverSupport(native: false, zeroCopySince: nil, note: nil),
    "e1000e": DriverSupport(native: false, zeroCopySince: nil, note: nil),
    "r8169": DriverSupport(native: false, zeroCopySince: nil, note: nil),
    "bridge": DriverSupport(native: false, zeroCopySince: nil, note: nil),
    "dummy": DriverSupport(native: false, zeroCopySince: nil, note: nil),
  ]
}
