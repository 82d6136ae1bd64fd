#include "init/machine/node/machine_command.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <format>
#include <map>

#include "init/base/text.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_child.h"
#include "init/io/scope.h"
#include "init/io/wait.h"
#include "init/machine/network/network_service.h"
#include "init/machine/network/program_output.h"
#include "init/machine/node/configure.h"
#include "init/machine/node/stderr_sink.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::node {
namespace {

constexpr Duration kReadyAnyway = std::chrono::seconds(5);
constexpr Duration kCheckLimit = std::chrono::seconds(30);  // for the agent's look at its configuration

struct Words {
  std::string run = "/run/steppe", root = "/", agent = "/usr/bin/steppe", dhcp = "/usr/sbin/dhcpcd", kind;
};

Result<Words> read_words(const std::vector<std::string>& words) {
  Words out;
  const std::map<std::string_view, std::string*> known = {{"-run", &out.run}, {"-root", &out.root}, {"-agent", &out.agent}, {"-dhcp", &out.dhcp}, {"-kind", &out.kind}};
  for (size_t i = 0; i < words.size(); i += 2) {
    auto found = known.find(words[i]);
    if (found == known.end()) return Error(Code::kInvalid, std::format("machine: \"{}\" is no option: there are -run, -root, -agent, -dhcp and -kind", words[i]));
    if (i + 1 == words.size()) return Error(Code::kInvalid, std::format("machine: {} wants a value", words[i]));
    if (found->second != &out.kind && !words[i + 1].starts_with('/')) return Error(Code::kInvalid, std::format("machine: {} wants an absolute path", words[i]));
    *found->second = words[i + 1];
  }
  if (!out.root.ends_with('/')) out.root += '/';
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

// One running machine: the words it was started with and what it works with.
struct Machine {
  const Words& words;
  io::EpollLoop& loop;
  io::Processes& processes;
  const kernel::Beneath& run;
  const log::Logger& logger;
};

Result<> write_agent_files(const Machine& at, const machine::MachineConfig& config, bool agent_ok) {
  // Made beside and put in place at once: the agent never sees half of them.
  STEPPE_TRY_VOID(at.run.remove_tree("agent.new"));
  STEPPE_TRY_VOID(at.run.make_directories("agent.new", 0700));
  for (const auto& [name, text] : agent_files(config, at.words.run, agent_ok)) STEPPE_TRY_VOID(at.run.write("agent.new/" + name, as_bytes(text), 0600));
  STEPPE_TRY_VOID(at.run.remove_tree("agent.d"));
  return at.run.move("agent.new", at.run, "agent.d");
}

// The agent's own check of what it is to read. False when it refuses; what it says goes to the log.
io::Task<bool> agent_takes_it(const Machine& at) {
  std::vector<std::string> words{"config", "validate", at.words.run + "/agent.d"};
  Result<network::ProgramOutput> checked = co_await network::output_of(at.loop, at.processes, at.words.agent, std::move(words), io::Deadline::in(at.loop, kCheckLimit));
  if (checked.ok() && checked->status.ok()) co_return true;
  if (!checked.ok()) {
    at.logger.error("the agent's configuration cannot be checked", {{"error", checked.error()}});
    co_return false;
  }
  for (std::string_view line : split(trim(checked->text), '\n')) at.logger.error("configuration, agent block", {{"fault", line}});
  co_return false;
}

io::Task<machine::MachineConfig> configure_machine(const Machine& at) {
  std::vector<std::string> problems;
  Configuration found = configure(read_sources(at.words.root, problems));
  problems.insert(problems.end(), found.problems.begin(), found.problems.end());
  for (const std::string& problem : problems) at.logger.error("configuration", {{"fault", problem}});
  for (const std::string& note : found.notes) at.logger.info("configuration", {{"note", note}});
  const std::string& name = found.config.identity.hostname;
  if (!name.empty() && ::sethostname(name.data(), name.size()) != 0) at.logger.error("the host name is not set", {{"error", Error::from_errno(errno, name)}});
  Result<> written = write_agent_files(at, found.config, true);
  if (written.ok() && found.config.given.contains(machine::Section::kAgent) && !co_await agent_takes_it(at)) {
    written = write_agent_files(at, found.config, false);
  }
  if (!written.ok()) at.logger.error("the agent's configuration is not written", {{"error", written.error()}});
  co_return std::move(found.config);
}

io::Task<void> serve(const Machine& at, int signals, int& code) {
  machine::MachineConfig config = co_await configure_machine(at);
  config.network.device_kind = at.words.kind;
  Result<kernel::Beneath> directory = at.run.make_directories("network", 0755).ok() ? at.run.sub("network") : Result<kernel::Beneath>(Error(Code::kIo, "make the network's directory"));
  if (!directory.ok()) {
    at.logger.error("the network cannot be served", {{"error", directory.error()}});
    code = 1;
    co_return;
  }
  bool ready = false;
  network::NetworkService::Options options;
  options.dhcp_program = at.words.dhcp;
  options.host_name = config.identity.hostname;
  options.changed = [&ready, &at](const network::Status& status) {
    for (const network::Status::Link& link : status.links) at.logger.info("link", {{"name", link.name}, {"carrier", link.carrier}, {"addresses", join(link.addresses, " ")}});
    tell(ready, status);
  };
  network::NetworkService service(at.loop, at.processes, *directory, at.words.run + "/network", std::move(options), at.logger);
  std::stop_source stop;
  io::Scope scope(at.loop);
  scope.spawn(stop_on_signal(at.loop, signals, stop, scope.token()));
  scope.spawn(be_ready_anyway(at.loop, ready, scope.token()));
  Result<> done = co_await service.run(std::move(config.network), stop.get_token());
  scope.request_stop();
  co_await scope.join();
  if (!done.ok()) {
    at.logger.error("the network cannot be served", {{"error", done.error()}});
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
  STEPPE_TRY_VOID(root.make_directories(words.run.substr(1), 0711));
  STEPPE_TRY_VOID(root.make_directories("var/lib/dhcpcd", 0700));  // dhcpcd's own, which it does not make
  STEPPE_TRY(kernel::Beneath directory, kernel::Beneath::at(words.run));
  STEPPE_TRY(std::unique_ptr<io::EpollLoop> loop, io::EpollLoop::create(1));
  auto processes = io::make_posix_processes(*loop);
  const log::Logger logger(std::make_shared<StderrSink>(), &io::system_clock(), log::Level::kInfo);
  const Machine machine{words, *loop, *processes, directory, logger};
  int code = 0;
  io::start_root(*loop, serve(machine, signals.get(), code), [&] { loop->stop(); });
  loop->run();
  return code;
}

}  // namespace

int machine_command(const std::vector<std::string>& words) {
  Result<Words> read = read_words(words);
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
