// SPDX-License-Identifier: Apache-2.0
//
// UDP 4342: a socket for each of our addresses, so that an answer leaves from the address that was asked. The router has one set for its RLOCs,
// the map-server one for the addresses it listens on; both hand what comes to state machines and send what these say.
//
// Everything happens on NIO's event loop, but the sockets are our own, for what NIO's datagram channels do with things that anybody can
// cause: one closes when the kernel refuses a datagram (no route to an address that somebody put into a request, a firewall's word), and one
// holds a socket that was readable and has nothing to read for a mistake in the program, which a datagram with a wrong checksum is enough
// for. Here the one costs a datagram and the other nothing. Nor is there a buffer and an envelope for each message on its way.

import ControlPlane
import Glibc
import Logging
import NIOCore
import Wire

/// Sockets that follow a set of addresses. Thread: the event loop.
final class ControlSockets {
  /// One datagram.
  typealias Receive = (_ bytes: [UInt8], _ arrival: Arrival) -> Void

  /// Calls that read 32 datagrams each, in one turn of the event loop: twice the misses that the router takes in a turn. With fewer than those,
  /// answers would pile up behind questions, be lost, and be asked for again.
  private static let readsPerTurn = 16

  private let eventLoop: any EventLoop
  private let log: Logger
  private let receive: Receive
  private let batch = DatagramBatch()
  /// Made with the first socket.
  private var readiness: SocketReadiness?
  private var bound: [IPAddress: DatagramSocket] = [:]
  /// Those to be bound, in the order in which they are taken for datagrams that name none.
  private var order: [IPAddress] = []
  /// Those that could not be bound, so that each is told of once.
  private var refused: Set<IPAddress> = []
  private(set) var sent: UInt64 = 0
  /// Datagrams that the kernel did not take, or that had no socket of their family to leave by.
  private(set) var unsendable: UInt64 = 0
  private var droppedBefore: UInt64 = 0

  init(eventLoop: any EventLoop, log: Logger, receive: @escaping Receive) {
    self.eventLoop = eventLoop
    self.log = log
    self.receive = receive
  }

  /// The addresses that are bound, in order.
  var addresses: [IPAddress] { bound.keys.sorted() }

  /// Datagrams to us that the kernel threw away before we read them.
  var dropped: UInt64 { bound.values.reduce(droppedBefore) { $0 + UInt64($1.dropped) } }

  /// Binds what is new and closes what is gone; datagrams that name no address leave from the first of their family. What cannot be bound is
  /// logged and tried again at the next call, and by `retry`.
  func listen(on order: [IPAddress]) {
    let addresses = Set(order)
    self.order = order
    refused.formIntersection(addresses)
    for (address, gone) in bound where !addresses.contains(address) {
      droppedBefore += UInt64(gone.dropped)
      bound[address] = nil
    }
    for address in order where bound[address] == nil {
      do throws(ErrnoError) {
        bound[address] = try open(address)
        refused.remove(address)
      } catch {
        guard refused.insert(address).inserted else { continue }
        log.error("UDP port \(LISPPort.control) of \(address) cannot be had: \(error); end whoever has it, or name other addresses")
      }
    }
  }

  /// Tries again what was refused. Called every few seconds.
  func retry() { if !order.allSatisfy({ bound[$0] != nil }) { listen(on: order) } }

  /// Closes all sockets. Nothing is received any more.
  func close() {
    listen(on: [])
    readiness?.stop()
    readiness = nil
  }

  private func open(_ address: IPAddress) throws(ErrnoError) -> DatagramSocket {
    let socket = try DatagramSocket(address)
    if readiness == nil { readiness = try startReadiness() }
    try readiness?.add(socket.descriptor)
    return socket
  }

  private func startReadiness() throws(ErrnoError) -> SocketReadiness {
    let own = NIOLoopBound(self, eventLoop: eventLoop)
    guard let readiness = SocketReadiness(eventLoop: eventLoop, { own.value.readAll() }) else { throw .noDescriptorOrThread }
    return readiness
  }

  // MARK: - Datagrams

  /// Reads what a turn of the event loop has time for. What is left is read in the next.
  private func readAll() {
    guard let ready = readiness?.ready() else { return }
    for (address, socket) in bound where ready.contains(socket.descriptor) { read(socket, address) }
  }

  private func read(_ socket: DatagramSocket, _ address: IPAddress) {
    for _ in 0..<Self.readsPerTurn {
      let count = batch.receive(from: socket.descriptor)
      for i in 0..<count {
        guard let from = batch.sender(i) else { continue }
        receive(batch.payload(i), Arrival(from: from, to: address))
      }
      guard count == DatagramBatch.count else { return }
      sched_yield()  // as in `send`
    }
  }

  /// Sends a datagram at once.
  func send(_ datagram: Datagram) {
    let family = datagram.destination.address.family
    guard let source = datagram.source ?? order.first(where: { $0.family == family && bound[$0] != nil }),
      let socket = bound[source],
      socket.send(datagram.payload, to: datagram.destination)
    else {
      unsendable += 1
      return
    }
    sent += 1
    // A worker that has to share its core with us goes first now and then: its rings last for two or three milliseconds.
    if sent % 16 == 0 { sched_yield() }
  }
}
