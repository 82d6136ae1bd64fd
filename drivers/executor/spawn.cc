#include "drivers/executor/spawn.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "drivers/isolate/task_root.h"
#include "init/base/bytes.h"
#include "init/frame/frame.h"
#include "init/sys/kernel/unix_socket.h"

namespace steppe::executor {
namespace {

constexpr Duration kSendLimit = std::chrono::seconds(5);
constexpr size_t kMaxTitle = 96;

struct Born {
  Connection connection;
  kernel::Process executor;
};

// The plan's last descriptor is the control connection; all is in place but the block itself.
Result<Born> spawn_with(int program, isolate::PlanBuilder& plan, const std::string& title) {
  STEPPE_TRY(auto pair, kernel::packet_pair());
  plan.head.control_fd = pair.second.get();
  plan.inherit(pair.second.get());
  STEPPE_TRY(std::string block, plan.build());
  STEPPE_TRY(kernel::Fd memory, kernel::sealed_memfd("steppe-plan", as_bytes(block), kernel::Executable::kNo));
  std::vector<int> inherited = plan.inherited();
  inherited.push_back(memory.get());
  kernel::SpawnRequest request{program, {title, std::to_string(memory.get())}, {}, inherited};
  STEPPE_TRY(kernel::Process executor, kernel::spawn(request));
  return Born{Connection(std::move(pair.first)), std::move(executor)};
}

struct EndedPipe {
  kernel::Fd read, write;
};
Result<EndedPipe> make_ended_pipe(isolate::PlanBuilder& plan) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno(errno, "make a pipe");
  EndedPipe out{kernel::Fd(ends[0]), kernel::Fd(ends[1])};
  plan.head.ended_fd = out.write.get();
  plan.inherit(out.write.get());
  return out;
}

Result<Started> await_start(Started started, const isolate::PlanBuilder& plan, Duration limit) {
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

}  // namespace

Result<Started> spawn_executor(int program, isolate::PlanBuilder& plan, const std::string& title, Duration limit) {
  STEPPE_TRY(EndedPipe ended, make_ended_pipe(plan));
  STEPPE_TRY(Born born, spawn_with(program, plan, title));
  ended.write.reset();
  return await_start({std::move(born.connection), std::move(born.executor), {}, std::move(ended.read)}, plan, limit);
}

void Preparation::add_to(isolate::PlanBuilder& plan) const {
  if (mount_namespace >= 0) {
    plan.inherit(mount_namespace);
    isolate::Step& enter = plan.prelude(isolate::Op::kSetNamespace, "enter the template's mount namespace");
    enter.fd = mount_namespace;
    enter.a = CLONE_NEWNS;
  }
  if (namespaces != 0) plan.prelude(isolate::Op::kUnshare, "make the task's namespaces").a = namespaces;
  plan.prelude(isolate::Op::kDropBounding, "drop capabilities").a = bounding;
  if (stage) isolate::stage_mounts(plan);
}

Result<Standby> Standby::spawn(int program, int dev_null, const Preparation& preparation) {
  isolate::PlanBuilder plan;
  plan.head.standby = 1;
  plan.head.null_fd = dev_null;
  plan.inherit(dev_null);
  preparation.add_to(plan);
  // Spaces make room for the title that the task's plan brings.
  std::string title = "steppe-executor: standby";
  title.resize(kMaxTitle, ' ');
  STEPPE_TRY(Born born, spawn_with(program, plan, title));
  return Standby(std::move(born.connection), std::move(born.executor), preparation);
}

Standby& Standby::operator=(Standby&& other) {
  end();
  connection_ = std::move(other.connection_);
  executor_ = std::move(other.executor_);
  preparation_ = other.preparation_;
  return *this;
}

void Standby::end() {
  if (!executor_.valid()) return;
  (void)executor_.signal(SIGKILL);
  (void)executor_.wait(std::chrono::seconds(2));
  (void)executor_.reap();
  executor_ = {};
}

bool Standby::ready() const {
  pollfd one = {connection_.socket().get(), POLLIN, 0};
  return executor_.valid() && ::poll(&one, 1, 0) == 0;
}

Result<Started> Standby::launch(isolate::PlanBuilder& plan, const std::string& title, Duration limit) {
  STEPPE_TRY(EndedPipe ended, make_ended_pipe(plan));
  plan.head.title = plan.text(std::string_view(title).substr(0, kMaxTitle));
  // These two it has.
  plan.head.null_fd = plan.head.control_fd = -1;
  STEPPE_TRY(std::string block, plan.build());
  STEPPE_TRY(kernel::Fd memory, kernel::sealed_memfd("steppe-plan", as_bytes(block), kernel::Executable::kNo));
  std::vector<int> descriptors = plan.inherited();
  descriptors.insert(descriptors.begin(), memory.get());
  frame::Builder request(frame::kExecutorRequest, kProtocolVersion);
  request.integer(kVerb, static_cast<int64_t>(Verb::kLaunch));
  std::string bytes = request.finish();
  STEPPE_TRY_VOID(kernel::send_packet(connection_.socket(), as_bytes(bytes), kSendLimit, descriptors));
  ended.write.reset();
  return await_start({std::move(connection_), std::exchange(executor_, {}), {}, std::move(ended.read)}, plan, limit);
}

std::optional<Standby> StandbySlot::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(waiting_, std::nullopt);
}

Result<> StandbySlot::refill() {
  {
    std::lock_guard lock(mutex_);
    if (waiting_ && waiting_->ready()) return {};
    waiting_.reset();
  }
  STEPPE_TRY(Standby made, Standby::spawn(program_, dev_null_, preparation_));
  std::lock_guard lock(mutex_);
  if (!waiting_) waiting_ = std::move(made);
  return {};
}

Result<Started> StandbySlot::launch(isolate::PlanBuilder& plan, const std::string& title, Duration limit) {
  if (auto waiting = take(); waiting && waiting->ready()) {
    return waiting->launch(plan, title, limit);
  }
  preparation_.add_to(plan);
  return spawn_executor(program_, plan, title, limit);
}

}  // namespace steppe::executor
