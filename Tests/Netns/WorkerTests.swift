// SPDX-License-Identifier: Apache-2.0
//
// More than one queue: a worker each, and flows that spread over them.

import Lab
import Testing
import Wire

extension Netns {
  @Suite struct WorkerTests {
    @Test func `two queues have two workers, and both carry traffic in both directions`() throws {
      try TestBed.run(.init(queues: 2)) { bed in
        try bed.warmUp()
        for family in AddressFamily.allCases {
          var flow = bed.flow(family)
          flow.flows = 32
          flow.duration = .milliseconds(500)
          let result = try flow.run()
          #expect(result.isClean, "\(result)")
        }
        for router in bed.routers {
          let status = try router.quietStatus()
          #expect(status.workers.count == 2)
          #expect(Set(status.workers.map(\.queue)) == [0, 1])
          for worker in status.workers { #expect(worker.received > 200 && worker.transmitted > 200, "\(router.name): \(worker)") }
          let ports = try router.interfaces()
          #expect(ports.count == 3 && ports.allSatisfy { $0.queues.count == 2 && $0.attachMode == "native" })
          #expect(ports.flatMap(\.queues).allSatisfy { $0.socketMode == "copy" })
        }
      }
    }

    @Test func `one worker serves two queues when the configuration says so`() throws {
      let options = TestBed.Options(queues: 2, configure: { configuration, _ in configuration.routerLines = ["workers = 1"] })
      try TestBed.run(options) { bed in
        try bed.warmUp()
        var flow = bed.flow(.ipv4)
        flow.flows = 32
        let result = try flow.run()
        #expect(result.isClean, "\(result)")
      }
    }

    @Test func `generic mode is the named fallback and forwards as well`() throws {
      let options = TestBed.Options(configure: { configuration, _ in
        for index in configuration.interfaces.indices { configuration.interfaces[index].lines = ["attach = \"generic\""] }
      })
      try TestBed.run(options) { bed in
        try bed.warmUp()
        #expect(try bed.flow(.ipv4).run().isClean)
        #expect(try bed.a.interfaces().allSatisfy { $0.attachMode == "generic" })
      }
    }
  }
}
