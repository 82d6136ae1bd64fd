#include "init/machine/node/machine_command.h"

#include <signal.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <cstdio>
#include <format>
#include <map>

#include "init/io/epoll_loop.h"
#include "init/io/posix_child.h"
#include "init/io/scope.h"
#include "init/io/wait.h"
#include "init/machine/node/machine_flow.h"
#include "init/machine/node/stderr_sink.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::node {
namespace {

Result<MachinePaths> read_words(const std::vector<std::string>& words) {
  MachinePaths out;
  const std::map<std::string_view, std::string*> known = {{"-run", &out.run},   {"-root", &out.root},        {"-agent", &out.agent},
                                                          {"-dhcp", &out.dhcp}, {"-kind", &out.device_kind}, {"-port", &out.port}};
  for (size_t i = 0; i < words.size(); i += 2) {
    auto found = known.find(words[i]);
    if (found == known.end()) return Error(Code::kInvalid, std::format("machine: \"{}\" is no option: there are -run, -root, -agent, -dhcp, -kind and -port", words[i]));
    if (i + 1 == words.size()) return Error(Code::kInvalid, std::format("machine: {} wants a value", words[i]));
    const bool path = found->second != &out.device_kind && found->second != &out.port;
    if (path && !words[i + 1].starts_with('/')) return Error(Code::kInvalid, std::format("machine: {} wants an absolute path", words[i]));
    *found->second = words[i + 1];
  }
  if (!out.root.ends_with('/')) out.root += '/';
  return out;
}

io::Task<void> stop_on_signal(io::Loop& loop, int fd, std::stop_source& stop, std::stop_token token) {
  if ((co_await io::wait_ready(loop, fd, io::Readiness::kReadable, io::Deadline{.stop = token})).ok()) stop.request_stop();
}

io::Task<void> serve(io::Loop& loop, MachineFlow& flow, const log::Logger& logger, int signals, int& code) {
  std::stop_source stop;
  io::Scope scope(loop);
  scope.spawn(stop_on_signal(loop, signals, stop, scope.token()));
  Result<> done = co_await flow.run(stop.get_token());
  scope.request_stop();
  co_await scope.join();
  if (done.ok()) co_return;
  logger.error("the network cannot be served", {{"error", done.error()}});
  code = 1;
}

Result<int> run(const MachinePaths& paths) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGTERM);
  ::sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  kernel::Fd signals(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return Error::from_errno(errno, "make a signal descriptor");
  STEPPE_TRY(kernel::Beneath root, kernel::Beneath::at("/", kernel::Beneath::Links::kFollow));
  STEPPE_TRY_VOID(root.make_directories(paths.run.substr(1), 0711));
  STEPPE_TRY_VOID(root.make_directories("var/lib/dhcpcd", 0700));  // dhcpcd's own, which it does not make
  STEPPE_TRY(kernel::Beneath directory, kernel::Beneath::at(paths.run));
  STEPPE_TRY(std::unique_ptr<io::EpollLoop> loop, io::EpollLoop::create(1));
  auto processes = io::make_posix_processes(*loop);
  const log::Logger logger(std::make_shared<StderrSink>(), &io::system_clock(), log::Level::kInfo);
  MachineFlow flow(paths, *loop, *processes, directory, logger);
  int code = 0;
  io::start_root(*loop, serve(*loop, flow, logger, signals.get(), code), [&] { loop->stop(); });
  loop->run();
  return code;
}

}  // namespace

int machine_command(const std::vector<std::string>& words) {
  Result<MachinePaths> read = read_words(words);
  if (!read.ok()) {
    std::fprintf(stderr, "steppe-node: %s\n", read.error().message().c_str());
    return 2;
  }
  Result<int> code = run(*read);
  if (code.ok()) return *code;
  std::fprintf(stderr, "steppe-node: machine: %s\n", code.error().message().c_str());
  return 1;
}

}  // namespace steppe::node
