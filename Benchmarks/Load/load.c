// SPDX-License-Identifier: Apache-2.0
//
// Load generator and receiver for one forwarder, started by testbed.py in the namespace of both far ends. The kernel runs
// `send` of load.bpf.c millions of times (BPF_PROG_TEST_RUN, live frames) and puts the frames into the sending interface;
// `receive` counts at the receiving one, since a frame the generator counts may still be refused by the link.
//
// Commands on standard input, one a line: "RATE SECONDS WARM-UP", rate in packets per second, 0 for as fast as it goes; or with a
// storm "RATE SECONDS WARM-UP FIRST STEP COUNT PLACE": every second packet goes to a new address, FIRST (a number) and on in steps,
// COUNT of them, from PLACE on; such packets need not arrive. The answers are "begin" and "end" around a window of SECONDS that
// starts WARM-UP seconds after the first packet, then one line of JSON: `sent` and `received` of the whole run (equal when nothing
// was lost), `storm` of those sent, and the same of the window.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <pthread.h>
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
#include "load.h"

enum {
  cycleLength = 4080,  // a multiple of the 12 frames of IMIX, within loadFrameLimit
  batchSize = 64,      // frames per flush into the link, whose ring holds 256
  burst = 64,
  lispPort = 4341,
  discardPort = 9,
  outerSize = 36,      // IPv4 + UDP + LISP
  checkSequenceSize = 4,
  tcxIngress = 46,     // BPF_TCX_INGRESS, for headers older than Linux 6.6
};

struct Options {
  const char *sendName, *receiveName;
  struct ether_addr destinationMAC;
  uint32_t source, sources, destination, destinations;  // innermost addresses, host order: first and how many
  uint32_t outerSource, outerDestination;               // of a LISP header, 0 for plain packets
  uint16_t expectedPort;
  int frameSize;  // as on a wire, with check sequence, without the outer header; 0 for IMIX
  int cpu;
};

static struct Options options = {.sources = 1, .destinations = 1, .expectedPort = discardPort, .frameSize = 64};
static struct bpf_object *object;
static volatile struct LoadState *state;
static struct LoadFrame *frames;
static int receivedMap, cpuCount;
static struct LoadReceived *perCPU;

static void fail(const char *what, const char *where, int error) {
  fprintf(stderr, "load: %s %s: %s\n", what, where, strerror(error));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// MARK: The packets

static uint64_t seed = 0x9E3779B97F4A7C15;

/// SplitMix64: the same packets in every run.
static uint32_t pseudoRandom(void) {
  uint64_t z = (seed += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return (uint32_t)((z ^ (z >> 31)) >> 32);
}

static uint16_t headerChecksum(const void *header) {
  const uint8_t *bytes = header;
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return htons((uint16_t)~sum);
}

/// Writes IPv4 and UDP headers for a packet of `length` bytes; returns where the payload starts.
static uint8_t *writeDatagram(uint8_t *at, uint32_t source, uint32_t destination, uint16_t from, uint16_t to, int length) {
  struct iphdr ip = {.version = 4, .ihl = 5, .tot_len = htons((uint16_t)length), .frag_off = htons(IP_DF), .ttl = 64,
                     .protocol = IPPROTO_UDP, .saddr = htonl(source), .daddr = htonl(destination)};
  ip.check = headerChecksum(&ip);
  struct udphdr udp = {.source = htons(from), .dest = htons(to), .len = htons((uint16_t)(length - 20))};
  memcpy(at, &ip, sizeof ip);
  memcpy(at + sizeof ip, &udp, sizeof udp);
  return at + sizeof ip + sizeof udp;
}

static void writeFrame(struct LoadFrame *frame, int size, struct ether_addr sourceMAC) {
  uint32_t source = options.source + pseudoRandom() % options.sources;
  uint32_t destination = options.destination + pseudoRandom() % options.destinations;
  uint16_t port = (uint16_t)(49152 + pseudoRandom() % 16384);
  int innerLength = size - checkSequenceSize - ETH_HLEN;
  struct ether_header ethernet = {.ether_type = htons(ETHERTYPE_IP)};
  memcpy(ethernet.ether_dhost, &options.destinationMAC, 6);
  memcpy(ethernet.ether_shost, &sourceMAC, 6);
  memcpy(frame->header, &ethernet, sizeof ethernet);
  uint8_t *at = frame->header + sizeof ethernet;
  frame->length = (uint32_t)(ETH_HLEN + innerLength);
  if (options.outerDestination) {
    at = writeDatagram(at, options.outerSource, options.outerDestination, port, lispPort, innerLength + outerSize);
    memset(at, 0, 8);  // LISP header: no flags, instance 0
    at += 8;
    frame->length += outerSize;
  }
  writeDatagram(at, source, destination, port, discardPort, innerLength);
}

/// Fills the cycle: one size, or IMIX in shuffled order. Returns the longest frame's length.
static uint32_t writeCycle(struct ether_addr sourceMAC) {
  static const int imix[12] = {64, 64, 64, 64, 64, 64, 64, 570, 570, 570, 570, 1518};
  static int sizes[cycleLength];
  for (int i = 0; i < cycleLength; i++) sizes[i] = options.frameSize ? options.frameSize : imix[i % 12];
  for (int i = cycleLength - 1; i > 0; i--) {
    int other = (int)(pseudoRandom() % (uint32_t)(i + 1)), size = sizes[i];
    sizes[i] = sizes[other];
    sizes[other] = size;
  }
  uint32_t longest = 0;
  for (int i = 0; i < cycleLength; i++) {
    writeFrame(&frames[i], sizes[i], sourceMAC);
    if (frames[i].length > longest) longest = frames[i].length;
  }
  return longest;
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

static void *mapped(const char *name, size_t byteCount) {
  int fd = bpf_object__find_map_fd_by_name(object, name);
  void *memory = mmap(NULL, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) fail("mapping", name, errno);
  return memory;
}

static void loadPrograms(void) {
  char self[4096] = {0}, path[4200];
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) fail("finding", "load.bpf.o", errno);
  snprintf(path, sizeof path, "%s/load.bpf.o", dirname(self));
  struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
  object = bpf_object__open_file(path, NULL);
  if (!object) fail("opening", path, errno);
  if (bpf_object__load(object)) fail("loading", path, errno);
  state = mapped("state", sizeof *state);
  frames = mapped("frames", sizeof(struct LoadFrame) * loadFrameLimit);
  receivedMap = bpf_object__find_map_fd_by_name(object, "received");
  cpuCount = libbpf_num_possible_cpus();
  perCPU = calloc((size_t)cpuCount, sizeof *perCPU);
  uint32_t zero = 0;
  struct LoadExpectation expectation = {.port = htons(options.expectedPort)};
  bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, "expectation"), &zero, &expectation, BPF_ANY);
}

