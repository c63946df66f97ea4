// SPDX-License-Identifier: Apache-2.0
//
// Attaching the steering program, native, generic or the one after the other, and the words for each way in which the
// kernel can refuse. Used by SteeringProgram.

import Glibc

/// What there is to attach, and where. Thread: slow path.
struct SteeringAttacher {
  let program: CInt
  let interfaceIndex: UInt32
  let interfaceName: String

  /// Chosen: the longest MTU that all drivers which demand one page per frame accept in native mode (ice has the lowest, 3 KB
  /// with the Ethernet header and two tags).
  static let nativeMTU = 3000

  /// Throws when somebody's XDP program is attached to the interface already, or there is no interface.
  func refuseForeignProgram() throws(XDPError) {
    let attached: AttachedProgram?
    do {
      attached = try AttachedProgram.on(interfaceIndex: interfaceIndex)
    } catch {
      throw explain(error.errno, call: "bpf_xdp_query", .generic)
    }
    if let attached { throw .foreignProgram(interface: interfaceName, name: attached.name, id: attached.id) }
  }

  func attach(_ requested: SteeringProgram.RequestedMode) throws(XDPError) -> SteeringLink {
    switch requested {
    case .native: try attach(in: .native)
    case .generic: try attach(in: .generic)
    case .auto: try attachNativeOrGeneric()
    }
  }

  private func attach(
    in mode: SteeringProgram.AttachMode, nativeRefusal: XDPError? = nil
  ) throws(XDPError) -> SteeringLink {
    do {
      return try SteeringLink(attaching: program, to: interfaceIndex, mode: mode, nativeRefusal: nativeRefusal)
    } catch {
      throw explain(error.errno, call: "bpf(BPF_LINK_CREATE)", mode)
    }
  }

  /// Only what the driver says against native mode leads to generic mode; for all else generic would be refused as well.
  private func attachNativeOrGeneric() throws(XDPError) -> SteeringLink {
    let refusal: XDPError
    do {
      return try attach(in: .native)
    } catch {
      refusal = error
    }
    switch refusal {
    case .interface, .system: return try attach(in: .generic, nativeRefusal: refusal)
    case .noPrivilege, .foreignProgram, .kernelTooOld: throw refusal
    }
  }

  private func explain(_ code: CInt, call: String, _ mode: SteeringProgram.AttachMode) -> XDPError {
    switch (code, mode) {
    case (EPERM, _):
      return .noPrivilege(doing: "attach the steering program to \(interfaceName)")
    case (ENODEV, _), (ENXIO, _),
      (EINVAL, _) where !interfaceExists(interfaceIndex):
      return .interface(name: interfaceName, problem: "there is no such interface any more", cure: "`ip link` lists those that there are")
    case (EBUSY, _), (EEXIST, _):
      return foreignProgram(code, call)
    case (EINVAL, _) where !kernelIsAtLeast(5, 9):
      return .kernelTooOld(feature: "bpf_link for XDP programs", needs: "5.9")
    case (EOPNOTSUPP, .native):
      return .interface(
        name: interfaceName, problem: "its driver has no native XDP", cure: "set attach = \"generic\", which is slower")
    case (EINVAL, .native), (ERANGE, .native), (E2BIG, .native), (EMSGSIZE, .native):
      return nativeRefused(code)
    case (ENOSPC, .native), (ENOMEM, .native):
      return .interface(
        name: interfaceName, problem: "its driver refuses XDP in native mode with these queues (\(errnoText(code)))",
        cure: "change their number (ethtool -L; veth: no fewer receive queues than the peer sends on), or set attach = \"generic\"")
    case (_, .native), (_, .generic):
      return .system(call: call, errno: code, where: interfaceName, cure: "")
    }
  }

  /// Somebody came between our look and our attachment, or has attached to a device above or below this one.
  private func foreignProgram(_ code: CInt, _ call: String) -> XDPError {
    if let attached = try? AttachedProgram.on(interfaceIndex: interfaceIndex) {
      return .foreignProgram(interface: interfaceName, name: attached.name, id: attached.id)
    }
    return .system(
      call: call, errno: code, where: interfaceName,
      cure: "an XDP program may be attached to a bond or team that this interface belongs to")
  }

  /// Drivers say why in the kernel's log only; a large MTU is by far the most frequent reason.
  private func nativeRefused(_ code: CInt) -> XDPError {
    let interface = try? Interface.named(interfaceName)
    guard let mtu = interface?.mtu, mtu > Self.nativeMTU else {
      return .interface(
        name: interfaceName, problem: "its driver refuses XDP in native mode (\(errnoText(code)))",
        cure: "switch LRO off (ethtool -K), see the kernel's log for the reason, or set attach = \"generic\"")
    }
    return .interface(
      name: interfaceName, problem: "MTU \(mtu) is too large for XDP in native mode (\(errnoText(code)))",
      cure: "lower it to \(Self.nativeMTU) or less, or set attach = \"generic\", which is slower")
  }
}
