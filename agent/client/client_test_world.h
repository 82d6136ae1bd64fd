#pragma once

// What the tests of the client share: a driver whose tasks are controlled by the test, a server in memory, and a world
// that runs coroutines against a real loop.

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>

#include "agent/client/client.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "agent/schema/node.pb.h"
#include "init/io/epoll_loop.h"

namespace steppe::client::test {

using namespace std::chrono_literals;

// A task that lives until the test (or a stop) ends it. Survives the Task object, as real ones do.
struct FakeProcess {
  drivers::TaskHandle handle;
  std::vector<std::string> env;
  drivers::ConfigMap config;
  int event = ::eventfd(0, EFD_CLOEXEC);
  std::optional<drivers::ExitResult> exit;
  bool ignores_stop = false;
  std::vector<int> signals;
  ~FakeProcess() { ::close(event); }
  void end(int code, int signal = 0) {
    exit = drivers::ExitResult{code, signal};
    uint64_t one = 1;
    (void)!::write(event, &one, sizeof one);
  }
};

class FakeDriver final : public drivers::Driver {
 public:
  // What a start does: an exit code at once, or "runs" when absent.
  std::function<std::optional<int>(const drivers::TaskConfig&)> script = [](const drivers::TaskConfig&) { return std::nullopt; };
  std::function<Result<>(const drivers::TaskConfig&)> refuse = [](const drivers::TaskConfig&) { return Result<>(); };

  std::string_view name() const override { return "fake"; }
  drivers::Capabilities capabilities() const override { return {}; }
  drivers::Fingerprint fingerprint() override { return {drivers::Health::kHealthy, "Healthy", {{"driver.fake", "1"}}}; }
  Result<> validate(const drivers::ConfigMap& config) const override {
    if (config.contains("bad")) return Error(Code::kInvalid, "bad: unknown key");
    return {};
  }
  Result<std::unique_ptr<drivers::Task>> start(drivers::TaskConfig config) override {
    std::lock_guard lock(mutex_);
    ++starts_;
    if (Result<> ok = refuse(config); !ok.ok()) return ok.error();
    auto process = std::make_shared<FakeProcess>();
    process->handle = {.driver = "fake", .id = config.id, .run_dir = "/run/fake/" + config.id};
    process->env = config.env;
    process->config = config.config;
    processes_[config.id] = process;
    if (auto code = script(config)) process->end(*code);
    return make(process);
  }
  Result<std::unique_ptr<drivers::Task>> recover(const drivers::TaskHandle& handle) override { return recover_attempt(handle.id); }
  Result<std::unique_ptr<drivers::Task>> recover_attempt(std::string_view id) override {
    std::lock_guard lock(mutex_);
    auto found = processes_.find(std::string(id));
    if (found == processes_.end()) return Error(Code::kNotFound, "no task " + std::string(id));
    ++recoveries_;
    return make(found->second);
  }

  Result<std::vector<std::string>> attempts() override {
    std::lock_guard lock(mutex_);
    std::vector<std::string> out;
    for (auto& [id, process] : processes_) out.push_back(id);
    return out;
  }

  int starts() { std::lock_guard lock(mutex_); return starts_; }
  int recoveries() { std::lock_guard lock(mutex_); return recoveries_; }
  std::shared_ptr<FakeProcess> process(const std::string& task) {
    std::lock_guard lock(mutex_);
    for (auto& [id, process] : processes_) {
      if (id.find("." + task + ".") != id.npos && !process->exit) return process;
    }
    return nullptr;
  }
  size_t remembered() { std::lock_guard lock(mutex_); return processes_.size(); }
  void forget_all() { std::lock_guard lock(mutex_); processes_.clear(); }

 private:
  class Handle final : public drivers::Task {
   public:
    Handle(FakeDriver& driver, std::shared_ptr<FakeProcess> process) : driver_(driver), process_(std::move(process)) {}
    const drivers::TaskHandle& handle() const override { return process_->handle; }
    const std::vector<std::string>& warnings() const override { return warnings_; }
    int wait_fd() const override { return process_->event; }
    Result<drivers::ExitResult> reap() override {
      if (!process_->exit) return Error(Code::kUnavailable, "runs");
      return *process_->exit;
    }
    Result<> stop(int signal, Duration) override {
      process_->signals.push_back(signal);
      if (!process_->exit && !process_->ignores_stop) process_->end(128 + signal, signal);
      return {};
    }
    Result<> kill() override {
      if (!process_->exit) process_->end(137, 9);
      return {};
    }
    Result<> signal(int number) override {
      process_->signals.push_back(number);
      return {};
    }
    Result<drivers::TaskStats> stats() override { return drivers::TaskStats{}; }
    Result<std::unique_ptr<drivers::ExecSession>> exec(drivers::ExecRequest) override {
      return Error(Code::kUnsupported, "the fake driver has no exec");
    }
    Result<> destroy() override {
      std::lock_guard lock(driver_.mutex_);
      driver_.processes_.erase(process_->handle.id);
      return {};
    }

