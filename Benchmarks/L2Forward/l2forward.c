// SPDX-License-Identifier: Apache-2.0
//
// The reference that the router is measured against (testbed.py starts both): the least an AF_XDP program can do for a
// packet. Two ports, queue 0 of each, one frame memory for both; a frame received on one port leaves by the other with
// new MAC addresses, without being copied in user space. One thread, batches of 64, copy mode, need-wakeup.
//
// It takes the choices the router takes, so that a ratio compares the work and not the tuning: ring sizes, a last-in
// first-out list of free frames, refill before receive, a kick until the transmit ring is drained, and the same two
// polling policies:
//   adaptive  spin over empty rings for a while, then sleep in poll(2)
//   busy      never sleep
// With --transmit-budget and --batches it takes two more of the router's choices, which a plain forwarder does not: how many frames one
// sendto(2) may take, and how many batches are moved before it.
// With --socket-polling it also runs the driver's poll itself, by recvfrom(2) on a socket that prefers busy polling. That is
// for drivers which name their queues' NAPI to the kernel; veth does not (Linux 6.18), and there it has no effect.

#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <xdp/xsk.h>

// For headers older than the kernel this runs on.
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

enum {
  chunkSize = 4096,
  frameCount = 8192,  // 2 x (fill 2048 + receive 1024 + transmit 1024): no ring ever waits for a frame
  batchSize = 64,
  receiveSize = 1024,
  transmitSize = 1024,
  fillSize = 2048,
  completionSize = 1024,
  hugePageSize = 2 << 20,
  pollTimeoutMilliseconds = 100,  // how late a signal may be noticed
};

struct Port {
  const char *name;
  struct ether_addr own, peer;  // source and destination of frames that leave here
  struct xsk_ring_prod fill, transmit;
  struct xsk_ring_cons receive, completion;
  struct xsk_umem *umem;
  struct xsk_socket *socket;
  struct bpf_object *program;
  int link, fd;
  uint32_t frames;  // frames this port holds in its fill ring
  uint64_t received, transmitted, dropped;
};

static struct Port ports[2];
static uint8_t *memory;
static uint64_t freeFrames[frameCount];
static uint32_t freeCount;
static bool busy, socketPolling;
static uint32_t fillTarget = fillSize;
static uint32_t batchesPerTurn = 1;
static int transmitBudget;  // 0: the kernel's own
static uint64_t spinNanoseconds = 20000;
static volatile sig_atomic_t stopping;

static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

static void fail(const char *what, const char *where, int error) {
  fprintf(stderr, "l2forward: %s %s: %s\n", what, where, strerror(error));
  exit(1);
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

// MARK: Setting up

static struct ether_addr ownAddress(const char *name) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0) fail("MAC address of", name, errno);
  close(fd);
  struct ether_addr address;
  memcpy(&address, request.ifr_hwaddr.sa_data, sizeof address);
  return address;
}

/// Loads the XDP program for `port` and attaches it by a link, which goes when this process goes.
static void attach(struct Port *port, const char *objectPath) {
  port->program = bpf_object__open_file(objectPath, NULL);
  if (!port->program) fail("opening", objectPath, errno);
  if (bpf_object__load(port->program)) fail("loading", objectPath, errno);
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
  int program = bpf_program__fd(bpf_object__find_program_by_name(port->program, "lift"));
  port->link = bpf_link_create(program, (int)if_nametoindex(port->name), BPF_XDP, &options);
  if (port->link < 0) fail("attaching to", port->name, -port->link);
  int map = bpf_object__find_map_fd_by_name(port->program, "sockets");
  int error = xsk_socket__update_xskmap(port->socket, map);
  if (error) fail("registering the socket of", port->name, -error);
}

static void setSocketPolling(struct Port *port) {
  int prefer = 1, microseconds = 20, budget = batchSize;
  if (setsockopt(port->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &prefer, sizeof prefer) < 0 ||
      setsockopt(port->fd, SOL_SOCKET, SO_BUSY_POLL, &microseconds, sizeof microseconds) < 0 ||
      setsockopt(port->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof budget) < 0)
    fail("busy polling on", port->name, errno);
}

