// SPDX-License-Identifier: Apache-2.0
//
// The kernel settings without which an exception device does not forward. Applied by ExceptionDevice
// before it comes up, and again when it asks.
//
// setting                          value  why
// ipv4 conf/IF/forwarding          1      the kernel forwards what comes in here (the outgoing interface needs nothing)
// ipv4 conf/IF/rp_filter           0      sources are reached through other interfaces than this one
// ipv4 conf/IF/accept_local        1      a packet of the host's own may come back this way
// ipv4 conf/IF/send_redirects      0      nobody is behind the device to be told
// ipv6 conf/IF/disable_ipv6        0      the host's default may be 1
// ipv6 conf/IF/addr_gen_mode       1      no link-local address, hence no duplicate address detection, no solicitations
// ipv6 conf/IF/accept_ra           0      nobody is behind the device to be heard
// ipv6 conf/IF/force_forwarding    1      as ipv4's forwarding (Linux 6.17 and later)

/// The settings of one interface.
struct ForwardingSettings {
  let interface: String

  /// Sets everything that can be set. Returns what could not, or does not suffice, one line each with the cure.
  func apply() -> [String] {
    var warnings: [String] = []
    for (setting, value) in [
      (KernelSetting("ipv4/conf/\(interface)/forwarding"), 1),
      (KernelSetting("ipv4/conf/\(interface)/rp_filter"), 0),
      (KernelSetting("ipv4/conf/\(interface)/accept_local"), 1),
      (KernelSetting("ipv4/conf/\(interface)/send_redirects"), 0),
    ] {
      if setting.set(value) != 0, setting.value != value {
        warnings.append("\(setting.name) cannot be set to \(value) (is /proc/sys read-only?): \(setting.command)=\(value)")
      }
    }
    if let warning = reversePathWarning { warnings.append(warning) }

    let addressMode = KernelSetting("ipv6/conf/\(interface)/addr_gen_mode")
    // Without it the kernel has no IPv6 at all, and there is nothing to set up.
    guard addressMode.value != nil else { return warnings }
    _ = addressMode.set(1)
    _ = KernelSetting("ipv6/conf/\(interface)/disable_ipv6").set(0)
    _ = KernelSetting("ipv6/conf/\(interface)/accept_ra").set(0)
    if let warning = forwardIPv6() { warnings.append(warning) }
    return warnings
  }

  /// The kernel takes the larger of conf/all and conf/IF: 1 (strict) drops nearly everything injected, 2 (loose) only what
  /// has a source without a route.
  private var reversePathWarning: String? {
    let all = KernelSetting("ipv4/conf/all/rp_filter")
    guard let value = all.value, value != 0 else { return nil }
    let drops = value == 1 ? "drops IPv4 packets whose source is routed elsewhere" : "drops IPv4 packets whose source has no route"
    return "\(all.name) is \(value), which overrules \(interface)'s 0 and \(drops): \(all.command)=0 and set it per interface"
  }

  private func forwardIPv6() -> String? {
    let all = KernelSetting("ipv6/conf/all/forwarding")
    let force = KernelSetting("ipv6/conf/\(interface)/force_forwarding")
    if force.set(1) == 0 || force.value == 1 || all.value == 1 { return nil }
    let reason = force.value == nil ? "this kernel forwards IPv6 for all interfaces or none" : "\(force.name) cannot be set"
    return "\(all.name) is 0 and \(reason), so exceptions of IPv6 packets are dropped: \(all.command)=1"
  }
}
