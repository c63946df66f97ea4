// SPDX-License-Identifier: Apache-2.0
//
// UDP 4342: a socket for each of our addresses, so that an answer leaves from the address that was asked. The router has one set for its RLOCs,
// the map-server one for the addresses it listens on; both hand what comes to state machines and send what these say.

import ControlPlane
import Logging
import Glibc
import NIOCore
import NIOPosix
import Wire

/// Sockets that follow a set of addresses. Thread: the event loop.
final class ControlSockets {
  /// One datagram.
  typealias Receive = (_ bytes: [UInt8], _ arrival: Arrival) -> Void

  /// One address: the socket that sends, and NIO's channel that receives.
  private struct Bound {
    var socket: DatagramSocket
    var channel: any Channel
  }

  /// Calls that read 32 datagrams each, in one turn of the event loop: twice the misses that the router takes in a turn. With fewer than those,
  /// answers would pile up behind questions, be lost, and be asked for again.
  private static let readsPerTurn: UInt = 16

  private let eventLoop: any EventLoop
  private let log: Logger
  private let receive: Receive
  private var bound: [IPAddress: Bound] = [:]
  /// Being bound.
  private var pending: Set<IPAddress> = []
  /// Those to be bound, in the order in which they are taken for datagrams that name none.
  private var order: [IPAddress] = []
  /// Those that could not be bound, so that each is told of once.
  private var refused: Set<IPAddress> = []
  private(set) var sent: UInt64 = 0
  /// Datagrams that the kernel did not take, or that had no socket of their family to leave by.
  private(set) var unsendable: UInt64 = 0

  init(eventLoop: any EventLoop, log: Logger, receive: @escaping Receive) {
    self.eventLoop = eventLoop
    self.log = log
    self.receive = receive
  }

  /// The addresses that are bound, in order.
  var addresses: [IPAddress] { bound.keys.sorted() }

  /// Binds what is new and closes what is gone; datagrams that name no address leave from the first of their family. The future completes
  /// when every new address is bound or refused; a refusal is logged and tried again at the next call, and by `retry`.
  @discardableResult
  func listen(on order: [IPAddress]) -> EventLoopFuture<Void> {
    let addresses = Set(order)
    self.order = order
    refused.formIntersection(addresses)
    for (address, gone) in bound where !addresses.contains(address) {
      bound[address] = nil
      gone.channel.close(promise: nil)
    }
    let new = addresses.filter { bound[$0] == nil && !pending.contains($0) }
    return EventLoopFuture.andAllComplete(new.map(bind), on: eventLoop)
  }

  /// Tries again what was refused or has closed. Called every few seconds.
  func retry() { if !order.allSatisfy({ bound[$0] != nil }) { listen(on: order) } }

  private func bind(_ address: IPAddress) -> EventLoopFuture<Void> {
    let socket: DatagramSocket
    let descriptor: CInt
    do throws(ErrnoError) {
      socket = try DatagramSocket(address)
      descriptor = try socket.duplicate()
    } catch {
      failed(error, address)
      return eventLoop.makeSucceededVoidFuture()
    }
    pending.insert(address)
    let handler = NIOLoopBound(Handler(address, receive), eventLoop: eventLoop)
    return DatagramBootstrap(group: eventLoop)
      .channelOption(.datagramVectorReadMessageCount, value: 32)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 32 * 2048))
      .channelOption(.maxMessagesPerRead, value: Self.readsPerTurn)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
      }
      .withBoundSocket(descriptor)
      .assumeIsolated()
      .map { self.opened(Bound(socket: socket, channel: $0), address) }
      .flatMapErrorThrowing { self.failed($0, address) }
      .nonisolated()
  }

  private func opened(_ new: Bound, _ address: IPAddress) {
    pending.remove(address)
    guard order.contains(address) else { return new.channel.close(promise: nil) }
    refused.remove(address)
    bound[address] = new
    let id = ObjectIdentifier(new.channel)
    new.channel.closeFuture.assumeIsolated().whenComplete { [weak self] _ in
      // Whatever made NIO give it up: it is bound again by `retry`.
      if let self, let open = bound[address], ObjectIdentifier(open.channel) == id { bound[address] = nil }
    }
  }

  private func failed(_ error: any Error, _ address: IPAddress) {
    pending.remove(address)
    guard refused.insert(address).inserted else { return }
    log.error("UDP port \(LISPPort.control) of \(address) cannot be had: \(error); end whoever has it, or name other addresses")
  }

  /// Sends a datagram at once.
  func send(_ datagram: Datagram) {
    let family = datagram.destination.address.family
    guard let source = datagram.source ?? order.first(where: { $0.family == family && bound[$0] != nil }),
      let socket = bound[source]?.socket,
      socket.send(datagram.payload, to: datagram.destination)
    else {
      unsendable += 1
      return
    }
    sent += 1
  }

  func close() { listen(on: []) }

  /// Unwraps what a channel reads.
  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    private let address: IPAddress
    private let receive: Receive

    init(_ address: IPAddress, _ receive: @escaping Receive) {
      self.address = address
      self.receive = receive
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let envelope = unwrapInboundIn(data)
      guard let from = Endpoint(envelope.remoteAddress) else { return }
      receive(Array(envelope.data.readableBytesView), Arrival(from: from, to: address))
    }

    /// An error of one datagram leaves the socket as it is.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
  }
}

extension SocketAddress {
  init(_ endpoint: Endpoint) {
    switch endpoint.address {
    case .v4(let address):
      var socket = sockaddr_in()
      socket.sin_family = sa_family_t(AF_INET)
      socket.sin_port = endpoint.port.bigEndian
      socket.sin_addr.s_addr = address.rawValue.bigEndian
      self = SocketAddress(socket)
    case .v6(let address):
      var socket = sockaddr_in6()
      socket.sin6_family = sa_family_t(AF_INET6)
      socket.sin6_port = endpoint.port.bigEndian
      withUnsafeMutableBytes(of: &socket.sin6_addr) { bytes in
        bytes.storeBytes(of: address.high.bigEndian, as: UInt64.self)
        bytes.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
      }
      self = SocketAddress(socket)
    }
  }
}

extension Endpoint {
  /// nil for a Unix socket's address.
  init?(_ address: SocketAddress) {
    switch address {
    case .v4(let address):
      self.init(
        .v4(IPv4Address(rawValue: UInt32(bigEndian: address.address.sin_addr.s_addr))), port: UInt16(bigEndian: address.address.sin_port))
    case .v6(let address):
      let (high, low) = withUnsafeBytes(of: address.address.sin6_addr) { bytes in
        (
          UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
          UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        )
      }
      self.init(.v6(IPv6Address(high: high, low: low)), port: UInt16(bigEndian: address.address.sin6_port))
    case .unixDomainSocket: return nil
    }
  }
}
