#include "agent/main/agent.h"

#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <format>

#include "agent/http/api.h"
#include "agent/http/server.h"
#include "agent/machine/machine_api.h"
#include "agent/main/agent_endpoint.h"
#include "agent/main/client_role.h"
#include "agent/main/server_role.h"
#include "agent/main/signals.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_child.h"
#include "init/io/posix_disk.h"
#include "init/io/posix_net.h"
#include "init/sys/kernel/file_access.h"

namespace steppe::agent {

namespace {

constexpr size_t kPoolThreads = 4;

// mkdir -p with mode 0700 below a path that only the administrator controls.
Result<> make_directories(const std::string& path) {
  for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (mkdir(part.c_str(), at == std::string::npos ? 0700 : 0755) != 0 && errno != EEXIST) return Error::from_errno(errno, "mkdir " + part);
    if (at == std::string::npos) return {};
  }
}

bool loopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

client::EnvMap host_environment(const std::map<std::string, std::string, std::less<>>& environment) {
  std::vector<std::string> entries;
  for (const auto& [key, value] : environment) entries.push_back(key + "=" + value);
  return client::filter_host_env(entries, std::nullopt);
}

// Everything an agent has, in the order it is made; the destructor takes it apart the other way round.
class Agent {
 public:
  Agent(Settings settings, std::unique_ptr<io::EpollLoop> loop, std::unique_ptr<Signals> signals)
      : settings_(std::move(settings)),
        sink_(make_log_sink(STDOUT_FILENO, settings_.log_format)),
        logger_(sink_, &io::system_clock(), settings_.log_level),
        loop_(std::move(loop)),
        signals_(std::move(signals)),
        metrics_(io::system_clock()),
        resolver_(endpoint::open_resolver()),
        dispatcher_(*resolver_, io::system_clock()),
        network_(io::make_posix_network(*loop_)),
        failed_(*loop_) {}

  Result<> prepare(const std::map<std::string, std::string, std::less<>>& environment);
  io::Task<void> life(int& exit_code);
  io::EpollLoop& loop() { return *loop_; }
  void clean_up();

 private:
  Result<> make_places();
  Result<> listen();
  void announce();
  io::Task<void> wait_for_the_end();
  io::Task<void> shut_down();
  io::Task<void> watch_failure();
  void fail(const Error& error);
  void reload();

