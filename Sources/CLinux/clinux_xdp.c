// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "clinux_xdp.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

static struct ifreq request_for(const char *name) {
  struct ifreq request = {0};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  return request;
}

int clinux_interface_read(int socket, const char *name, struct clinux_interface *out) {
  struct ifreq request = request_for(name);
  if (ioctl(socket, SIOCGIFHWADDR, &request) < 0) return -1;
  memcpy(out->hardware_address, request.ifr_hwaddr.sa_data, sizeof out->hardware_address);
  out->hardware_type = request.ifr_hwaddr.sa_family;
  if (ioctl(socket, SIOCGIFMTU, &request) < 0) return -1;
  out->mtu = request.ifr_mtu;
  if (ioctl(socket, SIOCGIFFLAGS, &request) < 0) return -1;
  out->flags = (unsigned short)request.ifr_flags;
  return 0;
}

int clinux_ethtool(int socket, const char *name, void *data) {
  struct ifreq request = request_for(name);
  request.ifr_data = data;
  return ioctl(socket, SIOCETHTOOL, &request);
}
