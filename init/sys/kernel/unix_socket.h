#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/clock.h"
#include "init/base/result.h"
#include "init/sys/kernel/fd.h"

namespace steppe::kernel {

// Unix sockets of type SOCK_SEQPACKET: packets keep their borders and may carry descriptors. Names are resolved under a
// directory descriptor, so that the length limit of sun_path never meets a long data directory.

// Both ends close-on-exec; the first is non-blocking.
Result<std::pair<Fd, Fd>> packet_pair();
// Binds and listens as `directory`/`name`, replacing a stale socket of that name. Mode 0600.
Result<Fd> listen_packets(int directory, const std::string& name);
// Non-blocking. kUnavailable: nobody listens there any more; kNotFound: no such socket.
Result<Fd> connect_packets(int directory, const std::string& name);

struct Packet {
  std::string data;
  std::vector<Fd> fds;
  bool closed = false;  // the other end has gone
};

// `fds` go with it (SCM_RIGHTS), at most 253; they stay open here. kUnavailable: the other end has gone.
Result<> send_packet(const Fd& socket, ByteView data, Duration limit, std::span<const int> fds = {});
// Waits at most `limit` (kTimeout). At most `max` bytes; a longer packet is kCorrupt.
Result<Packet> receive_packet(const Fd& socket, size_t max, Duration limit);

}  // namespace steppe::kernel
