#include "init/supervise/shell.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "init/supervise/end_record.h"

namespace steppe::supervise {

using Level = boot::KernelLog::Level;

namespace {

constexpr int kMaxReaped = 512;
constexpr int kMaxNotices = 64;
constexpr size_t kMaxStored = 16;      // descriptors kept for one service
constexpr size_t kMaxFdsAtOnce = 16;
constexpr int kLongestWaitMs = 10'000;  // the timer wakes us before; this is for a timer that does not

// Signals that mean something to PID 1; all others that can be blocked stay blocked and unread.
constexpr int kHandled[] = {SIGCHLD, SIGINT, SIGTERM, SIGPWR};

Result<> watch(const kernel::Fd& epoll, const kernel::Fd& fd) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.fd = fd.get();
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) return Error::from_errno(errno, "watch a descriptor");
  return {};
}

Result<kernel::Fd> open_notify(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {Code::kInvalid, "the notify socket's path is too long: " + path};
  std::memcpy(address.sun_path, path.c_str(), path.size());
  kernel::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return Error::from_errno(errno, "make the notify socket");
  (void)::mkdir(path.substr(0, path.rfind('/')).c_str(), 0711);
  (void)::unlink(path.c_str());
  int on = 1;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) return Error::from_errno(errno, "ask for senders' numbers");
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return Error::from_errno(errno, "bind " + path);
  if (::chmod(path.c_str(), 0600) != 0) return Error::from_errno(errno, "set the mode of " + path);
  return socket;
}

control::ServiceState told_state(ServiceState state) {
  switch (state) {
    case ServiceState::kIdle: return control::ServiceState::kWaiting;
    case ServiceState::kStarting: return control::ServiceState::kStarting;
    case ServiceState::kReady: return control::ServiceState::kReady;
    case ServiceState::kLeaving: return control::ServiceState::kLeaving;
    case ServiceState::kKilling: return control::ServiceState::kKilling;
    case ServiceState::kBackoff: return control::ServiceState::kBackoff;
    case ServiceState::kDone: return control::ServiceState::kDone;
    case ServiceState::kStopping: return control::ServiceState::kStopping;
    case ServiceState::kDown: return control::ServiceState::kDown;
  }
  return control::ServiceState::kDown;
}

}  // namespace

struct Shell::Service {
  ServiceProgram program;
  kernel::Fd cgroup;
  Started process;
  std::string ending;
  char status[Notice::kMaxStatus];
  size_t status_size = 0;
  MonoTime shown{};
  struct Stored {
    std::string name;
    kernel::Fd fd;
  };
  std::vector<Stored> stored;
};

namespace {

std::vector<ServiceRules> rules_of(const std::vector<ServiceProgram>& services) {
  std::vector<ServiceRules> out;
  for (const ServiceProgram& service : services) out.push_back(service.rules);
  return out;
}

}  // namespace

Shell::Shell(ShellOptions options, Machine& machine, boot::KernelLog& log)
    : options_(std::move(options)), machine_(machine), log_(log), supervisor_(rules_of(options_.services), options_.rules) {
  for (const ServiceProgram& program : options_.services) {
    services_.push_back(std::make_unique<Service>());
    services_.back()->program = program;
  }
}

Shell::~Shell() = default;

std::string_view Shell::status(uint8_t service) const { return {services_[service]->status, services_[service]->status_size}; }
std::string_view Shell::name(uint8_t service) const { return services_[service]->program.name; }

MonoTime Shell::now() const {
  timespec time;
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return {static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec};
}

Result<> Shell::open() {
  sigset_t all, handled;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  ::sigemptyset(&handled);
  for (int signal : kHandled) ::sigaddset(&handled, signal);
  epoll_ = kernel::Fd(::epoll_create1(EPOLL_CLOEXEC));
  signals_ = kernel::Fd(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  timer_ = kernel::Fd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll_.valid() || !signals_.valid() || !timer_.valid()) return Error::from_errno(errno, "make PID 1's loop");
  STEPPE_TRY(notify_, open_notify(options_.notify_path));
  for (const kernel::Fd* fd : {&signals_, &timer_, &notify_}) STEPPE_TRY_VOID(watch(epoll_, *fd));
  if (!options_.control_path.empty()) STEPPE_TRY_VOID(control_.open(options_.control_path, epoll_.get()));
  for (auto& service : services_) {
    if (options_.cgroups == nullptr) continue;
    Result<kernel::Fd> cgroup = options_.cgroups->service(service->program.name);
    if (cgroup.ok()) service->cgroup = std::move(*cgroup);
    else log_.line(Level::kError, cgroup.error().message());
  }
  return {};
}

