#include "init/machine/node/network_command.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <format>

#include "init/base/text.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_child.h"
#include "init/io/scope.h"
#include "init/io/wait.h"
#include "init/machine/network/network_service.h"
#include "init/machine/node/stderr_sink.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/descriptor_io.h"

namespace steppe::node {
namespace {

constexpr Duration kReadyAnyway = std::chrono::seconds(5);

struct Words {
  std::string run = "/run/steppe/network";
  std::string dhcp = "/usr/sbin/dhcpcd";
  std::string kind;
};

Result<Words> read_words(const std::vector<std::string>& words) {
  Words out;
  for (size_t i = 0; i < words.size(); i += 2) {
    std::string* value = words[i] == "-run" ? &out.run : words[i] == "-dhcp" ? &out.dhcp : words[i] == "-kind" ? &out.kind : nullptr;
    if (value == nullptr) return Error(Code::kInvalid, std::format("network: \"{}\" is no option: there are -run DIR, -dhcp PROGRAM and -kind KIND", words[i]));
    if (i + 1 == words.size()) return Error(Code::kInvalid, std::format("network: {} wants a value", words[i]));
    if (value != &out.kind && !words[i + 1].starts_with('/')) return Error(Code::kInvalid, std::format("network: {} wants an absolute path", words[i]));
    *value = words[i + 1];
  }
  return out;
}

void say_ready(bool& ready) {
  if (!ready) sd_notify(0, "READY=1");
  ready = true;
}

void tell(bool& ready, const network::Status& status) {
  std::string text;
  for (const network::Status::Link& link : status.links) {
    text += std::format("{}{} {}", text.empty() ? "" : "; ", link.name, !link.addresses.empty() ? join(link.addresses, " ") : link.carrier ? "no address" : "no carrier");
  }
  if (text.empty()) text = "no network device";
  sd_notifyf(0, "STATUS=%s", text.c_str());
  if (status.online()) say_ready(ready);
}

// What starts after the network had better find an address, but not wait for one that never comes.
io::Task<void> be_ready_anyway(io::Loop& loop, bool& ready, std::stop_token token) {
  if ((co_await io::sleep_for(loop, kReadyAnyway, token)).ok()) say_ready(ready);
}

io::Task<void> stop_on_signal(io::Loop& loop, int fd, std::stop_source& stop, std::stop_token token) {
  if ((co_await io::wait_ready(loop, fd, io::Readiness::kReadable, io::Deadline{.stop = token})).ok()) stop.request_stop();
}

io::Task<void> serve(io::EpollLoop& loop, const kernel::Beneath& run, const Words& words, int signals, const log::Logger& logger, int& code) {
  auto processes = io::make_posix_processes(loop);
  bool ready = false;
  network::NetworkService::Options options;
  options.dhcp_program = words.dhcp;
  options.changed = [&ready, &logger](const network::Status& status) {
    for (const network::Status::Link& link : status.links) logger.info("link", {{"name", link.name}, {"carrier", link.carrier}, {"addresses", join(link.addresses, " ")}});
    tell(ready, status);
  };
  network::NetworkService service(loop, *processes, run, words.run, std::move(options), logger);
  std::stop_source stop;
  io::Scope scope(loop);
  scope.spawn(stop_on_signal(loop, signals, stop, scope.token()));
  scope.spawn(be_ready_anyway(loop, ready, scope.token()));
  network::Settings settings;
  settings.device_kind = words.kind;
  Result<> done = co_await service.run(std::move(settings), stop.get_token());
  scope.request_stop();
  co_await scope.join();
  if (!done.ok()) {
    logger.error("the network cannot be served", {{"error", done.error()}});
    code = 1;
  }
}

Result<int> run(const Words& words) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  kernel::Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return Error::from_errno(errno, "make a signal descriptor");
  STEPPE_TRY(kernel::Beneath root, kernel::Beneath::at("/", kernel::Beneath::Links::kFollow));
  STEPPE_TRY_VOID(root.make_directories(words.run.substr(1), 0755));
  STEPPE_TRY(kernel::Beneath directory, kernel::Beneath::at(words.run));
  STEPPE_TRY(std::unique_ptr<io::EpollLoop> loop, io::EpollLoop::create(1));
  const log::Logger logger(std::make_shared<StderrSink>(), &io::system_clock(), log::Level::kInfo);
  int code = 0;
  io::start_root(*loop, serve(*loop, directory, words, signals.get(), logger, code), [&] { loop->stop(); });
  loop->run();
  return code;
}

}  // namespace

int network_command(const std::vector<std::string>& words) {
  Result<Words> read = read_words(words);
  if (!read.ok()) {
    std::fprintf(stderr, "steppe-node: %s\n", read.error().message().c_str());
    return 2;
  }
  Result<int> code = run(*read);
  if (code.ok()) return *code;
  std::fprintf(stderr, "steppe-node: network: %s\n", code.error().message().c_str());
  return 1;
}

}  // namespace steppe::node
