// What the kernel enforces on a task. Needs cgroup v2 with all controllers: tests/vm/run boots a guest that has them;
// on a host without they are skipped. Each promise stands beside a mutant that breaks it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>

#include "drivers/exec/exec_driver.h"

namespace steppe::exec {
namespace {

namespace fs = std::filesystem;
using drivers::ConfigList;
using kernel::Fd;

struct TestClock : Clock {
  MonoTime now() const override { return {wall().unix_ns}; }
  WallTime wall() const override {
    timespec t;
    ::clock_gettime(CLOCK_REALTIME, &t);
    return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
  }
};

Fd path_fd(const std::string& path) { return Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }

class Limits : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    char name[] = "/tmp/steppe-limits-XXXXXX";
    base_ = ::mkdtemp(name);
    ::chmod(base_.c_str(), 0755);
    std::string program = (fs::read_symlink("/proc/self/exe").parent_path() / "steppe-executor").string();
    auto host = executor::Host::open({base_ + "/run", program, "steppe-limits.slice", true}, clock_);
    ASSERT_TRUE(host.ok()) << host.error().message();
    host_ = *host;
    if (!host_->limits_missing().empty()) GTEST_SKIP() << host_->limits_missing() << " (tests/vm/run has a guest with all of them)";
  }
  void TearDown() override {
    for (auto& task : tasks_) EXPECT_TRUE(task->destroy().ok());
    if (!base_.empty()) fs::remove_all(base_);
  }
  drivers::Task* start(const std::string& script, drivers::Resources resources, isolate::Mutations mutations = {}) {
    Options options;
    options.mutations = mutations;
    auto driver = make_driver(host_, options);
    drivers::TaskConfig config;
    config.id = id_ = "t" + std::to_string(tasks_.size());
    config.alloc_id = "alloc";
    config.task = "web";
    config.env = {"PATH=/usr/bin:/bin"};
    config.config = {{"command", "/bin/sh"}, {"args", ConfigList{"-c", script}}};
    config.resources = std::move(resources);
    for (const char* dir : {"/logs", "/web/local", "/web/secrets", "/web/tmp"}) fs::create_directories(base_ + "/" + id_ + dir);
    config.task_dir = path_fd(base_ + "/" + id_ + "/web");
    config.log_dir = path_fd(base_ + "/" + id_ + "/logs");
    auto task = driver->start(std::move(config));
    EXPECT_TRUE(task.ok()) << task.error().message();
    if (!task.ok()) return nullptr;
    tasks_.push_back(std::move(*task));
    return tasks_.back().get();
  }
  drivers::ExitResult wait(drivers::Task* task) {
    if (task == nullptr) return {};
    pollfd one = {task->wait_fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&one, 1, 120'000), 1) << "the task did not end";
    auto result = task->reap();
    return result.ok() ? *result : drivers::ExitResult{};
  }
  drivers::ExitResult run(const std::string& script, drivers::Resources resources, isolate::Mutations mutations = {}) {
    return wait(start(script, std::move(resources), mutations));
  }
  std::string log() {
    std::ifstream in(base_ + "/" + id_ + "/logs/web.stdout.0");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  TestClock clock_;
  std::string base_, id_;
  std::shared_ptr<const executor::Host> host_;
  std::vector<std::unique_ptr<drivers::Task>> tasks_;
};

// awk builds a string of that size in memory.
std::string eat(int mib) { return "awk 'BEGIN { s = \"0123456789abcdef\"; while (length(s) < " + std::to_string(mib) + " * 1048576) s = s s; print length(s) }'"; }

drivers::Resources memory(int mib, int max_mib = 0) {
  drivers::Resources out;
  out.memory = Bytes::mib(static_cast<uint64_t>(mib));
  out.memory_max = Bytes::mib(static_cast<uint64_t>(max_mib));
  return out;
}

TEST_F(Limits, oom_is_reported_and_takes_the_whole_task) {
  auto result = run(eat(64) + "; echo survived", memory(24));
  EXPECT_TRUE(result.oom_killed);
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_EQ(log(), "");
  isolate::Mutations alone;
  alone.no_oom_group = true;
  result = run(eat(64) + "; echo survived", memory(24), alone);
  EXPECT_TRUE(result.oom_killed);
  EXPECT_EQ(log(), "survived\n") << "the mutant kills one process only";
  isolate::Mutations unlimited;
  unlimited.no_cgroup_limits = true;
  result = run(eat(64) + "; echo survived", memory(24), unlimited);
  EXPECT_FALSE(result.oom_killed);
  EXPECT_NE(log().find("survived"), std::string::npos);
}

TEST_F(Limits, memory_max_is_the_ceiling_and_memory_the_floor) {
  EXPECT_FALSE(run(eat(32), memory(16, 160)).oom_killed);
  EXPECT_TRUE(run(eat(32), memory(16)).oom_killed);
  auto result = run("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory.low /sys/fs/cgroup/memory.oom.group", memory(16, 160));
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(log(), "167772160\n16777216\n1\n");
}

TEST_F(Limits, a_fork_bomb_stops_at_pids_max) {
  drivers::Resources resources;
  resources.pids_max = 16;
  const char* bomb = "i=0; while [ $i -lt 60 ]; do sleep 600 & i=$((i+1)); done; echo all";
  auto result = run(bomb, resources);
  EXPECT_EQ(log().find("all"), std::string::npos);
  isolate::Mutations unlimited;
  unlimited.no_cgroup_limits = true;
  result = run(bomb, resources, unlimited);
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(log(), "all\n");
}

TEST_F(Limits, cpu_quota_throttles) {
  drivers::Resources resources;
  resources.cpu_quota_percent = 20;
  resources.cpu_mhz = 500;
  auto throttled = [&](isolate::Mutations mutations) {
    drivers::Task* task = start("while :; do :; done", resources, mutations);
    for (;;) {
      auto stats = task->stats();
      if (!stats.ok()) return uint64_t{999};
      if (stats->cpu_total_ns.value_or(0) > 400'000'000) return stats->throttled_periods.value_or(0);
      ::sched_yield();
    }
  };
  EXPECT_GT(throttled({}), 0u);
  isolate::Mutations unlimited;
  unlimited.no_cgroup_limits = true;
  EXPECT_EQ(throttled(unlimited), 0u);
  auto result = run("cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu.weight", resources);
  EXPECT_EQ(log(), "20000 100000\n19\n");
  EXPECT_EQ(result.code, 0);
}

TEST_F(Limits, the_task_sees_its_own_cgroup_read_only) {
  auto result = run("cat /proc/self/cgroup; echo 1 > /sys/fs/cgroup/pids.max || echo refused; ls /sys/fs/cgroup | grep -cE '^(memory.max|pids.max|cpu.weight)$'", {});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(log(), "0::/\nrefused\n3\n");
}

TEST_F(Limits, a_sigterm_ignorer_ends_with_its_children) {
  drivers::Task* task = start("trap '' TERM; (trap '' TERM; sleep 600) & echo ready; while :; do sleep 1; done", {});
  ASSERT_NE(task, nullptr);
  while (log().empty()) ::sched_yield();
  ASSERT_TRUE(task->stop(SIGTERM, std::chrono::milliseconds(200)).ok());
  EXPECT_EQ(wait(task).signal, SIGKILL);
  EXPECT_TRUE(task->destroy().ok()) << "the cgroup is empty, or it could not be removed";
}

}  // namespace
}  // namespace steppe::exec