   private:
    FakeDriver& driver_;
    std::shared_ptr<FakeProcess> process_;
    std::vector<std::string> warnings_;
  };
  std::unique_ptr<drivers::Task> make(std::shared_ptr<FakeProcess> process) {
    return std::make_unique<Handle>(*this, std::move(process));
  }

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<FakeProcess>> processes_;
  int starts_ = 0, recoveries_ = 0;
};

class FakeServer final : public ServerLink {
 public:
  explicit FakeServer(io::Loop& loop) : loop_(loop), changed_(loop) {}

  void put(schema::Allocation alloc) {
    alloc.set_alloc_modify_index(++index_);
    std::string id = alloc.id();
    allocs_[id] = std::move(alloc);
    changed_.pulse();
  }
  void stop(const std::string& id) {
    schema::Allocation alloc = allocs_.at(id);
    alloc.set_desired_status("stop");
    put(alloc);
  }
  void remove(const std::string& id) {
    allocs_.erase(id);
    ++index_;
    changed_.pulse();
  }
  const schema::Allocation* reported(const std::string& id) {
    auto found = reports_.find(id);
    return found == reports_.end() ? nullptr : &found->second;
  }
  std::string status(const std::string& id) {
    auto* alloc = reported(id);
    return alloc == nullptr ? "" : alloc->client_status();
  }
  int registrations = 0, failing_calls = 0, failing_updates = 0;
  bool forgot = false;
  std::shared_ptr<const schema::Node> node;
  std::vector<std::string> statuses;

  io::Task<Result<Registered>> register_node(std::shared_ptr<const schema::Node> who, io::Deadline) override {
    if (failing_calls > 0 && failing_calls--) co_return Error(Code::kUnavailable, "No cluster leader");
    ++registrations;
    forgot = false;
    node = who;
    co_return Registered{200ms};
  }
  io::Task<Result<Registered>> update_status(std::string, std::string, std::string status, io::Deadline) override {
    if (forgot) co_return Error(Code::kNotFound, "node not found");
    statuses.push_back(status);
    co_return Registered{200ms};
  }
  io::Task<Result<AllocIndexes>> get_client_allocs(std::string, std::string, uint64_t min_index, io::Deadline deadline) override {
    while (index_ <= min_index) STEPPE_CO_TRY_VOID(co_await changed_.wait(deadline));
    AllocIndexes out;
    out.index = index_;
    for (auto& [id, alloc] : allocs_) out.allocs[id] = alloc.alloc_modify_index();
    co_return out;
  }
  io::Task<Result<std::vector<std::unique_ptr<schema::Allocation>>>> get_allocs(std::string, std::vector<std::string> ids,
                                                                                io::Deadline) override {
    std::vector<std::unique_ptr<schema::Allocation>> out;
    for (const std::string& id : ids) {
      if (allocs_.contains(id)) out.push_back(std::make_unique<schema::Allocation>(allocs_.at(id)));
    }
    co_return out;
  }
  io::Task<Result<>> update_allocs(std::string, std::string, std::vector<std::unique_ptr<schema::Allocation>> allocs,
                                   io::Deadline) override {
    if (failing_updates > 0 && failing_updates--) co_return Error(Code::kUnavailable, "No cluster leader");
    for (auto& alloc : allocs) {
      reports_[alloc->id()] = *alloc;
      if (!allocs_.contains(alloc->id())) continue;
      schema::Allocation& own = allocs_[alloc->id()];
      own.set_client_status(alloc->client_status());
      *own.mutable_task_states() = alloc->task_states();
    }
    co_return Result<>();
  }

