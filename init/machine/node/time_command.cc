#include "init/machine/node/time_command.h"

#include <signal.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <format>
#include <memory>
#include <utility>

#include "init/base/log.h"
#include "init/base/text.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_child.h"
#include "init/io/scope.h"
#include "init/machine/machine_config.h"
#include "init/machine/node/parent_lines.h"
#include "init/machine/node/stderr_sink.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/descriptor_io.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::node {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMaxServers = 16;
constexpr Duration kFirstRetry = 5s, kLongestRetry = 5min;   // after no server answered
constexpr Duration kFirstPause = 500ms, kLongestPause = 1min;  // before the next start; the longer one when ntpd keeps ending
constexpr Duration kEndLimit = 5s;
constexpr const char* kDefaultServers = "servers pool.ntp.org\n";

struct Words {
  std::string run = "/run/steppe", ntpd = "/usr/sbin/ntpd";
};

Result<Words> read_words(const std::vector<std::string>& words) {
  Words out;
  for (size_t i = 0; i < words.size(); i += 2) {
    const bool path = i + 1 < words.size() && words[i + 1].starts_with('/');
    if (path && words[i] == "-run") out.run = words[i + 1];
    else if (path && words[i] == "-ntpd") out.ntpd = words[i + 1];
    else return Error(Code::kInvalid, "time: expected [-run DIR] [-ntpd PROGRAM], both absolute");
  }
  return out;
}

// ntpd under supervision. Loop thread only.
class TimeKeeper {
 public:
  TimeKeeper(const Words& words, io::EpollLoop& loop, io::Processes& processes, const kernel::Beneath& run, log::Logger logger)
      : words_(words), loop_(loop), processes_(processes), run_(run), logger_(std::move(logger)), news_(loop), lines_(loop), ended_(loop), scope_(loop) {}

  io::Task<Result<>> run(std::stop_token stop) {
    STEPPE_CO_TRY_VOID(prepare());
    ParentLines::tell("READY=1");
    scope_.spawn(lines_.run(scope_.token()));
    scope_.spawn(watch_servers());
    scope_.spawn(watch_clock());
    Result<> result;
    Duration pause = kFirstPause;
    while (!stop.stop_requested()) {
      news_.reset();
      result = start();
      if (!result.ok()) break;
      (void)co_await news_.wait({.stop = stop});
      const bool by_itself = ended_.is_set();
      co_await end();
      pause = by_itself ? std::min<Duration>(pause * 2, kLongestPause) : kFirstPause;
      if (!stop.stop_requested()) (void)co_await io::sleep_for(loop_, pause, stop);
    }
    scope_.request_stop();
    co_await scope_.join();
    co_return result;
  }