  Settings settings_;
  std::shared_ptr<log::Sink> sink_;
  log::Logger logger_;
  std::unique_ptr<io::EpollLoop> loop_;
  std::unique_ptr<Signals> signals_;
  telemetry::Registry metrics_;
  std::unique_ptr<endpoint::Resolver> resolver_;
  endpoint::Dispatcher dispatcher_;
  std::unique_ptr<io::Network> network_;
  io::Event failed_;
  kernel::Fd lock_;  // of the data directory
  std::unique_ptr<io::Directory> raft_directory_;
  std::unique_ptr<ServerRole> server_;
  std::unique_ptr<ClientRole> client_;
  std::unique_ptr<AgentEndpoint> endpoint_;
  std::unique_ptr<io::Processes> processes_;
  std::unique_ptr<machine_api::MachineApi> machine_;
  std::unique_ptr<http::Api> api_;
  std::unique_ptr<http::Server> http_;
  io::Address http_address_;
  bool failing_ = false;
};

Result<> Agent::make_places() {
  if (settings_.data_dir.empty()) {
    char name[] = "/tmp/steppe-dev-XXXXXX";
    if (mkdtemp(name) == nullptr) return Error::from_errno(errno, "make a directory in /tmp");
    settings_.data_dir = name;
  }
  STEPPE_TRY_VOID(make_directories(settings_.data_dir));
  // Two agents in one directory would each lead a cluster of one, and write over each other's log.
  auto lock = kernel::lock_file(settings_.data_dir + "/lock");
  if (!lock.ok()) {
    bool other = lock.error().code() == Code::kUnavailable;
    return std::move(lock).error().wrap(other ? std::format("{} is in use by another agent (stop it, or give this one another -data-dir)", settings_.data_dir) : settings_.data_dir);
  }
  lock_ = *std::move(lock);
  for (const char* part : {"/server", "/server/raft", "/client", "/alloc", "/run"}) STEPPE_TRY_VOID(make_directories(settings_.data_dir + part));
  // Tasks of other users pass through on the way to their own directories.
  for (const char* part : {"", "/alloc"}) {
    if (chmod((settings_.data_dir + part).c_str(), 0711) != 0) return Error::from_errno(errno, "chmod " + settings_.data_dir + part);
  }
  return {};
}

Result<> Agent::prepare(const std::map<std::string, std::string, std::less<>>& environment) {
  STEPPE_TRY_VOID(make_places().wrap("data directory"));
  if (settings_.server) {
    STEPPE_TRY(raft_directory_, io::open_posix_directory(*loop_, settings_.data_dir + "/server/raft", io::DiskCalls::kSyncWhileQuick));
    server::Settings server;
    server.region = settings_.region;
    server.datacenter = settings_.node.datacenter;
    server.name = settings_.name;
    server.rpc_address = std::format("{}:{}", settings_.bind_address, settings_.rpc_port);
    server.node_address = settings_.bind_address;
    server.serf_port = settings_.serf_port;
    server_ = std::make_unique<ServerRole>(*loop_, io::system_rng(), logger_, metrics_, *raft_directory_, std::move(server));
    server_->on_failure = [this](const Error& error) { fail(error); };
    server_->add_methods(dispatcher_);
  }
  if (settings_.client) {
    const ClientRole::Places places{settings_.data_dir + "/client", settings_.data_dir + "/alloc", settings_.data_dir + "/run"};
    STEPPE_TRY(client_, ClientRole::create(settings_, places, host_environment(environment), logger_, dispatcher_).wrap("client"));
    client_->add_methods(dispatcher_);
  }
  endpoint_ = std::make_unique<AgentEndpoint>(settings_, *loop_, server_.get(), client_.get());
  endpoint_->add_methods(dispatcher_);
  processes_ = io::make_posix_processes(*loop_);
  machine_ = std::make_unique<machine_api::MachineApi>(*loop_, *processes_, logger_, machine_api::MachineApi::Options{.root = {}, .directory = settings_.data_dir + "/machine"});
  machine_->serve(dispatcher_);
  return listen();
}

Result<> Agent::listen() {
  api_ = std::make_unique<http::Api>(dispatcher_, *loop_, logger_, settings_.region);
  http::ServerOptions options;
  options.extra_headers.assign(settings_.response_headers.begin(), settings_.response_headers.end());
  http_ = std::make_unique<http::Server>(*loop_, io::system_rng(), logger_, std::move(options), [this](http::Request& request, http::ResponseWriter& writer) { return api_->handle(request, writer); });
  STEPPE_TRY(const io::Address at, io::Address::parse(settings_.bind_address.find(':') == std::string::npos ? std::format("{}:{}", settings_.bind_address, settings_.http_port)
                                                                                                           : std::format("[{}]:{}", settings_.bind_address, settings_.http_port)));
  Result<std::unique_ptr<io::Listener>> listener = network_->listen(at);
  if (!listener.ok()) return std::move(listener).wrap("HTTP API (another agent may be running; see -bind and ports)").error();
  http_address_ = (*listener)->local();
  http_->serve(std::move(*listener));
  return {};
}

void Agent::announce() {
  const std::string roles = std::string(settings_.server ? "server" : "") + (settings_.server && settings_.client ? "," : "") + (settings_.client ? "client" : "");
  logger_.info("Steppe agent started", {{"version", "0.1.0"}, {"roles", roles}, {"region", settings_.region}, {"http", http_address_.text()}, {"data_dir", settings_.data_dir}});
  if (!settings_.ignored.empty()) {
    for (const std::string& key : settings_.ignored) logger_.warn("configuration is known but not acted on by this version", {{"key", key}});
  }
  if (!loopback(http_address_.ip)) {
    logger_.warn("!!! THE API LISTENS BEYOND THIS MACHINE WITHOUT ACCESS CONTROL: whoever reaches it runs commands here as root. Bind to 127.0.0.1 or keep the port behind a firewall !!!", {{"http", http_address_.text()}});
  }
}

void Agent::fail(const Error& error) {
  // From any thread.
  loop_->post([this, error] {
    logger_.error("the agent ends because of an error", {{"error", error}});
    failing_ = true;
    failed_.set();
  });
}

void Agent::reload() {
  Result<log::Level> level = reload_log_level(settings_);
  if (!level.ok()) {
    logger_.error("configuration not reloaded", {{"error", level.error()}});
    return;
  }
  logger_ = log::Logger(sink_, &io::system_clock(), *level);
  logger_.info("configuration reloaded", {{"log_level", log::level_name(*level)}});
}

io::Task<void> Agent::watch_failure() {
  static_cast<void>(co_await failed_.wait());
  // Wakes the wait for signals: the process tells itself.
  kill(getpid(), SIGTERM);
}

io::Task<void> Agent::wait_for_the_end() {
  while (true) {
    const Result<int> signal = co_await signals_->next(*loop_, {});
    if (!signal.ok()) co_return;
    if (*signal == SIGHUP) {
      reload();
      continue;
    }
    if (!failing_) logger_.info("signal received, stopping", {{"signal", *signal == SIGINT ? "interrupt" : "terminated"}});
    co_return;
  }
}

io::Task<void> Agent::shut_down() {
  sd_notify(0, "STOPPING=1");
  // The client reports its last states through the servers: it goes first. Its stop blocks, so it is waited for elsewhere.
  if (client_) {
    auto work = [this] {
      client_->stop();
      return true;
    };
    static_cast<void>(co_await io::run_blocking(*loop_, std::move(work)));
  }
  co_await http_->stop();
  if (server_) co_await server_->stop();
}

io::Task<void> Agent::life(int& exit_code) {
  io::Scope scope(*loop_);
  Result<> started;
  if (server_) started = co_await server_->start();
  if (!started.ok()) {
    fail(started.error());
  } else {
    // A throw-away node takes its tasks with it; any other leaves them to the next agent.
    const auto leave = settings_.dev ? client::Client::Leave::kStopTasks : client::Client::Leave::kKeepTasks;
    if (client_) client_->start(leave, [this](const Error& error) { fail(error); });
    announce();
    sd_notify(0, "READY=1");
    scope.spawn(machine_->watch_trial([this] { return client_ && client_->healthy(); }, scope.token()));
  }
  scope.spawn(watch_failure());
  co_await wait_for_the_end();
  co_await shut_down();
  failed_.set();
  scope.request_stop();
  co_await scope.join();
  exit_code = failing_ ? 1 : 0;
}

void Agent::clean_up() {
  if (!settings_.dev || !settings_.data_dir.starts_with("/tmp/steppe-dev-")) return;
  std::error_code ignored;
  std::filesystem::remove_all(settings_.data_dir, ignored);
}

}  // namespace

Result<int> run_agent(Settings settings, const std::map<std::string, std::string, std::less<>>& environment) {
  signal(SIGPIPE, SIG_IGN);
  STEPPE_TRY(std::unique_ptr<Signals> signals, Signals::block({SIGINT, SIGTERM, SIGHUP}));
  STEPPE_TRY(std::unique_ptr<io::EpollLoop> loop, io::EpollLoop::create(kPoolThreads));
  Agent agent(std::move(settings), std::move(loop), std::move(signals));
  Result<> prepared = agent.prepare(environment);
  if (!prepared.ok()) {
    agent.clean_up();
    return std::move(prepared).error();
  }
  int exit_code = 1;
  io::start_root(agent.loop(), agent.life(exit_code), [&agent] { agent.loop().stop(); });
  agent.loop().run();
  agent.clean_up();
  return exit_code;
}

}  // namespace steppe::agent