void Shell::run() {
  Effects first;
  supervisor_.begin(now(), first);
  perform(first);
  while (running_) {
    wait();
    more_ = false;
    reap();
    read_signals();
    read_notices();
    read_control();
    Effects effects;
    supervisor_.tick(now(), effects);
    perform(effects);
    if (supervisor_.phase() >= Phase::kTerminating && !machine_.any_process()) {
      Effects empty;
      supervisor_.emptied(now(), empty);
      perform(empty);
    }
    machine_.turned(now());
  }
}

void Shell::wait() {
  MonoTime next = supervisor_.next_deadline();
  itimerspec when = {};
  if (next.ns != INT64_MAX) {
    int64_t ns = std::max<int64_t>(next.ns, 1);
    when.it_value = {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
  }
  (void)::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
  epoll_event events[4];
  (void)::epoll_wait(epoll_.get(), events, 4, more_ ? 0 : kLongestWaitMs);
  uint64_t expirations;
  (void)!::read(timer_.get(), &expirations, sizeof expirations);
}

void Shell::reap() {
  for (int i = 0; i < kMaxReaped; ++i) {
    siginfo_t info = {};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    // Still a zombie, so its number is still its own: what it said before its end is heard first.
    bool known = info.si_pid == step_pid_ || std::ranges::any_of(services_, [&](const auto& s) { return s->process.pid == info.si_pid; });
    if (known) read_notices();
    (void)::waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
    ++reaped_;
    if (known) ended(info.si_pid, info.si_code == CLD_EXITED ? info.si_status : 0, info.si_code == CLD_EXITED ? 0 : info.si_status);
  }
  more_ = true;
}

void Shell::ended(pid_t pid, int code, int signal) {
  if (pid == step_pid_) {
    step_pid_ = 0;
    return step_over();
  }
  for (size_t i = 0; i < services_.size(); ++i) {
    Service& service = *services_[i];
    if (service.process.pid != pid) continue;
    service.process = {};
    service.ending = ending_text(code, signal);
    Effects effects;
    supervisor_.exited(static_cast<uint8_t>(i), code == 0 && signal == 0 ? Supervisor::Exit::kClean : Supervisor::Exit::kFailed, now(), effects);
    perform(effects);
    return;
  }
}

void Shell::read_signals() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    switch (info.ssi_signo) {
      case SIGINT: ask(Ending::kReboot, Reason::kCtrlAltDel); break;
      case SIGPWR: ask(Ending::kPowerOff, Reason::kPowerButton); break;
      case SIGTERM: ask(Ending::kPowerOff, Reason::kAsked); break;
      default: break;  // SIGCHLD: reap() looks at every turn
    }
  }
}

bool Shell::ask(Ending ending, Reason reason, std::string_view why) {
  Effects effects;
  if (supervisor_.phase() == Phase::kRunning) why_ = why;
  if (!supervisor_.request(ending, reason, now(), effects)) return false;
  perform(effects);
  return true;
}

void Shell::read_control() {
  const bool more = control_.serve(now(), [this](pid_t pid) { return may_ask(pid); },
                                   [this](const control::Request& request, control::Reply& reply) { answer(request, reply); });
  more_ = more_ || more;
}

// A process of one of the services: not a task, not what somebody starts besides.
bool Shell::may_ask(pid_t pid) const {
  if (options_.cgroups == nullptr) return true;
  char path[40], text[512];
  std::snprintf(path, sizeof path, "/proc/%d/cgroup", pid);
  kernel::Fd file(::open(path, O_RDONLY | O_CLOEXEC));
  const ssize_t size = file.valid() ? ::read(file.get(), text, sizeof text) : 0;
  if (size <= 0) return false;
  const std::string_view groups(text, static_cast<size_t>(size));
  return std::ranges::any_of(services_, [&](const auto& service) { return in_service_cgroup(groups, service->program.name); });
}

void Shell::answer(const control::Request& request, control::Reply& reply) {
  switch (request.verb) {
    case control::Verb::kEnd: {
      const Ending ending = request.ending == control::Ending::kPowerOff ? Ending::kPowerOff : Ending::kReboot;
      if (!ask(ending, Reason::kAsked, request.reason.view())) reply.status = control::Status::kEnding;
      return;
    }
    case control::Verb::kState: return tell_state(reply);
    case control::Verb::kTrial:
      if (!supervisor_.on_trial()) log_.status("this image is on trial");
      return supervisor_.trial();
    case control::Verb::kBlessed:
      if (supervisor_.on_trial()) log_.status("this image is good");
      return supervisor_.blessed();
  }
}

