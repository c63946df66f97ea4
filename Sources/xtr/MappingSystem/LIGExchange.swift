// SPDX-License-Identifier: Apache-2.0
//
// The socket and the clock of `xtr lig`.

import ControlPlane
import NIOCore
import NIOPosix
import Wire

/// One question and what comes back. Thread: the event loop.
final class LIGExchange {
  private var lig: LIG
  private let own: IPAddress
  private let socket: DatagramSocket
  private let batch = DatagramBatch()
  private let eventLoop: any EventLoop
  private var readiness: SocketReadiness?
  private let done: EventLoopPromise<LIG.Result>

  /// Asks `resolver` for `eid`. Throws what keeps a socket from being opened.
  static func run(_ eid: IPAddress, in instance: InstanceID, resolver: IPAddress) async throws(CommandFailure) -> LIG.Result {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let eventLoop = group.next()
    let result: LIG.Result
    do {
      result = try await eventLoop.flatSubmit {
        let done = eventLoop.makePromise(of: LIG.Result.self)
        do {
          let own = try DatagramSocket.ownAddress(towards: Endpoint(resolver))
          try LIGExchange(eid, in: instance, resolver: resolver, own: own, eventLoop, done).begin()
        } catch {
          done.fail(error)
        }
        return done.futureResult
      }.get()
    } catch {
      throw .failed("\(resolver) cannot be asked: \(error)")
    }
    try? await group.shutdownGracefully()
    return result
  }

  /// The answer may come from anybody, so the socket is not connected to the resolver.
  private init(
    _ eid: IPAddress, in instance: InstanceID, resolver: IPAddress, own: IPAddress, _ eventLoop: any EventLoop,
    _ done: EventLoopPromise<LIG.Result>
  ) throws {
    let socket = try DatagramSocket(own, port: 0)
    guard let port = socket.endpoint?.port, let lig = LIG(eid, in: instance, resolver: resolver, rlocs: [own], port: port) else {
      throw CommandFailure.failed("we have no address to ask from")
    }
    (self.lig, self.own, self.socket, self.eventLoop, self.done) = (lig, own, socket, eventLoop, done)
  }

  private func begin() throws {
    let bound = NIOLoopBound(self, eventLoop: eventLoop)
    guard let readiness = SocketReadiness(eventLoop: eventLoop, { bound.value.read() }) else { throw ErrnoError.noDescriptorOrThread }
    self.readiness = readiness
    try readiness.add(socket.descriptor)
    tick()
  }

  /// The next try, or the end; and again when that is over.
  private func tick() {
    // A try that cannot be sent is one that nobody answers.
    if let request = lig.tick(now: .now) { _ = socket.send(request.payload, to: request.destination) }
    guard lig.result == nil, let deadline = lig.nextDeadline else { return finish() }
    let wait = ContinuousClock.now.duration(to: deadline)
    eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(wait)) { self.tick() }
  }

  private func read() {
    for i in 0..<batch.receive(from: socket.descriptor) {
      guard let from = batch.sender(i), case .mapReply(let reply)? = try? ControlMessage(parsing: batch.payload(i)) else { continue }
      lig.receive(reply, Arrival(from: from, to: own), now: .now)
    }
    finish()
  }

  private func finish() {
    guard let result = lig.result, let readiness else { return }
    readiness.stop()
    self.readiness = nil
    done.succeed(result)
  }
}
