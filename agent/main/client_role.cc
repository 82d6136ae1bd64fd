#include "agent/main/client_role.h"

#include <pthread.h>

#include <format>

#include "agent/client/artifact_fetcher.h"
#include "agent/schema/node.pb.h"
#include "drivers/exec/exec_driver.h"
#include "drivers/mock/mock_driver.h"
#include "drivers/raw_exec/raw_exec_driver.h"
#include "init/base/assert.h"
#include "init/io/scope.h"

namespace steppe::agent {

namespace {

constexpr size_t kPoolThreads = 4;

}  // namespace

Result<std::unique_ptr<ClientRole>> ClientRole::create(const Settings& settings, const Places& places, client::EnvMap host_env, log::Logger logger, endpoint::Dispatcher& dispatcher) {
  auto role = std::unique_ptr<ClientRole>(new ClientRole());
  role->logger_ = std::move(logger);
  STEPPE_TRY(role->loop_, io::EpollLoop::create(kPoolThreads));
  executor::HostOptions host;
  host.run_dir = places.run_dir;
  host.program = settings.executor;
  STEPPE_TRY(role->host_, executor::Host::open(std::move(host), io::system_clock()));
  raw_exec::Options raw;
  raw.enabled = settings.raw_exec;
  STEPPE_TRY(exec::Options isolated, exec::Options::parse(settings.exec_plugin));
  isolated.chroot_env = settings.chroot_env;
  role->drivers_.push_back(raw_exec::make_driver(role->host_, std::move(raw)));
  role->drivers_.push_back(exec::make_driver(role->host_, std::move(isolated)));
  if (settings.dev) role->drivers_.push_back(mock::make_driver(io::system_clock()));
  for (const auto& driver : role->drivers_) role->table_.emplace(driver->name(), driver.get());
  if (!role->host_->limits_missing().empty()) role->logger_.warn("tasks run without resource limits", {{"reason", role->host_->limits_missing()}});

  auto node = client::fingerprint_node(settings.node, client::MachineView::look(places.alloc_dir), role->table_, io::system_clock().wall());
  role->node_name_ = node->name();
  client::ClientConfig config;
  config.state_dir = places.state_dir;
  config.state_reader = {settings.program, {std::string(client::kStateReadCommand)}};
  config.alloc_dir = places.alloc_dir;
  config.region = settings.region;
  config.host_env = std::move(host_env);
  config.max_kill_timeout = settings.max_kill_timeout;
  config.gc_max_allocs = static_cast<size_t>(settings.gc_max_allocs);
  config.gc_parallel_destroys = static_cast<size_t>(settings.gc_parallel_destroys);
  config.gc_disk_usage_threshold = settings.gc_disk_usage_threshold;
  config.gc_inode_usage_threshold = settings.gc_inode_usage_threshold;
  config.gc_interval = settings.gc_interval;
  for (const auto& [name, volume] : settings.node.host_volumes) config.host_volumes.emplace(name, volume.path);
  role->artifacts_ = client::make_artifact_fetcher(*role->loop_, settings.program, settings.artifact);
  role->link_ = std::make_unique<client::EndpointLink>(dispatcher, *role->loop_, settings.region);
  role->client_ = std::make_unique<client::Client>(*role->loop_, io::system_rng(), role->logger_, std::move(config), *role->link_, role->table_, *role->artifacts_, std::move(node));
  role->api_ = std::make_unique<client::ClientApi>(*role->client_, *role->loop_);
  return role;
}

ClientRole::~ClientRole() { STEPPE_ASSERT(!thread_.joinable()); }

void ClientRole::add_methods(endpoint::Dispatcher& dispatcher) { api_->serve(dispatcher); }

std::string ClientRole::node_id() const {
  const std::lock_guard lock(id_mutex_);
  return node_id_;
}

io::Task<void> ClientRole::watch_health(std::stop_token stop) {
  while ((co_await io::sleep_for(*loop_, std::chrono::milliseconds(200), stop)).ok()) {
    heartbeating_ = client_->heartbeating();
    const std::lock_guard lock(id_mutex_);
    node_id_ = client_->node().id();
  }
}

io::Task<void> ClientRole::life(client::Client::Leave leave, std::function<void(const Error&)> failed) {
  io::Scope scope(*loop_);
  scope.spawn(watch_health(stop_.get_token()));
  static constexpr auto kStopLimit = std::chrono::seconds(20);
  const Result<> ended = co_await client_->run(stop_.get_token(), leave, kStopLimit);
  heartbeating_ = false;
  if (!ended.ok() && !stop_.stop_requested()) {
    logger_.error("the client ended", {{"error", ended.error()}});
    failed(ended.error());
    stop_.request_stop();
  }
  co_await scope.join();
}

void ClientRole::start(client::Client::Leave leave, std::function<void(const Error&)> failed) {
  thread_ = std::thread([this, leave, failed = std::move(failed)]() mutable {
    pthread_setname_np(pthread_self(), "steppe-client");
    io::start_root(*loop_, life(leave, std::move(failed)), [this] { loop_->stop(); });
    loop_->run();
  });
}

void ClientRole::stop() {
  if (!thread_.joinable()) return;
  loop_->post([this] { stop_.request_stop(); });
  thread_.join();
}

}  // namespace steppe::agent
