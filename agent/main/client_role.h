#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "agent/client/client.h"
#include "agent/client/client_api.h"
#include "agent/client/endpoint_link.h"
#include "agent/endpoint/dispatcher.h"
#include "agent/main/settings.h"
#include "drivers/executor/host.h"
#include "init/base/log.h"
#include "init/io/epoll_loop.h"

namespace steppe::agent {

// The client of an agent on a thread and loop of its own. Made, started and stopped by the main thread.
class ClientRole {
 public:
  struct Places {
    std::string state_dir, alloc_dir, run_dir;  // exist
  };

  // (blocks) Opens the drivers and fingerprints the machine. Everything handed in outlives the role.
  static Result<std::unique_ptr<ClientRole>> create(const Settings& settings, const Places& places, client::EnvMap host_env, log::Logger logger, endpoint::Dispatcher& dispatcher);
  ~ClientRole();

  void add_methods(endpoint::Dispatcher& dispatcher);
  // `leave` says what becomes of the tasks at stop(). `failed` is called on the client's thread when the client ended on
  // its own.
  void start(client::Client::Leave leave, std::function<void(const Error&)> failed);
  // (blocks) Until the client has let go of its tasks, or ended them.
  void stop();

  const std::string& node_name() const { return node_name_; }
  // Any thread. Empty until the store told who we are.
  std::string node_id() const;
  bool healthy() const { return heartbeating_.load(); }

 private:
  ClientRole() = default;
  io::Task<void> life(client::Client::Leave leave, std::function<void(const Error&)> failed);
  io::Task<void> watch_health(std::stop_token stop);

  std::unique_ptr<io::EpollLoop> loop_;
  log::Logger logger_;
  std::shared_ptr<const executor::Host> host_;
  std::vector<std::unique_ptr<drivers::Driver>> drivers_;
  client::DriverTable table_;
  std::unique_ptr<client::ArtifactFetcher> artifacts_;
  std::unique_ptr<client::EndpointLink> link_;
  std::unique_ptr<client::Client> client_;
  std::unique_ptr<client::ClientApi> api_;
  std::string node_name_;
  std::atomic<bool> heartbeating_ = false;
  mutable std::mutex id_mutex_;
  std::string node_id_;  // guarded by id_mutex_
  std::stop_source stop_;
  std::thread thread_;
};

}  // namespace steppe::agent