 private:
  Result<> prepare() {
    STEPPE_TRY_VOID(run_.make_directories("time/empty", 0755));  // where ntpd shuts itself in
    STEPPE_TRY(const kernel::Beneath root, kernel::Beneath::at("/", kernel::Beneath::Links::kFollow));
    for (const char* path : {"var/lib/openntpd/db", "var/lib/openntpd/run"}) STEPPE_TRY_VOID(root.make_directories(path, 0755));
    inotify_ = kernel::Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify_ || ::inotify_add_watch(inotify_.get(), (words_.run + "/time").c_str(), IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE) < 0)
      return Error::from_errno(errno, "watch " + words_.run + "/time");
    return {};
  }

  std::string servers() const {
    Result<std::string> text = run_.read("time/servers", Bytes::kib(64));
    return text.ok() ? *text : kDefaultServers;
  }

  Result<> start() {
    used_ = servers();
    restart_at_ = {};
    STEPPE_TRY_VOID(run_.write("time/ntpd.conf", as_bytes(ntpd_config(used_)), 0644));
    STEPPE_TRY(kernel::Pipe pipe, kernel::make_pipe());
    io::SpawnOptions options;
    options.program = words_.ntpd;
    options.arguments = {"-d", "-s", "-f", words_.run + "/time/ntpd.conf", "-p", words_.run + "/time/ntpd.pid"};
    options.environment = {"LANG=C.UTF-8"};
    options.descriptors = {{pipe.write.get(), 1}, {pipe.write.get(), 2}};
    STEPPE_TRY(child_, processes_.spawn(options));
    ended_.reset();
    ending_ = false;
    scope_.spawn(read_output(std::move(pipe.read)));
    scope_.spawn(watch_child());
    return {};
  }

  io::Task<void> end() {
    ending_ = true;
    (void)child_->signal(SIGTERM);
    if (!(co_await ended_.wait(io::Deadline::in(loop_, kEndLimit))).ok()) {
      (void)child_->signal(SIGKILL);
      (void)co_await ended_.wait();
    }
    child_.reset();
  }

  io::Task<void> watch_child() {
    Result<io::ExitStatus> ended = co_await child_->wait({});
    if (ended.ok() && !ending_) logger_.error("ntpd ended by itself: the clock is not kept", {{"code", ended->code}, {"signal", ended->signal}});
    ended_.set();
    news_.set();
  }

  void said(std::string_view line) {
    logger_.info("ntpd", {{"said", line}});
    switch (ntpd_said(line)) {
      case NtpdSaid::kOther: return;
      case NtpdSaid::kClockSet: return;  // the kernel tells us itself
      case NtpdSaid::kAdjusting:
        if (!adjusted_) lines_.show("the clock follows its servers");
        adjusted_ = true;
        return;
      case NtpdSaid::kNoReply:
        if (!adjusted_ && !set_) lines_.show("no time server answers yet");
        restart_at_ = loop_.now() + retry_;
        retry_ = std::min<Duration>(retry_ * 2, kLongestRetry);
        scope_.spawn(restart_later(restart_at_));
        return;
    }
  }

  io::Task<void> restart_later(MonoTime at) {
    if (!(co_await io::sleep_until(loop_, at, scope_.token())).ok()) co_return;
    if (at == restart_at_) news_.set();  // not when it was started anew meanwhile
  }

  // To the end of what ntpd and its own children write.
  io::Task<void> read_output(kernel::Fd from) {
    std::string text;
    std::byte buffer[2048];
    while ((co_await io::wait_ready(loop_, from.get(), io::Readiness::kReadable, io::Deadline{.stop = scope_.token()})).ok()) {
      Result<size_t> n = kernel::read_now(from.get(), buffer);
      if (!n.ok() || *n == 0) co_return;
      text.append(as_text({buffer, *n}));
      for (size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) {
        said(std::string_view(text).substr(0, std::min<size_t>(end, 400)));
        text.erase(0, end + 1);
      }
      if (text.size() > 4096) text.clear();
    }
  }

  io::Task<void> watch_servers() {
    std::byte buffer[4096];
    while ((co_await io::wait_ready(loop_, inotify_.get(), io::Readiness::kReadable, io::Deadline{.stop = scope_.token()})).ok()) {
      while (kernel::read_now(inotify_.get(), buffer).ok()) {
      }
      if (servers() == used_) continue;
      retry_ = kFirstRetry;
      news_.set();
    }
  }

  // A timer that nothing but a jump of the clock ends (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
  io::Task<void> watch_clock() {
    const kernel::Fd timer(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
    itimerspec never = {};
    never.it_value.tv_sec = INT64_MAX / 1'000'000'000;
    ahead_ = Duration(loop_.wall().unix_ns - loop_.now().ns);
    while (timer.valid() && ::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, nullptr) == 0) {
      if (!(co_await io::wait_ready(loop_, timer.get(), io::Readiness::kReadable, io::Deadline{.stop = scope_.token()})).ok()) co_return;
      uint64_t expirations;
      if (::read(timer.get(), &expirations, sizeof expirations) >= 0 || errno != ECANCELED) co_return;
      // Setting it to what it is counts for the kernel, and for nobody else.
      const Duration ahead{loop_.wall().unix_ns - loop_.now().ns};
      if (std::chrono::abs(ahead - std::exchange(ahead_, ahead)) < 1s) continue;
      set_ = true;
      const std::chrono::sys_seconds now{std::chrono::seconds(loop_.wall().unix_ns / 1'000'000'000)};
      logger_.info("the clock was set", {{"to", std::format("{:%FT%TZ}", now)}});
      lines_.show(std::format("the clock was set to {:%FT%TZ}", now));
    }
  }

  const Words& words_;
  io::EpollLoop& loop_;
  io::Processes& processes_;
  const kernel::Beneath& run_;
  log::Logger logger_;
  io::Event news_;
  ParentLines lines_;
  io::Event ended_;
  io::Scope scope_;
  kernel::Fd inotify_;
  std::unique_ptr<io::Child> child_;
  std::string used_;
  Duration ahead_{};  // of the clock over the time since boot, when it was last looked at
  MonoTime restart_at_{};
  Duration retry_ = kFirstRetry;
  bool set_ = false, adjusted_ = false, ending_ = false;
};

io::Task<void> stop_on_signal(io::Loop& loop, int fd, std::stop_source& stop, std::stop_token token) {
  if ((co_await io::wait_ready(loop, fd, io::Readiness::kReadable, io::Deadline{.stop = token})).ok()) stop.request_stop();
}

io::Task<void> serve(io::Loop& loop, TimeKeeper& keeper, const log::Logger& logger, int signals, int& code) {
  std::stop_source stop;
  io::Scope scope(loop);
  scope.spawn(stop_on_signal(loop, signals, stop, scope.token()));
  Result<> done = co_await keeper.run(stop.get_token());
  scope.request_stop();
  co_await scope.join();
  if (done.ok()) co_return;
  logger.error("the clock is not kept", {{"error", done.error()}});
  code = 1;
}

Result<int> run(const Words& words) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const kernel::Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return Error::from_errno(errno, "make a signal descriptor");
  STEPPE_TRY(const kernel::Beneath root, kernel::Beneath::at("/", kernel::Beneath::Links::kFollow));
  STEPPE_TRY_VOID(root.make_directories(words.run.substr(1), 0711));
  STEPPE_TRY(const kernel::Beneath directory, kernel::Beneath::at(words.run));
  STEPPE_TRY(std::unique_ptr<io::EpollLoop> loop, io::EpollLoop::create(1));
  auto processes = io::make_posix_processes(*loop);
  const log::Logger logger(std::make_shared<StderrSink>(), &io::system_clock(), log::Level::kInfo);
  TimeKeeper keeper(words, *loop, *processes, directory, logger);
  int code = 0;
  io::start_root(*loop, serve(*loop, keeper, logger, signals.get(), code), [&] { loop->stop(); });
  loop->run();
  return code;
}

}  // namespace

