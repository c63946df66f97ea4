// SPDX-License-Identifier: Apache-2.0
//
// Two sites with the same prefix behind one router, told apart by routing tables only:
//
//   one  10.1.0.5, 2001:db8:1::5 ──── s1 [table 101]  router  [table 102] s2 ──── 10.1.0.5, 2001:db8:1::5  two

import Wire

/// The topology of overlapping instances. The main table knows neither site.
struct Sites {
  let router = Namespace()
  let one = Namespace()
  let two = Namespace()
  /// The host that exists in both sites.
  let host: IPAddress

  init(_ family: AddressFamily) {
    host = address(family == .ipv4 ? "10.1.0.5" : "2001:db8:1::5")
    let (length, option) = family == .ipv4 ? (24, "-4") : (64, "-6")
    let own = family == .ipv4 ? "10.0.0.1/32" : "2001:db8::1/128 nodad"
    for (site, link, table) in [(one, "s1", 101), (two, "s2", 102)] {
      router.ip("link add \(link) type veth peer name v1 netns \(site.name)")
      site.ip("addr add \(host)/\(length)\(family == .ipv6 ? " nodad" : "") dev v1")
      site.set("ipv6/conf/v1/accept_dad", 0)
      router.set("ipv6/conf/\(link)/accept_dad", 0)
      site.ip("link set v1 up")
      site.ip("\(option) route add \(own.split(separator: "/")[0]) dev v1")
      router.ip("link set \(link) up")
      if link == "s1" { router.ip("addr add \(own) dev lo") }
      router.ip("\(option) route add \(IPPrefix(masking: host, length: length)) dev \(link) table \(table)")
    }
  }
}
