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

    @Test func `a router of two ports and one queue stays below 64 MB, frames included`() throws {
      let options = TestBed.Options(configure: { configuration, _ in
        configuration.interfaces.removeLast()
        configuration.instances = []
        configuration.database.removeAll { $0.instance == 2 }
        configuration.mappings.removeAll { $0.instance == 2 }
      })
      try TestBed.run(options) { bed in
        for family in AddressFamily.allCases {
          // Neighbours first: what waits for one in the kernel is bounded, and not what this test is about.
          #expect(try bed.ping(family).received > 0)
          let flow = try bed.flow(family).run()
          #expect(flow.isClean, "\(flow)")
        }
        let kilobytes = try bed.a.residentKilobytes()
        print("resident memory of a router of two ports and one queue: \(kilobytes / 1024) MB")
        #expect(kilobytes < 64 * 1024)
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