/// Registers the frame memory for `port` and binds a socket to its queue 0. Each port registers the same memory itself:
/// frames move between ports, and neither port inherits the other's mode.
static void openPort(struct Port *port) {
  struct xsk_umem_config umem = {
      .fill_size = fillSize, .comp_size = completionSize, .frame_size = chunkSize, .frame_headroom = 0, .flags = 0};
  int error = xsk_umem__create(&port->umem, memory, (uint64_t)frameCount * chunkSize, &port->fill, &port->completion, &umem);
  if (error) fail("registering the frame memory for", port->name, -error);
  struct xsk_socket_config socket = {
      .rx_size = receiveSize,
      .tx_size = transmitSize,
      .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
      .bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
  };
  for (int attempt = 0; attempt < 150; attempt++) {  // the kernel frees a predecessor's queue a moment late
    error = xsk_socket__create(&port->socket, port->name, 0, port->umem, &port->receive, &port->transmit, &socket);
    if (error != -EBUSY) break;
    usleep(10000);
  }
  if (error) fail("binding to", port->name, -error);
  port->fd = xsk_socket__fd(port->socket);
  if (socketPolling) setSocketPolling(port);
  if (transmitBudget && setsockopt(port->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &transmitBudget, sizeof transmitBudget) < 0)
    fprintf(stderr, "l2forward: transmit budget of %s: %s; the kernel's own is used (it can be set since Linux 6.17)\n", port->name,
            strerror(errno));
}

static void allocateMemory(void) {
  size_t byteCount = (size_t)frameCount * chunkSize;
  uint8_t *area = mmap(NULL, byteCount + hugePageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) fail("frame memory:", "mmap", errno);
  memory = (uint8_t *)(((uintptr_t)area + hugePageSize - 1) & ~(uintptr_t)(hugePageSize - 1));
  madvise(memory, byteCount, MADV_HUGEPAGE);
  memset(memory, 0, byteCount);
  for (uint32_t i = 0; i < frameCount; i++) freeFrames[freeCount++] = (uint64_t)(frameCount - 1 - i) * chunkSize;
}

// MARK: The packet's way

static inline void reclaim(struct Port *port) {
  uint32_t first, count = xsk_ring_cons__peek(&port->completion, completionSize, &first);
  for (uint32_t i = 0; i < count; i++)
    freeFrames[freeCount++] = *xsk_ring_cons__comp_addr(&port->completion, first + i) & ~(uint64_t)(chunkSize - 1);
  if (count) xsk_ring_cons__release(&port->completion, count);
}

static inline void refill(struct Port *port) {
  uint32_t first, count = fillTarget - port->frames;
  if (count > freeCount) count = freeCount;
  if (count < batchSize || xsk_ring_prod__reserve(&port->fill, count, &first) != count) return;
  for (uint32_t i = 0; i < count; i++) *xsk_ring_prod__fill_addr(&port->fill, first + i) = freeFrames[--freeCount];
  xsk_ring_prod__submit(&port->fill, count);
  port->frames += count;
}

static inline uint32_t waitingToLeave(const struct Port *port) {
  return port->transmit.cached_prod - __atomic_load_n(port->transmit.consumer, __ATOMIC_ACQUIRE);
}

