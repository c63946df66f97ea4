// SPDX-License-Identifier: Apache-2.0
//
// A request → its line. `ControlClient` and the tests use it.

import Wire

extension ControlRequest {
  /// The request as one line, with its line feed.
  public var line: [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      writer.key("op")
      writer.string(name)
      if let id { id.write(to: &writer) }
      writeMembers(to: &writer)
    }
    writer.lineFeed()
    return writer.bytes
  }

  /// The operation's `op`.
  public var name: String {
    switch operation {
    case .hello: "hello"
    case .add: "add"
    case .delete: "delete"
    case .replace: "replace"
    case .get: "get"
    case .list: "list"
    case .watch: "watch"
    case .stats: "stats"
    case .status: "status"
    case .drops: "drops"
    case .database: "database"
    case .interfaces: "interfaces"
    case .neighbours: "neighbours"
    case .registrations: "registrations"
    case .resolutions: "resolutions"
    case .probes: "probes"
    case .control: "control"
    case .peers: "peers"
    case .locator: "locator"
    case .reload: "reload"
    case .drain: "drain"
    }
  }

  private func writeMembers(to writer: inout JSONWriter) {
    switch operation {
    case .hello(let version, let name):
      writer.key("version")
      writer.integer(version)
      writer.optional("name", name)
    case .add(let mappings): writer.mappings(mappings)
    case .delete(let prefixes):
      writer.key("eid-prefixes")
      writer.array(prefixes) { writer, eid in writer.object { $0.eid(eid) } }
    case .replace(let scope, let mappings, let part):
      writer.scope(scope)
      if let part {
        writer.key("part")
        writer.integer(part.index)
        writer.key("more")
        writer.boolean(part.more)
      }
      writer.mappings(mappings)
    case .get(let eid, let exact):
      writer.eid(eid)
      if exact {
        writer.key("exact")
        writer.boolean(true)
      }
    case .list(let instance, let after, let limit):
      if let instance {
        writer.key("instance-id")
        writer.integer(instance.rawValue)
      }
      writer.optional("after", after?.description)
      writer.key("limit")
      writer.integer(limit)
    case .registrations(let after, let limit):
      writer.optional("after", after?.description)
      writer.key("limit")
      writer.integer(limit)
    case .locator(let address, let word):
      writer.key("address")
      writer.string("\(address)")
      writer.key("state")
      writer.string(word.rawValue)
    case .watch(let kinds):
      writer.key("events")
      writer.array(kinds.map(\.rawValue).sorted()) { $0.string($1) }
    case .stats, .status, .drops, .database, .interfaces, .neighbours, .resolutions, .probes, .control, .peers, .reload, .drain: break
    }
  }
}

extension JSONWriter {
  fileprivate mutating func mappings(_ mappings: [ControlMapping]) {
    key("mappings")
    array(mappings) { writer, mapping in mapping.write(to: &writer) }
  }

  fileprivate mutating func scope(_ scope: ReplaceScope) {
    key("scope")
    switch scope {
    case .owner(let owner):
      string("owner")
      optional("owner", owner)
    case .instance(let instance):
      string("instance")
      key("instance-id")
      integer(instance.rawValue)
    }
  }

  /// A member that is left out when there is nothing to say.
  mutating func optional(_ name: StaticString, _ text: String?) {
    guard let text else { return }
    key(name)
    string(text)
  }
}
