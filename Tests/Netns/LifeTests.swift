// SPDX-License-Identifier: Apache-2.0
//
// How a router starts, changes its configuration and ends, well and badly, and what the host sees of that.

import Glibc
import Lab
import Testing
import Wire

extension Netns {
  @Suite struct LifeTests {
    @Test func `after SIGKILL under traffic the host's own traffic goes on, and a restart forwards within 2 s`() throws {
      try TestBed.run { bed in
        try bed.warmUp()
        // Pings to the router's own address run through it all, 100 a second.
        let own = try ChildProcess(
          ["ping", "-n", "-i", "0.01", "-c", "400", "-W", "1", bed.sites.siteB.gateway(.ipv4, instance: 1)], in: bed.hostB1)
        var flow = bed.flow(.ipv4)
        flow.packetsPerSecond = 2000
        flow.duration = .seconds(60)
        let traffic = try flow.start()
        try Interruption.wait(for: "traffic", atMost: .seconds(2)) { traffic.received > 200 }

        bed.b.signal(SIGKILL)
        try Interruption.wait(for: "the end", atMost: .seconds(2)) { bed.b.process?.isRunning != true }
        for interface in ["core", "site1", "site2"] { #expect(try !bed.sites.siteB.router.hasXDP(on: interface)) }
        try Interruption.sleep(.milliseconds(300))
        let before = traffic.received

        let start = ContinuousClock.now
        try bed.b.start()
        try Interruption.wait(for: "packets after the restart", atMost: .seconds(10), every: .milliseconds(1)) { traffic.received > before }
        let time = ContinuousClock.now - start
        print("restart after SIGKILL: forwards again after \(time)")
        #expect(time < .seconds(2))
        try bed.b.waitUntilForwarding()
        _ = try traffic.finish()
        try own.wait(atMost: .seconds(20))
        #expect(own.standardOutput.contains(" 400 received"), "\(own.standardOutput.split(separator: "\n").suffix(2))")
        #expect(try bed.flow(.ipv4).run().isClean)
      }
    }

    /// What SIGTERM has to leave as it was before the start.
    private static func traces(_ namespace: Namespace) throws -> [String] {
      try ["core", "site1", "site2"].map { try namespace.execute("ethtool", "-k", $0) }
        + ["-4 rule", "-6 rule", "link", "addr", "-4 route show table all", "-6 route show table all"].map {
          // Interface lines without what traffic and time change.
          try namespace.ip($0).split(separator: "\n").map { line in
            String(line.split(separator: " ").prefix { $0 != "expires" && $0 != "qlen" }.joined(separator: " "))
          }.joined(separator: "\n")
        }
    }

    @Test func `SIGTERM drains, detaches and restores what was changed`() throws {
      Interruption.install()
      let lab = try Lab()
      defer { lab.tearDown() }
      let sites = try TwoSites(in: lab)
      let router = RouterProcess("xtrA", in: sites.siteA.router, binary: binaryUnderTest, directory: lab.directory)
      try router.write(TestBed.configuration(of: router, sites.siteA, sites.siteB))
      let before = try Self.traces(sites.siteA.router)
      try router.start()
      try router.waitUntilForwarding()
      #expect(try sites.siteA.router.hasXDP(on: "site1"))
      let during = try Self.traces(sites.siteA.router)
      #expect(during != before, "a running router shows somewhere")
      let start = ContinuousClock.now
      let status = router.stop()
      #expect(status == .exited(0), "\(router.log)")
      #expect(ContinuousClock.now - start < .seconds(3))
      let after = try Self.traces(sites.siteA.router)
      for (one, other) in zip(before, after) { #expect(one == other) }
      #expect(try !sites.siteA.router.hasXDP(on: "site1"))
      #expect(access(router.controlSocket, F_OK) != 0, "the control socket's file is still there")
    }

    @Test func `SIGHUP applies a changed file while UDP runs and loses no packet`() throws {
      try TestBed.run { bed in
        try bed.warmUp()
        var flow = bed.flow(.ipv4)
        flow.duration = .seconds(60)
        let traffic = try flow.start()
        try Interruption.wait(for: "traffic", atMost: .seconds(2)) { traffic.received > 200 }
        for round in 1...5 {
          let extra = RouterConfiguration.Mapping(instance: 1, prefix: "10.77.\(round).0/24", locators: ["198.51.100.2"])
          let options = TestBed.Options(
            rlocFamily: round % 2 == 0 ? .ipv4 : .ipv6,
            configure: { configuration, _ in
              configuration.mappings.append(extra)
            })
          try bed.a.write(TestBed.configuration(of: bed.a, bed.sites.siteA, bed.sites.siteB, options))
          bed.a.signal(SIGHUP)
          try Interruption.wait(for: "the changed file", atMost: .seconds(3)) { () throws(LabError) in
            try bed.a.mappings().contains { $0.eid.description.contains("10.77.\(round).0/24") }
          }
          #expect(try bed.a.mappings().filter { $0.eid.description.contains("10.77.") }.count == 1)
        }
        let result = try traffic.finish()
        // Old and new locator have ways of different length: order may change at a switch, but nothing is lost.
        #expect(result.isComplete, "\(result)")
      }
    }

    @Test func `SIGHUP with a wrong file changes nothing and says where the fault is`() throws {
      try TestBed.run { bed in
        try bed.warmUp()
        let before = try bed.a.mappings().map(\.eid)
        try bed.a.write(text: "[router]\ncontrol-socket = 7\n")
        bed.a.signal(SIGHUP)
        try Interruption.wait(for: "a word in the log", atMost: .seconds(3)) { bed.a.log.contains("control-socket") }
        #expect(try bed.a.mappings().map(\.eid) == before)
        #expect(try bed.flow(.ipv4).run().isClean)
      }
    }

    // MARK: Starts that must fail, in one line, touching nothing

    private static func expectRefusal(
      _ prepare: (TwoSites) throws -> Void = { _ in }, configure: @escaping (inout RouterConfiguration) -> Void = { _ in },
      codes: [Int32], words: [String], _ location: SourceLocation = #_sourceLocation
    ) throws {
      Interruption.install()
      let lab = try Lab()
      defer { lab.tearDown() }
      let sites = try TwoSites(in: lab)
      let router = RouterProcess("xtrA", in: sites.siteA.router, binary: binaryUnderTest, directory: lab.directory)
      try router.write(
        TestBed.configuration(of: router, sites.siteA, sites.siteB, .init(configure: { configuration, _ in configure(&configuration) })))
      try prepare(sites)
      let before = try traces(sites.siteA.router)
      let (status, said) = try router.runToItsEnd()
      guard case .exited(let code) = status else {
        Issue.record("\(status): \(said)", sourceLocation: location)
        return
      }
      #expect(codes.contains(code), "\(said)", sourceLocation: location)
      for word in words { #expect(said.contains(word), "\(said)", sourceLocation: location) }
      #expect(said.split(separator: "\n").count == 1, "\(said)", sourceLocation: location)
      for (one, other) in zip(before, try traces(sites.siteA.router)) { #expect(one == other, sourceLocation: location) }
    }

    @Test func `an interface that is not there is named`() throws {
      try Self.expectRefusal(configure: { $0.interfaces[1].name = "nowhere0" }, codes: [1, 77], words: ["nowhere0"])
    }

    @Test func `an MTU that no AF_XDP frame holds is refused with the cure`() throws {
      try Self.expectRefusal({ try $0.siteA.router.ip("link set core mtu 9000") }, codes: [1, 77], words: ["core", "9000", "MTU"])
    }

    @Test func `a foreign XDP program is refused by its name and stays`() throws {
      try Self.expectRefusal(
        { sites in
          let object = "\(sites.lab.directory)/foreign.o"
          let source = """
            __attribute__((section("xdp"), used)) int foreign(void *c) { return 2; }
            char l[] __attribute__((section("license"))) = "GPL";
            """
          try ChildProcess.run(["sh", "-c", "echo '\(source)' | clang -O2 -g -target bpf -x c -c - -o \(object)"])
          try sites.siteA.router.execute("ip", "link", "set", "dev", "core", "xdp", "obj", object, "sec", "xdp")
        }, codes: [1, 77], words: ["core", "foreign"])
    }

    @Test func `without privilege the router says so in one line, with status 77`() throws {
      let lab = try Lab()
      defer { lab.tearDown() }
      let sites = try TwoSites(in: lab)
      let router = RouterProcess("xtrA", in: sites.siteA.router, binary: binaryUnderTest, directory: lab.directory)
      var configuration = TestBed.configuration(of: router, sites.siteA, sites.siteB)
      configuration.controlSocket = "\(lab.directory)/open/xtr.sock"
      try router.write(configuration)
      let copy = "\(lab.directory)/xtr"
      try ChildProcess.run(["cp", binaryUnderTest, copy])
      try ChildProcess.run(["mkdir", "-m", "777", "\(lab.directory)/open"])
      try ChildProcess.run(["chmod", "755", lab.directory, copy])
      let process = try ChildProcess(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "run", router.configurationPath], in: sites.siteA.router)
      let status = try process.wait(atMost: .seconds(10))
      #expect(status == .exited(77), "\(process.standardError)")
      #expect(process.standardError.split(separator: "\n").count == 1, "\(process.standardError)")
      try ChildProcess.run(["rm", "-rf", "\(lab.directory)/open"])
    }

    @Test func `a wrong configuration is told by file, line and key, with status 2`() throws {
      try Self.expectRefusal(configure: { $0.routerLines = ["wrokers = 2"] }, codes: [2], words: ["xtrA.toml:3", "wrokers"])
    }
  }
}
