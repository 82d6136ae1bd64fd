#include "drivers/executor/connection.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <format>

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

Result<Started> spawn_executor(int program, isolate::PlanBuilder& plan, const std::string& title, Duration limit) {
  STEPPE_TRY(auto pair, kernel::packet_pair());
  plan.head.control_fd = pair.second.get();
  plan.inherit(pair.second.get());
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno(errno, "make a pipe");
  kernel::Fd ended(ends[0]), ending(ends[1]);
  plan.head.ended_fd = ending.get();
  plan.inherit(ending.get());
  STEPPE_TRY(std::string block, plan.build());
  STEPPE_TRY(kernel::Fd memory, kernel::sealed_memfd("steppe-plan", as_bytes(block), kernel::Executable::kNo));
  std::vector<int> inherited = plan.inherited();
  inherited.push_back(memory.get());
  kernel::SpawnRequest request{program, {title, std::to_string(memory.get())}, {}, inherited};
  STEPPE_TRY(kernel::Process executor, kernel::spawn(request));
  pair.second.reset();
  ending.reset();
  Started started{Connection(std::move(pair.first)), std::move(executor), {}, std::move(ended)};
  auto give_up = [&](Error error) {
    (void)started.executor.signal(SIGKILL);
    (void)started.executor.wait(std::chrono::seconds(5));
    (void)started.executor.reap();
    return error;
  };
  auto report = started.connection.receive(limit);
  if (!report.ok()) return give_up(std::move(report).error().wrap("wait for the executor's start report"));
  if (report->state == State::kFailed) {
    return give_up(plan.explain(static_cast<isolate::StepList>(report->failed_list), report->failed_step, report->failed_errno));
  }
  if (report->fds.size() != 2) return give_up(Error(Code::kCorrupt, "the executor's start report lacks its process descriptors"));
  started.task = kernel::Process(std::move(report->fds[1]), report->task_pid);
  return started;
}

}  // namespace steppe::executor
