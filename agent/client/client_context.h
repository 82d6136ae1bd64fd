#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/client/state_store.h"
#include "agent/client/task_env.h"
#include "drivers/api/driver.h"
#include "init/base/log.h"
#include "init/base/rng.h"
#include "init/io/loop.h"
#include "init/io/scope.h"
#include "init/io/wait.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::schema {
class Node;
class TaskArtifact;
}

namespace steppe::client {

// Drivers by name. They outlive the client.
using DriverTable = std::map<std::string, drivers::Driver*, std::less<>>;

// Fetches one artifact into a task's directory. Loop thread; the work happens in a child process.
class ArtifactFetcher {
 public:
  virtual ~ArtifactFetcher() = default;
  struct Request {
    std::string source;
    std::string destination;  // relative to the task's directory
    std::string mode;         // "any", "file", "dir"
    std::map<std::string, std::string> options;  // checksum, archive, ...
    std::map<std::string, std::string> headers;
    bool insecure = false;
    std::optional<std::pair<uint32_t, uint32_t>> owner;
    Bytes max_bytes;  // of what it unpacks to, beside the fetcher's own limit; 0: no other
  };
  // `task_dir`: the task's directory. The error's text becomes the task event; its code says whether a retry may help
  // (kInvalid, kDenied and kUnsupported: no).
  virtual io::Task<Result<>> fetch(const kernel::Beneath& task_dir, Request request, io::Deadline deadline) = 0;
};

// Group commit: what is asked while a transaction runs goes into the next one, together. What could not be written (no
// room) is tried again after a pause, unless something newer of the same key is, so that no change of state is lost while
// the agent lives.
class StateWriter {
 public:
  StateWriter(io::Loop& loop, StateStore& store, io::Scope& scope, log::Logger logger, Duration retry = std::chrono::seconds(1));
  // Returns when the writes are in the store, or could not be written this time.
  io::Task<Result<>> write(std::vector<StateWrite> writes);
  // Without waiting; a failure is logged.
  void post(StateWrite write);
  // Returns when all that was asked for before is in the store, or could not be written this time.
  io::Task<Result<>> flush();

 private:
  io::Task<void> run();
  void kick();
  void keep(std::vector<StateWrite> writes);
  void tell(const Result<>& result);

  struct Batch {
    explicit Batch(io::Loop& loop) : done(loop) {}
    std::vector<StateWrite> writes;
    io::Event done;
    Result<> result;
    size_t waiting = 0;
  };
  io::Loop& loop_;
  StateStore& store_;
  io::Scope& scope_;
  log::Logger logger_;
  Duration retry_;
  std::shared_ptr<Batch> next_, current_;
  bool running_ = false, failing_ = false;
};

// What every alloc and task of the client shares. Loop thread. Outlives them all.
struct ClientContext {
  io::Loop& loop;
  Rng& rng;
  log::Logger logger;
  StateWriter& state;
  const DriverTable& drivers;
  ArtifactFetcher& artifacts;
  const kernel::Beneath& alloc_root;
  std::string alloc_root_path;
  std::string region = "global";
  EnvMap host_env;                             // already filtered
  Duration max_kill_timeout = std::chrono::seconds(30);
  std::map<std::string, std::string> host_volumes;  // name -> host path
  std::shared_ptr<const schema::Node> node;    // replaced when the node's picture changes
  // Allocs are set up a few at a time: the first of a thousand run while the last still wait, and what a start costs
  // does not grow with how many directories stand ready.
  io::Permits setting_up{loop, 8};
  io::Event started{loop};  // pulsed when a driver has started a task
  // Whether an alloc is here and has not ended: its successor waits for its disk.
  std::function<bool(std::string_view alloc_id)> unfinished;
};

}  // namespace steppe::client
