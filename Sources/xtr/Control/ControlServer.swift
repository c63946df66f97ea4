// SPDX-License-Identifier: Apache-2.0
//
// The native control socket: a Unix stream socket on the slow path's event loop, one JSON object a line (ControlAPI). The router
// starts it, gives it events, and closes it.

import ControlAPI
import Logging
import NIOCore
import NIOPosix

/// A listening control socket and its clients. Thread: any; all work is done on the event loop.
final class ControlServer: Sendable {
  private let file: SocketFile
  private let listener: any Channel
  private let clients: NIOLoopBoundBox<Clients>
  let eventLoop: any EventLoop

  /// Who is connected. Thread: the event loop.
  private struct Clients {
    var handlers: [ObjectIdentifier: ClientHandler] = [:]
    var channels: [ObjectIdentifier: any Channel] = [:]
    var accepted: UInt64 = 0
    /// The union of what all watch.
    var watched: Set<ControlEvent.Kind> = []
  }

  /// What a client may use up. Tests make them smaller.
  struct Limits: Sendable {
    var clients = ControlProtocol.maximumClients
    var lineByteCount = ControlProtocol.maximumLineByteCount
    var backlogByteCount = ControlProtocol.maximumBacklogByteCount
  }

  private init(file: SocketFile, listener: any Channel, clients: NIOLoopBoundBox<Clients>, eventLoop: any EventLoop) {
    self.file = file
    self.listener = listener
    self.clients = clients
    self.eventLoop = eventLoop
  }

  /// Makes the socket file, mode 0660 with `group`, and listens.
  static func start(
    path: String, group: String?, service: some ControlService, eventLoop: any EventLoop, log: Logger, limits: Limits = Limits()
  ) async throws(ControlServerError) -> ControlServer {
    let file = try SocketFile(path: path, group: group)
    let clients = NIOLoopBoundBox.makeBoxSendingValue(Clients(), eventLoop: eventLoop)
    let executor = EventLoopTaskExecutor(eventLoop)
    do {
      let listener = try await ServerBootstrap(group: eventLoop)
        .childChannelOption(.allowRemoteHalfClosure, value: true)
        .childChannelOption(.writeBufferWaterMark, value: .init(low: limits.backlogByteCount / 2, high: limits.backlogByteCount))
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try Self.accept(channel, clients, limits, service, executor, log)
          }
        }
        .withBoundSocket(file.descriptor)
        .get()
      return ControlServer(file: file, listener: listener, clients: clients, eventLoop: eventLoop)
    } catch {
      file.remove()
      throw ControlServerError("control socket \(path): \(error)")
    }
  }

  /// Puts a handler on a new connection, or a refusal.
  private static func accept(
    _ channel: any Channel, _ clients: NIOLoopBoundBox<Clients>, _ limits: Limits, _ service: any ControlService,
    _ executor: EventLoopTaskExecutor, _ log: Logger
  ) throws {
    let key = ObjectIdentifier(channel)
    guard clients.value.handlers.count < limits.clients else {
      let failure = ControlFailure(.tooLarge, "the router has \(limits.clients) control clients already: end one of them")
      try channel.pipeline.syncOperations.addHandler(RefusalHandler(line: ControlAnswer.failure(failure).line(id: nil)))
      return
    }
    clients.value.accepted += 1
    let handler = ClientHandler(
      number: clients.value.accepted, service: service, executor: executor, lineLimit: limits.lineByteCount, log: log
    ) { handler in
      clients.value.watched = clients.value.handlers.values.reduce(into: []) { $0.formUnion($1.watched) }
    }
    clients.value.handlers[key] = handler
    clients.value.channels[key] = channel
    channel.closeFuture.assumeIsolated().whenComplete { _ in
      clients.value.handlers[key] = nil
      clients.value.channels[key] = nil
    }
    try channel.pipeline.syncOperations.addHandler(handler)
  }

  /// Tells all who watch this kind of event. Thread: any; on the event loop it is done before it returns.
  func publish(_ event: ControlEvent) {
    guard eventLoop.inEventLoop else { return eventLoop.execute { self.publish(event) } }
    guard let kind = event.kind, clients.value.watched.contains(kind) else { return }
    let line = event.line
    for handler in clients.value.handlers.values where handler.watched.contains(kind) { handler.tell(line) }
  }

  /// What somebody watches: other events need not be made. Thread: the event loop.
  var watchedKinds: Set<ControlEvent.Kind> { clients.value.watched }

  /// Ends all connections, stops listening and removes the file.
  func close() async {
    file.remove()
    try? await listener.close()
    let clients = clients
    let closed = eventLoop.submit { clients.value.channels.values.map { $0.close() } }
    for future in (try? await closed.get()) ?? [] { try? await future.get() }
  }
}

/// Says why a connection is not taken, and ends it.
private final class RefusalHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let line: [UInt8]

  init(line: [UInt8]) { self.line = line }

  func channelActive(context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: line)), promise: nil)
    context.close(promise: nil)
  }
}