void Shell::tell_state(control::Reply& reply) const {
  static_assert(kMaxServices == control::kMaxServices);
  reply.trial = supervisor_.on_trial();
  if (reply.trial) reply.trial_left_s = std::max<int64_t>(0, (supervisor_.trial_deadline() - now()).count() / 1'000'000'000);
  for (const auto& service : services_) {
    const uint8_t index = reply.count++;
    control::Service& row = reply.services[index];
    row.name = std::string_view(service->program.name);
    row.state = told_state(supervisor_.state(index));
    row.pid = service->process.pid;
    row.crashes = supervisor_.crashes(index);
    row.last_end = std::string_view(service->ending);
    row.status = std::string_view(service->status, service->status_size);
  }
}

void Shell::read_notices() {
  for (int i = 0; i < kMaxNotices; ++i) {
    if (!read_one_notice()) return;
  }
  more_ = true;
}

bool Shell::read_one_notice() {
  char bytes[Notice::kMaxBytes + 1];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * kMaxFdsAtOnce)];
  iovec part = {bytes, sizeof bytes};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t size = ::recvmsg(notify_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (size < 0) return false;
  pid_t sender = 0;
  std::vector<kernel::Fd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred who;
      std::memcpy(&who, CMSG_DATA(c), sizeof who);
      sender = who.pid;
    } else if (c->cmsg_type == SCM_RIGHTS) {
      size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
        fds.emplace_back(fd);
      }
    }
  }
  if ((header.msg_flags & MSG_TRUNC) != 0) return true;
  // Only a service's main process speaks for it. What it started (executors, tasks) has no voice here.
  for (size_t i = 0; i < services_.size(); ++i) {
    if (sender == 0 || services_[i]->process.pid != sender) continue;
    apply(*services_[i], static_cast<uint8_t>(i), read_notice(std::string_view(bytes, static_cast<size_t>(size))), fds);
  }
  return true;
}

void Shell::apply(Service& from, uint8_t index, const Notice& notice, std::vector<kernel::Fd>& fds) {
  if (notice.refused_main_pid) log_.line(Level::kWarning, from.program.name + " named another main process: refused");
  if (notice.drop) std::erase_if(from.stored, [&](const Service::Stored& one) { return one.name == notice.name(); });
  if (notice.store) {
    for (kernel::Fd& fd : fds) {
      if (from.stored.size() < kMaxStored) from.stored.push_back({std::string(notice.name()), std::move(fd)});
      else log_.line(Level::kWarning, from.program.name + " asked to keep more than 16 descriptors: refused");
    }
  }
  if (notice.has_status) {
    bool changed = notice.status() != std::string_view(from.status, from.status_size);
    std::memcpy(from.status, notice.status_text, notice.status_size);
    from.status_size = notice.status_size;
    // What a service says of itself is for the console, but not more often than somebody could read it.
    if (changed && now() - from.shown >= std::chrono::seconds(1)) {
      from.shown = now();
      log_.status(from.program.name + ": " + std::string(notice.status()));
    } else if (changed) {
      log_.line(Level::kInfo, from.program.name + ": " + std::string(notice.status()));
    }
  }
  Effects effects;
  // Before READY=1 of the same datagram: what waits for this service must not start in between.
  if (notice.hold) supervisor_.hold(index);
  if (notice.ready) supervisor_.ready(index, now(), effects);
  if (notice.go_on) supervisor_.go_on(index, now(), effects);
  if (notice.watchdog) supervisor_.pinged(index, now());
  if (notice.stopping) supervisor_.leaving(index, now(), effects);
  perform(effects);
}

