#include "drivers/executor/session.h"
#include "drivers/executor/spawn.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <format>

#include "drivers/isolate/system_filter.h"
#include "init/base/text.h"
#include "init/frame/frame.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::executor {
namespace {

using drivers::ExecRequest;
using drivers::ExitResult;
using isolate::Op;
using kernel::Fd;

constexpr Duration kStartLimit = std::chrono::seconds(20);
constexpr long kDevptsMagic = 0x1cd1;

struct Ends {
  Fd ours[3];   // stdin, stdout, stderr; or the terminal in [0]
  Fd theirs[3];
};

Result<Ends> make_pipes() {
  Ends ends;
  for (int i = 0; i < 3; ++i) {
    int pair[2];
    if (::pipe2(pair, O_CLOEXEC) != 0) return Error::from_errno(errno, "make a pipe");
    Fd read(pair[0]), write(pair[1]);
    ends.ours[i] = std::move(i == 0 ? write : read);
    ends.theirs[i] = std::move(i == 0 ? read : write);
    if (::fcntl(ends.ours[i].get(), F_SETFL, O_NONBLOCK) != 0) return Error::from_errno(errno, "make a pipe non-blocking");
  }
  return ends;
}

// The multiplexer of the task's own devpts, so that the terminal has a name inside. The task may have put anything
// under its names, so links are refused and what was opened is checked to be a devpts's ptmx (CVE-2025-52565).
Result<Fd> open_multiplexer(const Profile& profile, const kernel::Process& target) {
  if (!profile.isolated) return kernel::open_host("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  STEPPE_TRY(kernel::Beneath root, kernel::Beneath::at(std::format("/proc/{}/root", target.pid())));
  STEPPE_TRY(Fd fd, root.open("dev/pts/ptmx", O_RDWR | O_NONBLOCK));
  struct stat st;
  struct statfs fs;
  bool genuine = ::fstat(fd.get(), &st) == 0 && ::fstatfs(fd.get(), &fs) == 0 && S_ISCHR(st.st_mode) &&
                 st.st_rdev == makedev(5, 2) && fs.f_type == kDevptsMagic;
  if (!genuine) return {Code::kDenied, "the task's /dev/pts/ptmx is not a terminal multiplexer"};
  return fd;
}

Result<> set_size(int terminal, uint16_t rows, uint16_t columns) {
  winsize size = {rows, columns, 0, 0};
  if (::ioctl(terminal, TIOCSWINSZ, &size) != 0) return Error::from_errno(errno, "set the terminal's size");
  return {};
}

Result<Ends> make_terminal(const Profile& profile, const kernel::Process& target, const ExecRequest& request) {
  Ends ends;
  STEPPE_TRY(ends.ours[0], open_multiplexer(profile, target));
  int unlock = 0;
  if (::ioctl(ends.ours[0].get(), TIOCSPTLCK, &unlock) != 0) return Error::from_errno(errno, "unlock a terminal");
  ends.theirs[0] = Fd(::ioctl(ends.ours[0].get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!ends.theirs[0]) return Error::from_errno(errno, "open a terminal");
  STEPPE_TRY_VOID(set_size(ends.ours[0].get(), request.rows, request.columns));
  return ends;
}

// The variables that the task's first process was started with.
std::vector<std::string> environment_of(int pid) {
  std::vector<std::string> out;
  auto text = kernel::read_host_file(std::format("/proc/{}/environ", pid), Bytes::mib(4));
  for (std::string_view entry : split(text.ok() ? *text : "", '\0')) {
    if (!entry.empty() && entry.find('=') != entry.npos) out.emplace_back(entry);
  }
  return out;
}

Result<> compose(isolate::PlanBuilder& plan, const Profile& profile, const kernel::Process& target, const ExecRequest& request) {
  plan.step(Op::kParentDeathSignal, "tie the command to its executor").a = SIGKILL;
  plan.step(Op::kSetsid, "make a session");
  if (request.tty) plan.step(Op::kControllingTty, "take the terminal");
  if (profile.isolated) {
    plan.inherit(target.fd());
    uint64_t pid_namespace = profile.namespaces & CLONE_NEWPID;
    if (pid_namespace != 0) {
      // Takes effect for children only, so the executor enters it before it clones.
      isolate::Step& enter = plan.prelude(Op::kSetNamespace, "enter the task's process namespace");
      enter.fd = target.fd();
      enter.a = pid_namespace;
    }
    isolate::Step& enter = plan.step(Op::kSetNamespace, "enter the task's namespaces");
    enter.fd = target.fd();
    enter.a = profile.namespaces & ~static_cast<uint64_t>(CLONE_NEWPID);
  }
  if (profile.change_identity) {
    isolate::Identity identity;
    identity.account.uid = profile.uid;
    identity.account.gid = profile.gid;
    identity.account.groups = profile.groups;
    identity.bounding = profile.bounding;
    identity.ambient = profile.ambient;
    identity.no_new_privileges = profile.no_new_privileges;
    identity.work_dir = profile.work_dir;
    std::vector<sock_filter> filter;
    if (profile.filter) {
      STEPPE_TRY(filter, isolate::build_system_filter(profile.bounding));
    }
    identity.filter = filter;
    isolate::add_identity(plan, identity);
  } else if (!profile.work_dir.empty()) {
    uint32_t path = plan.text(profile.work_dir);
    plan.step(Op::kChdir, "enter the task's directory").text = path;
  }
  plan.step(Op::kExec, std::format("execute {}", request.argv.front()));
  std::vector<std::string> env = request.env.empty() ? environment_of(target.pid()) : request.env;
  if (request.tty) env.emplace_back("TERM=xterm");
  plan.command(isolate::command_candidates(request.argv.front(), env), request.argv, env);
  return {};
}

class Session : public drivers::ExecSession {
 public:
  Session(Started started, Ends ends, bool tty, Fd record)
      : started_(std::move(started)), ends_(std::move(ends)), tty_(tty), record_(std::move(record)) {}
  ~Session() override {
    // Closing the connection ends the command; the executor is our child and must be reaped.
    if (reaped_) return;
    (void)started_.connection.call(Verb::kKill);
    auto ended = started_.executor.wait(std::chrono::seconds(2));
    if (!ended.ok() || !*ended) (void)started_.executor.signal(SIGKILL);
    (void)started_.executor.wait(std::chrono::seconds(2));
    (void)started_.executor.reap();
  }

  int terminal() const override { return tty_ ? ends_.ours[0].get() : -1; }
  int stdin_fd() const override { return tty_ ? -1 : ends_.ours[0].get(); }
  int stdout_fd() const override { return tty_ ? -1 : ends_.ours[1].get(); }
  int stderr_fd() const override { return tty_ ? -1 : ends_.ours[2].get(); }
  void close_stdin() override {
    if (!tty_) ends_.ours[0].reset();
  }
  int wait_fd() const override { return started_.executor.fd(); }

  Result<ExitResult> reap() override {
    STEPPE_TRY(bool ended, started_.executor.ended());
    if (!ended) return {Code::kUnavailable, "the command still runs"};
    (void)started_.executor.reap();
    reaped_ = true;
    auto result = read_exit_record(record_);
    if (result.ok()) return result;
    ExitResult lost;
    lost.error = "the command's executor died without a record";
    return lost;
  }

  Result<> signal(int number) override {
    STEPPE_TRY(Reply reply, started_.connection.call(Verb::kSignal, number));
    if (reply.error != 0) return Error::from_errno(reply.error, std::format("send signal {}", number));
    return {};
  }

  Result<> resize(uint16_t rows, uint16_t columns) override {
    if (!tty_) return {Code::kInvalid, "the command has no terminal"};
    return set_size(ends_.ours[0].get(), rows, columns);
  }

 private:
  Started started_;
  Ends ends_;
  bool tty_;
  Fd record_;
  bool reaped_ = false;
};

}  // namespace

Result<ExitResult> decode_exit_record(ByteView bytes) {
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kExitRecord, 1, kMaxRecord));
  ExitResult out;
  out.signal = static_cast<int>(message.integer(kExitSignal));
  out.code = out.signal != 0 ? 128 + out.signal : static_cast<int>(message.integer(kExitCode));
  out.oom_killed = message.integer(kOomKilled) != 0;
  out.at = WallTime{message.integer(kEndedAtNs)};
  return out;
}

