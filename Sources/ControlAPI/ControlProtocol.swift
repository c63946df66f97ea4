// SPDX-License-Identifier: Apache-2.0
//
// What both ends of the native control socket agree upon: its version, where it is, and how much each side lets the other
// queue. The router's server, `ControlClient` and the tests use it.
//
// The language in one picture (docs/control.md tells every message):
//
//     client                                           router
//     {"op":"hello","version":1,"name":"mapd"}   ──▶
//                                                ◀──   {"ok":true,"version":1,"server":"xtr 0.1.0"}
//     {"op":"get","id":7,"eid-prefix":"10.2.0.1"}──▶
//                                                ◀──   {"id":7,"ok":true,"mapping":{…}}
//     {"op":"watch","events":["miss"]}           ──▶
//                                                ◀──   {"ok":true}
//                                                ◀──   {"event":"miss","instance-id":0,"eid":"10.2.9.9"}
//
// One JSON object a line in both directions; a line ends with a line feed. Answers come in the order of the requests, events
// whenever they happen. The first request is the handshake. A request that is not understood changes nothing.

/// Constants of the control socket. All of them are our choice; the contract fixes the form only.
public enum ControlProtocol {
  /// The version spoken here. A client that asks for another is refused by the handshake.
  public static let version = 1
  /// Where the router listens unless the configuration says otherwise.
  public static let defaultPath = "/run/xtr/control.sock"
  /// The longest line either side accepts, without its line feed. About 100 k mappings; `replace` splits over lines.
  public static let maximumLineByteCount = 16 << 20
  /// The most mappings that one `replace`, split over lines, may collect: about 600 MB of the router's memory.
  public static let maximumCollectedMappings = 4_000_000
  /// The most clients at a time.
  public static let maximumClients = 64
  /// Bytes a client may leave unread before it misses events.
  public static let maximumBacklogByteCount = 1 << 20
  /// Mappings in one answer to `list` when the client does not say, and the most it may ask for.
  public static let defaultPageSize = 1000
  public static let maximumPageSize = 10_000
}
