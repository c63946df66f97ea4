// SPDX-License-Identifier: Apache-2.0
//
// The two loads of control.py, started by it in a namespace; the result is a line of JSON.
//
//   exchange FILE FROM TO WINDOW SECONDS
//       sends the datagrams of FILE (each after its length, 16 bits in host order), every one once and in order, from port 4342 of FROM to
//       port 4342 of TO. Each is answered by one; at most WINDOW are on their way. What is not answered within 50 ms counts as lost.
//       Ends after SECONDS, or with the file.
//   spread FIRST STEP COUNT RATE
//       sends one small datagram to each of COUNT addresses, FIRST and on in steps, RATE a second.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { controlPort = 4342, discardPort = 9, batchSize = 64, largestAnswer = 2048, answerWaitMilliseconds = 50, bufferByteCount = 8 << 20 };

static void fail(const char *what, const char *where) {
  fprintf(stderr, "control: %s %s: %s\n", what, where, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static struct sockaddr_in endpoint(const char *text, uint16_t port) {
  struct sockaddr_in endpoint = {.sin_family = AF_INET, .sin_port = htons(port)};
  if (inet_pton(AF_INET, text, &endpoint.sin_addr) == 1) return endpoint;
  errno = EINVAL;
  fail("reading the address", text);
  return endpoint;
}

static int udpSocket(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), size = bufferByteCount;
  if (fd < 0) fail("opening", "a socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
  return fd;
}

// MARK: exchange

struct Datagrams {
  const uint8_t *next, *end;
};

static struct Datagrams mapped(const char *path) {
  struct stat facts;
  int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &facts) < 0) fail("opening", path);
  const uint8_t *bytes = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (bytes == MAP_FAILED) fail("mapping", path);
  return (struct Datagrams){bytes, bytes + facts.st_size};
}

/// Sends up to `limit` datagrams; returns how many.
static int sendSome(int fd, struct Datagrams *datagrams, int limit) {
  struct iovec parts[batchSize];
  struct mmsghdr messages[batchSize] = {0};
  const uint8_t *at = datagrams->next;
  int count = 0;
  for (; count < limit && count < batchSize && at < datagrams->end; count++) {
    uint16_t length;
    memcpy(&length, at, sizeof length);
    parts[count] = (struct iovec){(void *)(at + sizeof length), length};
    messages[count].msg_hdr = (struct msghdr){.msg_iov = &parts[count], .msg_iovlen = 1};
    at += sizeof length + length;
  }
  int sent = count ? sendmmsg(fd, messages, (unsigned)count, 0) : 0;
  if (sent < 0) fail("sending", "datagrams");
  for (int i = 0; i < sent; i++) datagrams->next += sizeof(uint16_t) + parts[i].iov_len;
  return sent;
}

/// Reads what has come, once something has; returns how many, 0 after 50 ms.
static int receiveSome(int fd) {
  static uint8_t bytes[batchSize][largestAnswer];
  struct iovec parts[batchSize];
  struct mmsghdr messages[batchSize] = {0};
  for (int i = 0; i < batchSize; i++) {
    parts[i] = (struct iovec){bytes[i], largestAnswer};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
  }
  struct pollfd readable = {.fd = fd, .events = POLLIN};
  if (poll(&readable, 1, answerWaitMilliseconds) <= 0) return 0;
  int received = recvmmsg(fd, messages, batchSize, MSG_DONTWAIT, NULL);
  return received < 0 ? 0 : received;
}

static void exchange(char **arguments) {
  struct Datagrams datagrams = mapped(arguments[0]);
  struct sockaddr_in from = endpoint(arguments[1], controlPort), to = endpoint(arguments[2], controlPort);
  int window = atoi(arguments[3]);
  int fd = udpSocket();
  if (bind(fd, (struct sockaddr *)&from, sizeof from) < 0) fail("binding to", arguments[1]);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connecting to", arguments[2]);
  double start = now(), end = start + atof(arguments[4]);
  long sent = 0, answered = 0, lost = 0;
  while (now() < end && (datagrams.next < datagrams.end || sent > answered + lost)) {
    sent += sendSome(fd, &datagrams, window - (int)(sent - answered - lost));
    int received = receiveSome(fd);
    answered += received;
    if (received == 0) lost = sent - answered;
  }
  printf("{\"sent\": %ld, \"answered\": %ld, \"lost\": %ld, \"seconds\": %.6f}\n", sent, answered, lost, now() - start);
}

// MARK: spread

static void spread(char **arguments) {
  struct sockaddr_in first = endpoint(arguments[0], discardPort);
  uint32_t address = ntohl(first.sin_addr.s_addr), step = (uint32_t)atoi(arguments[1]);
  long count = atol(arguments[2]), sent = 0;
  double interval = 1 / atof(arguments[3]), start = now();
  int fd = udpSocket();
  char payload[18] = {0};
  struct iovec part = {payload, sizeof payload};
  while (sent < count) {
    struct sockaddr_in destinations[batchSize];
    struct mmsghdr messages[batchSize] = {0};
    long due = (long)((now() - start) / interval) + 1 - sent;
    if (due > count - sent) due = count - sent;
    if (due > batchSize) due = batchSize;
    for (long i = 0; i < due; i++) {
      destinations[i] = first;
      destinations[i].sin_addr.s_addr = htonl(address + (uint32_t)(sent + i) * step);
      messages[i].msg_hdr = (struct msghdr){
          .msg_name = &destinations[i], .msg_namelen = sizeof first, .msg_iov = &part, .msg_iovlen = 1};
    }
    int done = due ? sendmmsg(fd, messages, (unsigned)due, 0) : 0;
    if (done < 0) fail("sending from", arguments[0]);
    sent += done;
    if (due < batchSize) usleep(200);
  }
  printf("{\"sent\": %ld, \"seconds\": %.6f}\n", sent, now() - start);
}

int main(int count, char **arguments) {
  if (count == 7 && !strcmp(arguments[1], "exchange")) exchange(arguments + 2);
  else if (count == 6 && !strcmp(arguments[1], "spread")) spread(arguments + 2);
  else {
    fprintf(stderr, "usage: control exchange FILE FROM TO WINDOW SECONDS | control spread FIRST STEP COUNT RATE\n");
    return 2;
  }
  return 0;
}