/// Attaches `receive` by a link that goes when this process goes.
static void attachReceiver(void) {
  int program = bpf_program__fd(bpf_object__find_program_by_name(object, "receive"));
  int link = bpf_link_create(program, (int)if_nametoindex(options.receiveName), (enum bpf_attach_type)tcxIngress, NULL);
  if (link < 0) fail("attaching to", options.receiveName, -link);
}

// MARK: A run

struct Storm {
  uint32_t first, step;
  unsigned long long count, place;
};

struct Sender {
  pthread_t thread;
  int program;
  uint32_t frameLength;
  volatile bool ended;
};

static void interrupt(int signal) { (void)signal; }

/// Sends until a signal ends the call into the kernel; it is repeated as long as it ends by itself.
static void *sendFrames(void *argument) {
  struct Sender *sender = argument;
  static uint8_t packet[loadLargestFrame];
  struct xdp_md context = {.data_end = sender->frameLength, .ingress_ifindex = if_nametoindex(options.sendName)};
  while (!state->stopping) {
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = sender->frameLength, .ctx_in = &context,
                .ctx_size_in = sizeof context, .repeat = 1 << 30, .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = batchSize);
    int error = bpf_prog_test_run_opts(sender->program, &run);
    if (error && error != -EINTR) fail("sending on", options.sendName, -error);
  }
  sender->ended = true;
  return NULL;
}

static void startSender(struct Sender *sender) {
  pthread_attr_t attributes;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(options.cpu, &set);
  pthread_attr_init(&attributes);
  pthread_attr_setaffinity_np(&attributes, sizeof set, &set);
  int error = pthread_create(&sender->thread, &attributes, sendFrames, sender);
  if (error) fail("starting", "the sender", error);
  double deadline = now() + 2;
  while (!state->sent && now() < deadline) usleep(500);
  if (!state->sent) fail("sending on", options.sendName, ETIMEDOUT);
}

static void stopSender(struct Sender *sender) {
  state->stopping = 1;
  while (!sender->ended) {
    pthread_kill(sender->thread, SIGUSR1);
    usleep(1000);
  }
  pthread_join(sender->thread, NULL);
}

static struct LoadReceived receivedSoFar(void) {
  uint32_t zero = 0;
  struct LoadReceived sum = {0};
  if (bpf_map_lookup_elem(receivedMap, &zero, perCPU)) fail("reading", "the receiver's counters", errno);
  for (int i = 0; i < cpuCount; i++) {
    sum.packets += perCPU[i].packets;
    sum.bytes += perCPU[i].bytes;
    sum.wrong += perCPU[i].wrong;
  }
  return sum;
}

/// Waits until nothing has arrived for 20 ms.
static struct LoadReceived settled(void) {
  struct LoadReceived before = receivedSoFar();
  for (;;) {
    usleep(20000);
    struct LoadReceived after = receivedSoFar();
    if (after.packets == before.packets) return after;
    before = after;
  }
}

static void say(const char *line) {
  puts(line);
  fflush(stdout);
}