/// Asks the kernel to send until the transmit ring is empty: one call sends a bounded number of frames.
static void kick(struct Port *port) {
  for (int attempt = 0; attempt < 64 && waitingToLeave(port); attempt++) {
    if (sendto(port->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) continue;
    if (errno == ENOBUFS || errno == EAGAIN || errno == EBUSY) {
      reclaim(port);
      continue;
    }
    if (errno == ENETDOWN) return;
    fail("sending on", port->name, errno);
  }
}

static inline void setAddresses(uint8_t *frame, const struct Port *leaving) {
  memcpy(frame, &leaving->peer, 6);
  memcpy(frame + 6, &leaving->own, 6);
}

/// Moves up to one batch from `in` to the transmit ring of `out`; returns how many frames came.
static inline uint32_t move(struct Port *in, struct Port *out) {
  uint32_t first, place = 0;
  uint32_t count = xsk_ring_cons__peek(&in->receive, batchSize, &first);
  if (!count) return 0;
  in->frames -= count;
  in->received += count;
  uint32_t room = xsk_prod_nb_free(&out->transmit, count);
  uint32_t leaving = room < count ? room : count;
  xsk_ring_prod__reserve(&out->transmit, leaving, &place);
  for (uint32_t i = 0; i < leaving; i++) {
    const struct xdp_desc *source = xsk_ring_cons__rx_desc(&in->receive, first + i);
    setAddresses(memory + source->addr, out);
    struct xdp_desc *target = xsk_ring_prod__tx_desc(&out->transmit, place + i);
    target->addr = source->addr;
    target->len = source->len;
    target->options = 0;
  }
  for (uint32_t i = leaving; i < count; i++)
    freeFrames[freeCount++] = xsk_ring_cons__rx_desc(&in->receive, first + i)->addr & ~(uint64_t)(chunkSize - 1);
  xsk_ring_cons__release(&in->receive, count);
  if (leaving) xsk_ring_prod__submit(&out->transmit, leaving);
  out->transmitted += leaving;
  out->dropped += count - leaving;
  return count;
}

/// One turn from `in` to `out`; returns how many frames came.
static inline uint32_t forward(struct Port *in, struct Port *out) {
  reclaim(out);
  refill(in);
  uint32_t moved = 0;
  for (uint32_t batch = 0; batch < batchesPerTurn; batch++) {
    uint32_t count = move(in, out);
    moved += count;
    if (count < batchSize) break;
  }
  if (moved) kick(out);
  else if (socketPolling || xsk_ring_prod__needs_wakeup(&in->fill)) recvfrom(in->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
  return moved;
}

static void run(void) {
  struct pollfd waiting[2] = {{.fd = ports[0].fd, .events = POLLIN}, {.fd = ports[1].fd, .events = POLLIN}};
  uint64_t idleSince = 0;
  while (!stopping) {
    uint32_t moved = forward(&ports[0], &ports[1]) + forward(&ports[1], &ports[0]);
    if (moved) {
      idleSince = 0;
      continue;
    }
    if (busy) continue;
    uint64_t time = now();
    if (!idleSince) idleSince = time;
    if (time - idleSince < spinNanoseconds) continue;
    poll(waiting, 2, pollTimeoutMilliseconds);
    idleSince = 0;
  }
}

// MARK: The program

static void report(void) {
  for (int i = 0; i < 2; i++) {
    struct xdp_statistics kernel = {0};
    socklen_t size = sizeof kernel;
    getsockopt(ports[i].fd, SOL_XDP, XDP_STATISTICS, &kernel, &size);
    fprintf(stderr, "l2forward: %s received %lu transmitted %lu dropped %lu; socket ring full %llu, fill ring empty %llu\n",
            ports[i].name, ports[i].received, ports[i].transmitted, ports[i].dropped, kernel.rx_ring_full,
            kernel.rx_fill_ring_empty_descs);
  }
}

static void usage(void) {
  fprintf(stderr,
          "usage: l2forward [--busy] [--socket-polling] [--spin MICROSECONDS] [--fill FRAMES] [--cpu N]\n"
          "                 [--transmit-budget FRAMES] [--batches N]\n"
          "                 PORT PEER-MAC PORT PEER-MAC\n");
  exit(2);
}

static void parse(int count, char **arguments) {
  static const struct option options[] = {
      {"busy", no_argument, 0, 'b'}, {"socket-polling", no_argument, 0, 'p'}, {"spin", required_argument, 0, 's'},
      {"fill", required_argument, 0, 'f'}, {"cpu", required_argument, 0, 'c'},
      {"transmit-budget", required_argument, 0, 't'}, {"batches", required_argument, 0, 'n'}, {0}};
  for (int option; (option = getopt_long(count, arguments, "", options, NULL)) != -1;) {
    if (option == 'b') busy = true;
    else if (option == 'p') socketPolling = true;
    else if (option == 's') spinNanoseconds = strtoull(optarg, NULL, 10) * 1000;
    else if (option == 'f') fillTarget = (uint32_t)strtoul(optarg, NULL, 10);
    else if (option == 't') transmitBudget = atoi(optarg);
    else if (option == 'n') batchesPerTurn = (uint32_t)strtoul(optarg, NULL, 10);
    else if (option == 'c') {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(atoi(optarg), &set);
      if (sched_setaffinity(0, sizeof set, &set) < 0) fail("pinning to CPU", optarg, errno);
    } else usage();
  }
  if (count - optind != 4 || fillTarget < batchSize || fillTarget > fillSize || batchesPerTurn < 1) usage();
  for (int i = 0; i < 2; i++) {
    ports[i].name = arguments[optind + 2 * i];
    if (!if_nametoindex(ports[i].name)) fail("interface", ports[i].name, ENODEV);
    ports[i].own = ownAddress(ports[i].name);
    if (!ether_aton_r(arguments[optind + 2 * i + 1], &ports[i].peer)) usage();
  }
}

int main(int count, char **arguments) {
  parse(count, arguments);
  struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  struct sigaction action = {.sa_handler = stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);

  char self[4096] = {0}, object[4200];
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) fail("finding", "lift.bpf.o", errno);
  snprintf(object, sizeof object, "%s/lift.bpf.o", dirname(self));
  allocateMemory();
  for (int i = 0; i < 2; i++) {
    openPort(&ports[i]);
    refill(&ports[i]);
    attach(&ports[i], object);
  }
  printf("ready\n");
  fflush(stdout);
  run();
  report();
  for (int i = 0; i < 2; i++) {
    close(ports[i].link);
    bpf_object__close(ports[i].program);
    xsk_socket__delete(ports[i].socket);
    xsk_umem__delete(ports[i].umem);
  }
  return 0;
}