std::string ntpd_config(std::string_view servers) {
  std::string out;
  size_t count = 0;
  for (std::string_view line : split(servers, '\n')) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, space);
    std::string_view host = trim(line.substr(space));
    if ((word != "server" && word != "servers") || !machine::check_server(host).ok() || count == kMaxServers) continue;
    if (host.starts_with('[')) host = host.substr(1, host.find(']') - 1);
    else if (!kernel::IpAddress::parse(host).ok()) host = host.substr(0, host.find(':'));
    out += std::format("{} {}\n", word, host);
    ++count;
  }
  return out;
}

NtpdSaid ntpd_said(std::string_view line) {
  if (line.find("no reply received in time") != line.npos) return NtpdSaid::kNoReply;
  // It says so with no offset where no server could even be asked, as before the network is up, and never asks for the time itself again.
  if (line.find("set local clock to") != line.npos) return line.find("(offset 0.000000s)") != line.npos ? NtpdSaid::kNoReply : NtpdSaid::kClockSet;
  if (line.find("adjusting local clock by") != line.npos || line.find("clock is now synced") != line.npos) return NtpdSaid::kAdjusting;
  return NtpdSaid::kOther;
}

int time_command(const std::vector<std::string>& words) {
  Result<Words> read = read_words(words);
  if (!read.ok()) {
    std::fprintf(stderr, "steppe-node: %s\n", read.error().message().c_str());
    return 2;
  }
  Result<int> code = run(*read);
  if (code.ok()) return *code;
  std::fprintf(stderr, "steppe-node: time: %s\n", code.error().message().c_str());
  return 1;
}

}  // namespace steppe::node
