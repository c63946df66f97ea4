// SPDX-License-Identifier: Apache-2.0

import ControlPlane
import Testing
import Wire

@testable import xtr

@Suite struct MapServerConfigurationTests {
  private func errors(_ text: String) -> [String] {
    do throws(ConfigurationErrors) {
      _ = try MapServerConfiguration.parse(Array(text.utf8), file: "ms.toml")
      return []
    } catch {
      return error.problems.map(\.description)
    }
  }

  @Test func `a full file is understood`() throws {
    let text = """
      [map-server]
      listen = ["192.0.2.100", "2001:db8::100"]
      state = "/var/lib/xtr/map-server.db"
      replies-per-second = 50
      control-socket = "/run/xtr/ms.sock"
      control-group = "netdev"
      log-level = "debug"
      [[site]]
      name = "berlin"
      key = "secret"
      proxy-reply = true
      [[site.eid-prefix]]
      instance-id = 7
      eid-prefix = "10.1.0.0/16"
      more-specifics = true
      [[site]]
      name = "rome"
      keys = [{ key = "old" }, { key = "new", key-id = 1, algorithm = "hmac-sha-256-128-hkdf" }]
      [[site.eid-prefix]]
      eid-prefix = "2001:db8:1::/48"
      """
    let configuration = try MapServerConfiguration.parse(Array(text.utf8), file: "ms.toml")
    #expect(configuration.listen?.map(\.description) == ["192.0.2.100", "2001:db8::100"])
    #expect(configuration.stateFile == "/var/lib/xtr/map-server.db")
    #expect(configuration.controlSocket == "/run/xtr/ms.sock")
    #expect(configuration.controlGroup == "netdev")
    #expect(configuration.logLevel == .debug)
    let (berlin, rome) = (configuration.sites[0], configuration.sites[1])
    #expect(berlin.name == "berlin" && berlin.proxyReply && berlin.prefixes[0].acceptsMoreSpecifics)
    #expect(berlin.prefixes[0].eid.description == "[7]10.1.0.0/16")
    #expect(berlin.keys == [AuthenticationKey(secret: Array("secret".utf8))])
    #expect(!rome.proxyReply && !rome.prefixes[0].acceptsMoreSpecifics)
    #expect(rome.keys.map(\.id) == [0, 1])
    #expect(rome.keys.map(\.algorithm) == [.hmacSHA256, .hmacSHA256WithHKDF])
  }

  @Test func `faults are told with line and key`() {
    #expect(errors("") == ["ms.toml: site: expected at least one [[site]]: without it nobody may register"])
    let site = "[[site]]\nname = \"a\"\nkey = \"k\"\n[[site.eid-prefix]]\neid-prefix = \"10.0.0.0/8\"\n"
    #expect(errors(site) == [])
    #expect(
      errors(site + site) == [
        "ms.toml:7: site[1].name: \"a\" is site[0] already; expected each site once",
        "ms.toml:10: site[1].eid-prefix[0].eid-prefix: [0]10.0.0.0/8 is site[0].eid-prefix[0] already; expected each once",
      ])
    #expect(
      errors("[[site]]\nname = \"a\"\n[[site.eid-prefix]]\neid-prefix = \"10.0.0.0/8\"") == [
        "ms.toml:1: site[0].key: expected a secret that the site's routers know, or keys; both are missing"
      ])
    #expect(
      errors("[[site]]\nname = \"a\"\nkey = \"k\"") == [
        "ms.toml:1: site[0].eid-prefix: expected at least one [[site.eid-prefix]]: without it the site has nothing to register"
      ])
    #expect(
      errors(site.replacing("key =", with: "subscribers = [\"a\", \"b\"]\nkey =")) == [
        "ms.toml:3: site[0].subscribers: \"b\" is no site of this file; expected names of [[site]]"
      ])
    #expect(errors(site + "nonsense = 1").first?.contains("unknown key") == true)
  }
}