static void run(uint64_t rate, double seconds, double warmUp, struct Storm storm, uint32_t frameLength) {
  struct Sender sender = {
      .program = bpf_program__fd(bpf_object__find_program_by_name(object, "send")), .frameLength = frameLength};
  struct LoadReceived zero = receivedSoFar();
  *state = (struct LoadState){.rate = rate, .burst = burst, .frameCount = cycleLength, .stormFirst = storm.first,
                              .stormStep = storm.step, .stormCount = storm.count, .stormNext = storm.place};
  startSender(&sender);
  usleep((useconds_t)(warmUp * 1e6));
  say("begin");
  struct LoadReceived before = receivedSoFar();
  uint64_t sentBefore = state->sent;
  double start = now();
  usleep((useconds_t)(seconds * 1e6));
  struct LoadReceived after = receivedSoFar();
  uint64_t sentAfter = state->sent;
  double took = now() - start;
  say("end");
  stopSender(&sender);
  struct LoadReceived total = settled();
  printf("{\"sent\": %llu, \"received\": %llu, \"storm\": %llu, \"wrong\": %llu, \"window_seconds\": %.6f, \"window_sent\": %llu, "
         "\"window_received\": %llu, \"window_bytes\": %llu}\n",
         (unsigned long long)state->sent, total.packets - zero.packets, (unsigned long long)state->stormSent,
         total.wrong - zero.wrong, took,
         (unsigned long long)(sentAfter - sentBefore), after.packets - before.packets, after.bytes - before.bytes);
  fflush(stdout);
}

// MARK: The program

static void usage(void) {
  fprintf(stderr,
          "usage: load --send IF --receive IF --to MAC --source IPV4,COUNT --destination IPV4,COUNT [--outer IPV4,IPV4]\n"
          "            [--size BYTES|imix] [--expect UDP-PORT] [--cpu N]\n");
  exit(2);
}

/// "10.2.0.0,16" → address in host order; `rest` points behind the comma.
static uint32_t address(char *text, char **rest) {
  struct in_addr parsed;
  char *comma = strchr(text, ',');
  if (!comma) usage();
  *comma = 0;
  if (inet_pton(AF_INET, text, &parsed) != 1) usage();
  *rest = comma + 1;
  return ntohl(parsed.s_addr);
}

static void parse(int count, char **arguments) {
  static const struct option known[] = {
      {"send", required_argument, 0, 's'}, {"receive", required_argument, 0, 'r'}, {"to", required_argument, 0, 't'},
      {"source", required_argument, 0, 'f'}, {"destination", required_argument, 0, 'd'}, {"outer", required_argument, 0, 'o'},
      {"size", required_argument, 0, 'z'}, {"expect", required_argument, 0, 'e'}, {"cpu", required_argument, 0, 'c'}, {0}};
  char *rest;
  struct in_addr outer;
  for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) switch (option) {
    case 's': options.sendName = optarg; break;
    case 'r': options.receiveName = optarg; break;
    case 't': if (!ether_aton_r(optarg, &options.destinationMAC)) usage(); break;
    case 'f': options.source = address(optarg, &rest); options.sources = (uint32_t)strtoul(rest, NULL, 10); break;
    case 'd': options.destination = address(optarg, &rest); options.destinations = (uint32_t)strtoul(rest, NULL, 10); break;
    case 'o':
      options.outerSource = address(optarg, &rest);
      if (inet_pton(AF_INET, rest, &outer) != 1) usage();
      options.outerDestination = ntohl(outer.s_addr);
      break;
    case 'z': options.frameSize = strcmp(optarg, "imix") ? atoi(optarg) : 0; break;
    case 'e': options.expectedPort = (uint16_t)atoi(optarg); break;
    case 'c': options.cpu = atoi(optarg); break;
    default: usage();
  }
  if (!options.sendName || !options.receiveName || !options.sources || !options.destinations) usage();
  if (options.frameSize && (options.frameSize < 64 || options.frameSize > 1518)) usage();
}

int main(int count, char **arguments) {
  parse(count, arguments);
  struct sigaction action = {.sa_handler = interrupt};
  sigaction(SIGUSR1, &action, NULL);
  loadPrograms();
  uint32_t frameLength = writeCycle(ownAddress(options.sendName));
  attachReceiver();
  say("ready");
  char line[128];
  while (fgets(line, sizeof line, stdin)) {
    unsigned long long rate;
    double seconds, warmUp;
    struct Storm storm = {0};
    int fields = sscanf(line, "%llu %lf %lf %u %u %llu %llu", &rate, &seconds, &warmUp, &storm.first, &storm.step, &storm.count,
                        &storm.place);
    if (fields != 3 && fields != 7) {
      fprintf(stderr, "load: not \"RATE SECONDS WARM-UP\": %s", line);
      return 1;
    }
    run(rate, seconds, warmUp, storm, frameLength);
  }
  return 0;
}