Result<ExitResult> read_exit_record(const Fd& record) {
  STEPPE_TRY(std::string bytes, kernel::read_all(record, "exit record", Bytes{kMaxRecord}));
  if (bytes.empty()) return {Code::kUnavailable, "no exit record yet"};
  return decode_exit_record(as_bytes(bytes));
}

Result<std::unique_ptr<drivers::ExecSession>> open_session(std::shared_ptr<const Host> host, const Profile& profile,
                                                           const kernel::Process& target, const kernel::Cgroup* cgroup,
                                                           ExecRequest request) {
  if (request.argv.empty() || request.argv.front().empty()) return {Code::kInvalid, "exec: no command given"};
  STEPPE_TRY(Ends ends, request.tty ? make_terminal(profile, target, request) : make_pipes());
  Fd record(::memfd_create("steppe-exit", MFD_CLOEXEC));
  if (!record) return Error::from_errno(errno, "make an exit record");
  isolate::PlanBuilder plan;
  STEPPE_TRY_VOID(compose(plan, profile, target, request));
  plan.head.null_fd = host->dev_null();
  plan.head.record_fd = record.get();
  plan.head.sync_record = 0;
  plan.head.kill_mode = isolate::KillMode::kDescendants;
  for (int i = 0; i < 3; ++i) {
    const Fd& end = request.tty ? ends.theirs[0] : ends.theirs[i];
    plan.head.stdio_fd[i] = end.get();
    plan.inherit(end.get());
  }
  if (cgroup != nullptr) {
    plan.head.cgroup_fd = cgroup->fd();
    plan.inherit(cgroup->fd());
  }
  plan.inherit(host->dev_null());
  plan.inherit(record.get());
  STEPPE_TRY(Started started, spawn_executor(host->program(), plan, "steppe-executor: exec", kStartLimit));
  for (Fd& end : ends.theirs) end.reset();
  return std::unique_ptr<drivers::ExecSession>(new Session(std::move(started), std::move(ends), request.tty, std::move(record)));
}

}  // namespace steppe::executor
