#include "init/control/ask.h"

#include <fcntl.h>

#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/unix_socket.h"

namespace steppe::control {

namespace {

Result<Reply> exchange(const Request& request, Duration limit, const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {Code::kInvalid, "not an absolute path"};
  STEPPE_TRY(const kernel::Fd directory, kernel::open_host(path.substr(0, slash + 1), O_PATH | O_DIRECTORY));
  STEPPE_TRY(const kernel::Fd socket, kernel::connect_packets(directory.get(), path.substr(slash + 1)));
  std::array<std::byte, kMaxRequest> buffer;
  STEPPE_TRY_VOID(kernel::send_packet(socket, encode(request, buffer), limit));
  STEPPE_TRY(const kernel::Packet packet, kernel::receive_packet(socket, kMaxReply, limit));
  // PID 1 closes without a word on whoever may not ask.
  if (packet.closed) return {Code::kDenied, "PID 1 does not answer this process"};
  Reply reply;
  if (!decode(as_bytes(packet.data), reply)) return {Code::kCorrupt, "the answer is not one that this program knows"};
  if (reply.status == Status::kMalformed) return {Code::kUnsupported, "PID 1 does not know this request"};
  if (reply.status == Status::kEnding) return {Code::kUnavailable, "the machine goes down already"};
  return reply;
}

}  // namespace

Result<Reply> ask(const Request& request, Duration limit, const std::string& path) { return exchange(request, limit, path).wrap("ask PID 1 at " + path); }

}  // namespace steppe::control