void Shell::spawn(uint8_t index) {
  Service& service = *services_[index];
  ProcessStart start = service.program.start;
  start.env.push_back("NOTIFY_SOCKET=" + options_.notify_path);
  if (service.program.rules.watchdog.count() > 0) start.env.push_back("WATCHDOG_USEC=" + std::to_string(service.program.rules.watchdog.count() / 1'000));
  std::vector<int> kept(start.keep.begin(), start.keep.end());
  std::string names;
  for (const Service::Stored& one : service.stored) {
    kept.push_back(one.fd.get());
    names += (names.empty() ? "LISTEN_FDNAMES=" : ":") + one.name;
  }
  if (!names.empty() && start.keep.empty()) start.env.push_back(names);
  start.keep = kept;
  if (service.cgroup.valid()) start.cgroup = service.cgroup.get();
  start.kernel_log = log_.kmsg();
  Result<Started> started = start_process(start);
  if (started.ok()) {
    service.process = std::move(*started);
    return;
  }
  service.ending = started.error().message();
  Effects effects;
  supervisor_.exited(index, Supervisor::Exit::kFailed, now(), effects);
  perform(effects);
}

void Shell::say_crash(uint8_t index) {
  const Service& service = *services_[index];
  log_.status(service.program.name + " " + service.ending + ", start " + std::to_string(supervisor_.crashes(index) + 1) + " in " +
              std::to_string(supervisor_.delay(index).count() / 1'000'000) + " ms");
}

void Shell::perform(const Effects& effects) {
  for (const Effect& effect : effects.all()) perform_one(effect);
}

void Shell::perform_one(const Effect& effect) {
  using Kind = Effect::Kind;
  auto signal = [&](int number) {
    const Service& service = *services_[effect.service];
    if (service.process.pidfd.valid()) (void)::syscall(SYS_pidfd_send_signal, service.process.pidfd.get(), number, nullptr, 0);
  };
  switch (effect.kind) {
    case Kind::kSpawn: return spawn(effect.service);
    case Kind::kTerminate: return signal(SIGTERM);
    case Kind::kAbort: return signal(SIGABRT);
    case Kind::kKill: return signal(SIGKILL);
    case Kind::kKillTree:
      signal(SIGKILL);
      if (options_.cgroups != nullptr) options_.cgroups->kill_service(name(effect.service));
      return;
    case Kind::kReadyNow:
      log_.line(Level::kInfo, std::string(name(effect.service)) + " is ready");
      if (services_[effect.service]->program.rules.gate == ServiceRules::Gate::kYes) log_.status("ready");
      return;
    case Kind::kCrashed: return say_crash(effect.service);
    default: return perform_on_machine(effect);
  }
}

void Shell::perform_on_machine(const Effect& effect) {
  using Kind = Effect::Kind;
  switch (effect.kind) {
    case Kind::kFeed: return machine_.feed_watchdog();
    case Kind::kForceAt: return machine_.force_end(supervisor_.force_deadline(), effect.ending);
    case Kind::kRecordReason:
      log_.status(std::string(effect.ending == Ending::kReboot ? "rebooting: " : effect.ending == Ending::kPowerOff ? "powering off: " : "halting: ") +
                  std::string(reason_text(effect.reason)) + (why_.view().empty() ? "" : ": " + std::string(why_.view())));
      return record_end(effect);
    case Kind::kDrain: return begin_step(Step::kDrain, options_.drain);
    case Kind::kTerminateAll: return machine_.signal_all(SIGTERM);
    case Kind::kKillAll:
      log_.status("processes outlived SIGTERM: killing them");
      if (options_.cgroups != nullptr) options_.cgroups->kill_all();
      return machine_.signal_all(SIGKILL);
    case Kind::kUnmount: return begin_step(Step::kUnmount, options_.unmount);
    case Kind::kSync: return begin_step(Step::kSync, options_.sync);
    case Kind::kEnd:
      log_.status("ending now");
      return machine_.end(effect.ending);
    default: return;
  }
}

void Shell::record_end(const Effect& effect) {
  if (options_.record.argv.empty()) return;
  ProcessStart child = options_.record;
  child.argv.emplace_back(ending_name(effect.ending));
  child.argv.push_back(std::to_string(static_cast<int>(effect.reason)));
  child.argv.emplace_back(reason_text(effect.reason));
  child.argv.emplace_back(why_.view());
  child.kernel_log = log_.kmsg();
  if (Result<Started> started = start_process(child); !started.ok()) log_.line(Level::kError, started.error().message());
}

// A child of the step before that has not ended is stuck or too slow: its step's time is over.
void Shell::begin_step(Step step, const ProcessStart& start) {
  if (step_pid_ > 0) (void)::kill(step_pid_, SIGKILL);
  step_pid_ = 0;
  step_ = step;
  if (start.argv.empty()) return step_over();
  ProcessStart child = start;
  child.kernel_log = log_.kmsg();
  Result<Started> started = start_process(child);
  if (started.ok()) {
    step_pid_ = started->pid;
    return;
  }
  log_.line(Level::kError, started.error().message());
  step_over();
}

void Shell::step_over() {
  Effects effects;
  if (step_ == Step::kDrain) supervisor_.drained(now(), effects);
  else if (step_ == Step::kUnmount && supervisor_.phase() == Phase::kUnmounting) supervisor_.step_over(now(), effects);
  else if (step_ == Step::kSync && supervisor_.phase() == Phase::kSyncing) supervisor_.step_over(now(), effects);
  perform(effects);
}

}  // namespace steppe::supervise
