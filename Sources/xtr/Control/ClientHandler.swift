// SPDX-License-Identifier: Apache-2.0
//
// One client of the control socket: lines in, answers and events out. `ControlServer` puts one on each connection.
//
// Requests are carried out one after the other, and the socket is not read while one is under way or while the client leaves
// answers unread: what a client can make us hold is one line, one answer and ControlProtocol.maximumBacklogByteCount of events.

import ControlAPI
import Logging
import NIOCore

/// The end of the pipeline. Thread: the event loop.
final class ClientHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let service: any ControlService
  private let executor: EventLoopTaskExecutor
  private let log: Logger
  /// Told when what this client watches changed, and when it is gone.
  private let watchesChanged: (ClientHandler) -> Void
  private let number: UInt64

  private var context: ChannelHandlerContext?
  private var lines: LineBuffer
  /// nil before the handshake.
  private var client: ClientID?
  private var collection = ReplaceCollection()
  private var isBusy = false
  /// A read that waits until the request under way is done.
  private var readIsHeld = false
  private var inputHasEnded = false
  private(set) var watched: Set<ControlEvent.Kind> = []
  /// Events not told since the client fell behind.
  private var lost: UInt64 = 0

  init(
    number: UInt64, service: any ControlService, executor: EventLoopTaskExecutor, lineLimit: Int, log: Logger,
    watchesChanged: @escaping (ClientHandler) -> Void
  ) {
    self.number = number
    self.service = service
    self.executor = executor
    self.log = log
    self.watchesChanged = watchesChanged
    lines = LineBuffer(limit: lineLimit)
  }

  // MARK: From the channel

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    lines.append(unwrapInboundIn(data).readableBytesView)
    proceed()
  }

  func read(context: ChannelHandlerContext) {
    if mayProceed {
      context.read()
    } else {
      readIsHeld = true
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      tellLost()
      proceed()
    }
    context.fireChannelWritabilityChanged()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .inputClosed? = event as? ChannelEvent {
      inputHasEnded = true
      proceed()
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    log.debug("control client \(client?.description ?? "#\(number)") is gone")
    self.context = nil
    watched = []
    watchesChanged(self)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  // MARK: Requests

  private var mayProceed: Bool { !isBusy && context?.channel.isWritable == true }

  /// Handles what lines there are, as far as may be, and reads on.
  private func proceed() {
    while mayProceed, let line = lines.next() { handle(line) }
    guard mayProceed, let context else { return }
    if lines.isOverlong {
      send(.failure(ControlFailure(.tooLarge, "the line is longer than \(lines.limit) bytes: split it, as `replace` allows")), id: nil)
      context.close(promise: nil)
    } else if inputHasEnded, watched.isEmpty {
      context.close(promise: nil)
    } else if readIsHeld {
      readIsHeld = false
      context.read()
    }
  }

  private func handle(_ line: [UInt8]) {
    switch ControlRequest.decode(line: line) {
    case .failure(let failed): send(.failure(failed.failure), id: failed.id)
    case .success(let request):
      do throws(ControlFailure) {
        try handle(request)
      } catch {
        send(.failure(error), id: request.id)
      }
    }
  }

  private func handle(_ request: ControlRequest) throws(ControlFailure) {
    if case .hello(let version, let name) = request.operation {
      try shakeHands(version: version, name: name)
      return send(.hello(version: ControlProtocol.version, server: "xtr \(Version.text)"), id: request.id)
    }
    guard let client else {
      throw ControlFailure(.version, "the first request must be {\"op\":\"hello\",\"version\":\(ControlProtocol.version)}")
    }
    switch request.operation {
    case .watch(let kinds):
      watched = kinds
      watchesChanged(self)
      send(.done, id: request.id)
    case .replace(let scope, let mappings, let part?):
      switch try collection.take(part, scope: scope, mappings: mappings) {
      case .collected(let count): send(.collected(count), id: request.id)
      case .whole(let operation): ask(ControlRequest(operation, id: request.id), client)
      }
    case .replace(_, _, nil):
      // A whole one after parts: the client has given the parts up.
      collection.discard()
      ask(request, client)
    case .hello, .add, .delete, .get, .list, .stats, .status, .drops, .database, .interfaces, .neighbours, .registrations, .resolutions,
      .locator, .probes, .control, .peers, .reload, .drain:
      ask(request, client)
    }
  }

  private func shakeHands(version: Int, name: String?) throws(ControlFailure) {
    guard version == ControlProtocol.version else {
      throw ControlFailure(.version, "version: this router speaks \(ControlProtocol.version), not \(version)")
    }
    guard client == nil else { throw ControlFailure(.invalid, "hello: hands have been shaken already") }
    client = ClientID(number: number, owner: name ?? ClientID.defaultOwner)
    log.debug("control client \(name ?? ClientID.defaultOwner)#\(number) is here")
  }

  /// Has the service answer; the next line waits until it has.
  private func ask(_ request: ControlRequest, _ client: ClientID) {
    guard let context else { return }
    isBusy = true
    let service = service
    let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
    Task(executorPreference: executor) {
      let answer = await service.answer(request, from: client)
      handler.value.finish(answer, id: request.id)
    }
  }

  private func finish(_ answer: ControlAnswer, id: RequestID?) {
    isBusy = false
    send(answer, id: id)
    proceed()
  }

  private func send(_ answer: ControlAnswer, id: RequestID?) { write(answer.line(id: id)) }

  // MARK: Events

  /// Tells the client an event, or counts it when the client has fallen behind.
  func tell(_ line: [UInt8]) {
    guard let context else { return }
    if context.channel.isWritable, lost == 0 {
      write(line)
    } else {
      lost += 1
    }
  }

  private func tellLost() {
    guard lost > 0 else { return }
    let line = ControlEvent.lost(lost).line
    lost = 0
    write(line)
  }

  private func write(_ line: [UInt8]) {
    guard let context else { return }
    context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: line)), promise: nil)
  }
}
