// SPDX-License-Identifier: Apache-2.0
//
// The socket and the clock of `xtr lig`.

import ControlPlane
import NIOCore
import NIOPosix
import Wire

/// One question and what comes back. Thread: the event loop of its channel.
final class LIGExchange: ChannelInboundHandler {
  typealias InboundIn = AddressedEnvelope<ByteBuffer>
  typealias OutboundOut = AddressedEnvelope<ByteBuffer>

  private var lig: LIG
  private let done: EventLoopPromise<LIG.Result>

  private init(_ lig: LIG, _ done: EventLoopPromise<LIG.Result>) {
    self.lig = lig
    self.done = done
  }

  /// Asks `resolver` for `eid`. Throws what keeps a socket from being opened.
  static func run(_ eid: IPAddress, in instance: InstanceID, resolver: IPAddress) async throws(CommandFailure) -> LIG.Result {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let result: LIG.Result
    do {
      result = try await ask(eid, in: instance, resolver: resolver, on: group.next())
    } catch {
      throw .failed("\(resolver) cannot be asked: \(error)")
    }
    try? await group.shutdownGracefully()
    return result
  }

  private static func ask(
    _ eid: IPAddress, in instance: InstanceID, resolver: IPAddress, on eventLoop: any EventLoop
  ) async throws -> LIG.Result {
    // The answer may come from anybody, so the socket cannot be connected; but connecting one tells which of our addresses to give.
    let probe = try await DatagramBootstrap(group: eventLoop).connect(to: SocketAddress(Endpoint(resolver))).get()
    guard let own = probe.localAddress.flatMap({ Endpoint($0) }) else { throw CommandFailure.failed("we have no address to ask from") }
    try await probe.close()
    let done = eventLoop.makePromise(of: LIG.Result.self)
    let channel = try await DatagramBootstrap(group: eventLoop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard let lig = LIG(eid, in: instance, resolver: resolver, rlocs: [own.address], port: own.port) else { return }
          try channel.pipeline.syncOperations.addHandler(LIGExchange(lig, done))
        }
      }
      .bind(to: SocketAddress(own)).get()
    let result = try await done.futureResult.get()
    try await channel.close()
    return result
  }

  func channelActive(context: ChannelHandlerContext) { tick(context) }

  /// The next try, or the end; and again when that is over.
  private func tick(_ context: ChannelHandlerContext) {
    if let request = lig.tick(now: .now) {
      let data = context.channel.allocator.buffer(bytes: request.payload)
      context.writeAndFlush(
        wrapOutboundOut(AddressedEnvelope(remoteAddress: SocketAddress(request.destination), data: data)), promise: nil)
    }
    guard lig.result == nil, let deadline = lig.nextDeadline else { return finish() }
    let wait = ContinuousClock.now.duration(to: deadline)
    context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(wait)) { self.tick(context) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let envelope = unwrapInboundIn(data)
    guard let from = Endpoint(envelope.remoteAddress), let to = context.localAddress.flatMap({ Endpoint($0) }),
      case .mapReply(let reply)? = try? ControlMessage(parsing: Array(envelope.data.readableBytesView))
    else { return }
    lig.receive(reply, Arrival(from: from, to: to.address), now: .now)
    finish()
  }

  private func finish() { if let result = lig.result { done.succeed(result) } }
}