 private:
  io::Loop& loop_;
  io::Event changed_;
  uint64_t index_ = 1;
  std::map<std::string, schema::Allocation> allocs_;
  std::map<std::string, schema::Allocation> reports_;
};

class NoArtifacts final : public ArtifactFetcher {
 public:
  std::vector<Request> requests;
  Result<> answer;
  io::Task<Result<>> fetch(const kernel::Beneath&, Request request, io::Deadline) override {
    requests.push_back(request);
    co_return answer;
  }
};

// A job with one group of the given tasks ("name" or "name:hook" or "name:hook:sidecar"), driver fake.
inline schema::Allocation make_alloc(uint64_t seed, const std::string& type, const std::vector<std::string>& tasks) {
  SeededRng rng(seed);
  schema::Allocation alloc;
  alloc.set_id(AllocId::random(rng).text());
  alloc.set_namespace_("default");
  alloc.set_name("web.cache[2]");
  alloc.set_job_id("web");
  alloc.set_task_group("cache");
  alloc.set_desired_status("run");
  alloc.set_client_status("pending");
  schema::Job& job = *alloc.mutable_job();
  job.set_id("web");
  job.set_name("web");
  job.set_type(type);
  schema::TaskGroup& group = *job.add_task_groups();
  group.set_name("cache");
  group.mutable_restart_policy()->set_attempts(1);
  group.mutable_restart_policy()->set_interval(Duration(1h).count());
  group.mutable_restart_policy()->set_delay(0);
  group.mutable_restart_policy()->set_mode("fail");
  for (const std::string& spec : tasks) {
    schema::Task& task = *group.add_tasks();
    size_t colon = spec.find(':');
    task.set_name(spec.substr(0, colon));
    task.set_driver("fake");
    task.set_kill_timeout(Duration(1s).count());
    if (colon != spec.npos) {
      std::string rest = spec.substr(colon + 1);
      task.mutable_lifecycle()->set_hook(rest.substr(0, rest.find(':')));
      task.mutable_lifecycle()->set_sidecar(rest.ends_with(":sidecar"));
    }
    schema::AllocatedTaskResources& resources = (*alloc.mutable_allocated_resources()->mutable_tasks())[task.name()];
    resources.mutable_cpu()->set_cpu_shares(500);
    resources.mutable_memory()->set_memory_mb(256);
  }
  return alloc;
}

inline StateReader own_state_reader() {
  return {std::filesystem::read_symlink("/proc/self/exe").parent_path().string() + "/steppe-client-child", {std::string(kStateReadCommand)}};
}

class World : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = *io::EpollLoop::create(2);
    char name[] = "/tmp/steppe-client-XXXXXX";
    base_ = ::mkdtemp(name);
    std::filesystem::create_directories(base_ + "/state");
    std::filesystem::create_directories(base_ + "/alloc");
    server_ = std::make_unique<FakeServer>(*loop_);
  }
  void TearDown() override {
    client_.reset();
    auto tree = kernel::Beneath::at(base_ + "/alloc");
    if (tree.ok()) {
      for (auto& entry : *tree->list("")) (void)AllocDir::remove(*tree, entry.name);
    }
    std::filesystem::remove_all(base_);
  }

  std::unique_ptr<schema::Node> make_node() {
    auto node = std::make_unique<schema::Node>();
    node->set_name("worker-3");
    node->set_datacenter("dc1");
    (*node->mutable_attributes())["kernel.name"] = "linux";
    (*node->mutable_meta())["rack"] = "r12";
    return node;
  }

  // Runs `body` while a client lives; the client leaves as told.
  using Body = std::function<io::Task<void>()>;
  void live(Body body, Client::Leave leave = Client::Leave::kStopTasks) {
    ClientConfig config;
    config.state_dir = base_ + "/state";
    config.state_reader = own_state_reader();
    config.alloc_dir = base_ + "/alloc";
    config.gc_interval = gc_interval_;
    config.gc_max_allocs = gc_max_allocs_;
    client_ = std::make_unique<Client>(*loop_, io::system_rng(), log::Logger(), config, *server_, drivers_, artifacts_, make_node());
    io::start_root(*loop_, both(*this, std::move(body), leave), [this] { loop_->stop(); });
    loop_->run();
    client_.reset();
  }

  // Waits until the condition holds; fails the test after ten seconds.
  io::Task<void> until(std::function<bool()> condition, const char* what) {
    MonoTime end = loop_->now() + 10s;
    while (!condition()) {
      if (loop_->now() > end) {
        ADD_FAILURE() << "never happened: " << what;
        co_return;
      }
      (void)co_await io::sleep_for(*loop_, 2ms, {});
    }
  }

  std::vector<std::string> events(const std::string& alloc, const std::string& task) {
    std::vector<std::string> out;
    if (auto* report = server_->reported(alloc)) {
      auto found = report->task_states().find(task);
      if (found != report->task_states().end()) {
        for (auto& event : found->second.events()) out.push_back(event.type());
      }
    }
    return out;
  }

  Duration gc_interval_ = 1h;
  size_t gc_max_allocs_ = 50;
  std::unique_ptr<io::EpollLoop> loop_;
  std::string base_;
  std::unique_ptr<FakeServer> server_;
  FakeDriver driver_;
  DriverTable drivers_{{"fake", &driver_}};
  NoArtifacts artifacts_;
  std::unique_ptr<Client> client_;

 private:
  static io::Task<void> both(World& world, Body body, Client::Leave leave) {
    io::Scope scope(*world.loop_);
    std::stop_source stop;
    scope.spawn(drive(*world.client_, stop.get_token(), leave));
    co_await body();
    stop.request_stop();
    co_await scope.join();
  }
  static io::Task<void> drive(Client& client, std::stop_token stop, Client::Leave leave) {
    Result<> done = co_await client.run(stop, leave, 5s);
    EXPECT_TRUE(done.ok()) << done.error().message();
  }
};

}  // namespace steppe::client::test
