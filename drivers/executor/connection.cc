#include "drivers/executor/connection.h"

#include <chrono>

#include "init/base/bytes.h"
#include "init/sys/kernel/unix_socket.h"

namespace steppe::executor {
namespace {

constexpr Duration kAnswerLimit = std::chrono::seconds(5);

}  // namespace

Result<Reply> decode_reply(ByteView bytes) {
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kExecutorReply, kProtocolVersion, kMaxPacket));
  Reply reply;
  reply.error = static_cast<int>(message.integer(kError));
  reply.state = static_cast<State>(message.integer(kState));
  reply.executor_pid = static_cast<int>(message.integer(kExecutorPid));
  reply.task_pid = static_cast<int>(message.integer(kTaskPid));
  reply.failed_errno = static_cast<int>(message.integer(kFailedErrno));
  reply.failed_step = static_cast<uint32_t>(message.integer(kFailedStep));
  reply.failed_list = static_cast<uint32_t>(message.integer(kFailedList));
  return reply;
}

Result<Reply> Connection::receive(Duration limit) {
  auto packet = kernel::receive_packet(socket_, kMaxPacket, limit);
  if (!packet.ok()) {
    socket_.reset();
    return std::move(packet).error();
  }
  if (packet->closed) {
    socket_.reset();
    return {Code::kNotFound, "the task's executor has gone"};
  }
  auto reply = decode_reply(as_bytes(packet->data));
  if (!reply.ok()) {
    socket_.reset();
    return std::move(reply).error().wrap("executor's reply");
  }
  reply->fds = std::move(packet->fds);
  return reply;
}

Result<Reply> Connection::call(Verb verb, int signal, int64_t grace_ms) {
  if (!open()) return {Code::kNotFound, "the task's executor has gone"};
  frame::Builder request(frame::kExecutorRequest, kProtocolVersion);
  request.integer(kVerb, static_cast<int64_t>(verb)).integer(kSignalNumber, signal).integer(kGraceMs, grace_ms);
  std::string bytes = request.finish();
  auto sent = kernel::send_packet(socket_, as_bytes(bytes), kAnswerLimit);
  if (!sent.ok()) {
    socket_.reset();
    return {Code::kNotFound, "the task's executor has gone"};
  }
  return receive(kAnswerLimit);
}

}  // namespace steppe::executor
