#include "drivers/raw_exec/raw_exec_driver.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <format>
#include <fstream>

#include "init/base/rng.h"

namespace steppe::raw_exec {
namespace {

namespace fs = std::filesystem;
using drivers::ConfigList;
using drivers::ConfigMap;
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

class RawExec : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    char name[] = "/tmp/steppe-raw-XXXXXX";
    base_ = ::mkdtemp(name);
    open();
  }
  void TearDown() override {
    driver_.reset();
    fs::remove_all(base_);
  }
  // Also what a new agent does on start.
  void open() {
    std::string program = (fs::read_symlink("/proc/self/exe").parent_path() / "steppe-executor").string();
    auto host = executor::Host::open({base_ + "/run", program, GetParam() ? "steppe-test.slice" : "", false}, clock_);
    ASSERT_TRUE(host.ok()) << host.error().message();
    if (GetParam() && (*host)->cgroup_parent() == nullptr) GTEST_SKIP() << (*host)->limits_missing();
    Options options;
    options.enabled = true;
    options.denied_envvars = {"SECRET*"};
    driver_ = make_driver(*host, options);
  }
  drivers::TaskConfig shell(const std::string& id, const std::string& script) {
    drivers::TaskConfig out;
    out.id = id;
    out.alloc_id = "alloc";
    out.task = "web";
    out.env = {"PATH=/usr/bin:/bin", "A=1", "SECRET_KEY=x"};
    out.config = {{"command", "sh"}, {"args", ConfigList{"-c", script}}};
    fs::create_directories(base_ + "/" + id + "/logs");
    fs::create_directories(base_ + "/" + id + "/task");
    out.task_dir_path = base_ + "/" + id + "/task";
    out.task_dir = path_fd(out.task_dir_path);
    out.log_dir = path_fd(base_ + "/" + id + "/logs");
    return out;
  }
  drivers::ExitResult wait(drivers::Task& task) {
    pollfd one = {task.wait_fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&one, 1, 30'000), 1) << "the task did not end";
    auto result = task.reap();
    EXPECT_TRUE(result.ok());
    return result.ok() ? *result : drivers::ExitResult{};
  }
  std::string file(const std::string& id, int index = 0) {
    std::ifstream in(std::format("{}/{}/logs/web.stdout.{}", base_, id, index));
    return {std::istreambuf_iterator<char>(in), {}};
  }

  TestClock clock_;
  std::string base_;
  std::unique_ptr<drivers::Driver> driver_;
};

INSTANTIATE_TEST_SUITE_P(Kill, RawExec, ::testing::Bool(), [](const auto& info) { return info.param ? "cgroup" : "descendants"; });

TEST_P(RawExec, runs_in_its_directory_with_its_environment) {
  auto task = driver_->start(shell("a", "pwd; echo $A$SECRET_KEY; exit 5"));
  ASSERT_TRUE(task.ok()) << task.error().message();
  EXPECT_EQ(wait(**task).code, 5);
  EXPECT_EQ(file("a"), base_ + "/a/task\n1\n");
  ASSERT_TRUE((*task)->destroy().ok());
}

TEST_P(RawExec, config_is_checked) {
  struct Case {
    ConfigMap config;
    const char* error;
  };
  const Case cases[] = {{{}, "\"command\": is required"},
                        {{{"command", "x"}, {"arg", "y"}}, "\"arg\" is not known"},
                        {{{"command", "x"}, {"oom_score_adj", -5}}, "\"oom_score_adj\": must be 0 to 1000"}};
  for (const Case& c : cases) {
    auto result = driver_->validate(c.config);
    ASSERT_FALSE(result.ok());
    EXPECT_NE(result.error().message().find(c.error), std::string::npos) << result.error().message();
  }
  auto disabled = make_driver(nullptr, Options());
  EXPECT_EQ(disabled->start({}).error().code(), Code::kDenied);
  EXPECT_EQ(disabled->fingerprint().health, drivers::Health::kUndetected);
}

TEST_P(RawExec, kill_takes_the_whole_family) {
  std::string mark = std::to_string(::getpid()) + (GetParam() ? "1" : "2");
  auto task = driver_->start(shell("fam", std::format("setsid sh -c '(sleep 77{} &) ; sleep 77{}' & sleep 77{}; wait", mark, mark, mark)));
  ASSERT_TRUE(task.ok());
  auto count = [&] {
    int n = 0;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      std::ifstream in(entry.path() / "cmdline");
      std::string text{std::istreambuf_iterator<char>(in), {}};
      n += text.starts_with("sleep") && text.find("77" + mark) != std::string::npos;
    }
    return n;
  };
  while (count() < 3) ::sched_yield();
  ASSERT_TRUE((*task)->kill().ok());
  EXPECT_EQ(wait(**task).signal, SIGKILL);
  EXPECT_EQ(count(), 0);
  ASSERT_TRUE((*task)->destroy().ok());
}

TEST_P(RawExec, what_stays_behind_dies_with_the_task) {
  auto task = driver_->start(shell("behind", "(trap '' TERM HUP; sleep 1000) & echo $!; exit 2"));
  ASSERT_TRUE(task.ok());
  EXPECT_EQ(wait(**task).code, 2);
  pid_t pid = std::atoi(file("behind").c_str());
  ASSERT_GT(pid, 1);
  EXPECT_EQ(::kill(pid, 0), -1);
  ASSERT_TRUE((*task)->destroy().ok());
}

TEST_P(RawExec, an_executor_that_is_killed_takes_its_task_along) {
  auto task = driver_->start(shell("orphan", "exec sleep 1000"));
  ASSERT_TRUE(task.ok());
  int pid = (*task)->handle().task_pid;
  auto process = kernel::Process::open(pid);
  ASSERT_TRUE(process.ok());
  ASSERT_EQ(::kill((*task)->handle().executor_pid, SIGKILL), 0);
  auto result = wait(**task);
  EXPECT_EQ(result.error, "the task's executor died without a record");
  EXPECT_FALSE(result.success());
  EXPECT_TRUE(*process->wait(std::chrono::seconds(20)));
  ASSERT_TRUE((*task)->destroy().ok());
}

TEST_P(RawExec, rotation_keeps_every_line_in_order) {
  auto config = shell("rot", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done");
  config.logs.max_file_size = Bytes::kib(1);
  config.logs.max_files = 1000;
  auto task = driver_->start(std::move(config));
  ASSERT_TRUE(task.ok());
  EXPECT_EQ(wait(**task).code, 0);
  std::string all, expected;
  int files = 0;
  for (; fs::exists(std::format("{}/rot/logs/web.stdout.{}", base_, files)); ++files) {
    std::string text = file("rot", files);
    EXPECT_LE(text.size(), 1024u);
    all += text;
  }
  for (int i = 0; i < 3000; ++i) expected += std::format("line {}\n", i);
  EXPECT_EQ(all, expected);
  EXPECT_GT(files, 25);
  ASSERT_TRUE((*task)->destroy().ok());
}

TEST_P(RawExec, rotation_removes_the_oldest_and_trusts_no_name) {
  auto config = shell("host", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done");
  config.logs.max_file_size = Bytes::kib(1);
  config.logs.max_files = 3;
  std::string logs = base_ + "/host/logs/";
  std::ofstream(base_ + "/victim") << "untouched";
  fs::create_symlink(base_ + "/victim", logs + "web.stdout.1");
  ASSERT_EQ(::mkfifo((logs + "web.stdout.2").c_str(), 0666), 0);
  fs::create_hard_link(base_ + "/victim", logs + "web.stdout.3");
  auto task = driver_->start(std::move(config));
  ASSERT_TRUE(task.ok()) << task.error().message();
  EXPECT_EQ(wait(**task).code, 0);
  std::ifstream in(base_ + "/victim");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "untouched");
  int files = 0;
  for (const auto& entry : fs::directory_iterator(logs)) files += entry.path().filename().string().starts_with("web.stdout.");
  EXPECT_EQ(files, 3);
  ASSERT_TRUE((*task)->destroy().ok());
}

constexpr int kTasks = 6;
constexpr int kLines = 40;

std::string counting_script(int task) {
  return std::format("i=0; while [ $i -lt {} ]; do echo {}:$i; i=$((i+1)); done; exit {}", kLines, task, 10 + task);
}

// The agent dies by kill -9 at a random moment, many of them inside start(). The next one finds every task that was
// begun, each line once and in order, and every exit code.
TEST_P(RawExec, survives_kill_9_of_the_agent) {
  SeededRng rng(20261121);
  // How long the starts take here and now decides where the moments fall, not what is promised: the span in which they
  // are drawn follows what the last round met.
  uint64_t span = 2'000'000;
  int found = 0, never_started = 0;
  for (int round = 0; round < 25 || (round < 400 && (found <= 20 || never_started <= 5)); ++round) {
    int found_before = found;
    auto id = [&](int i) { return std::format("r{}t{}", round, i); };
    std::vector<drivers::TaskConfig> configs;
    for (int i = 0; i < kTasks; ++i) configs.push_back(shell(id(i), counting_script(i)));
    pid_t agent = ::fork();
    if (agent == 0) {
      for (auto& config : configs) (void)driver_->start(std::move(config));
      for (;;) ::pause();
    }
    timespec moment = {0, static_cast<long>(rng.below(span))};
    ::nanosleep(&moment, nullptr);
    ::kill(agent, SIGKILL);
    ::waitpid(agent, nullptr, 0);
    open();
    for (int i = 0; i < kTasks; ++i) {
      auto task = driver_->recover_attempt(id(i));
      if (!task.ok()) {
        ASSERT_EQ(task.error().code(), Code::kNotFound) << task.error().message();
        EXPECT_EQ(file(id(i)), "") << "a task ran and was forgotten";
        ++never_started;
        continue;
      }
      ++found;
      EXPECT_EQ(wait(**task).code, 10 + i);
      std::string expected;
      for (int line = 0; line < kLines; ++line) expected += std::format("{}:{}\n", i, line);
      EXPECT_EQ(file(id(i)), expected);
      EXPECT_TRUE((*task)->destroy().ok());
    }
    if (found == found_before) span = std::min<uint64_t>(span * 5 / 4, 900'000'000);
    if (found == found_before + kTasks) span = span * 4 / 5;
  }
  EXPECT_GT(found, 20);
  EXPECT_GT(never_started, 5) << "no agent died inside start, so this test showed less than it promises";
}

TEST_P(RawExec, stats_and_profile) {
  auto task = driver_->start(shell("st", "sleep 1000 & exec sleep 1000"));
  ASSERT_TRUE(task.ok());
  auto stats = (*task)->stats();
  // The kernel counts a young process's pages on each CPU for itself and adds them up later.
  while (stats.ok() && stats->memory_rss->count == 0) stats = (::sched_yield(), (*task)->stats());
  ASSERT_TRUE(stats.ok());
  EXPECT_GE(stats->pids.size(), 1u);
  ASSERT_TRUE((*task)->destroy().ok());
  EXPECT_EQ((*task)->stats().error().code(), Code::kNotFound);
}

// The promise of the design: at most 128 KiB of memory that is the executor's alone.
TEST_P(RawExec, executor_is_small) {
  auto task = driver_->start(shell("small", "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done; exec sleep 1000"));
  ASSERT_TRUE(task.ok());
  while (file("small").find("4999\n") == std::string::npos) ::sched_yield();
  std::ifstream in(std::format("/proc/{}/smaps_rollup", (*task)->handle().executor_pid));
  int private_kib = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("Private_")) private_kib += std::atoi(line.substr(line.find(':') + 1).c_str());
  }
  RecordProperty("executor_private_kib", private_kib);
  EXPECT_GT(private_kib, 0);
  EXPECT_LE(private_kib, 128);
  ASSERT_TRUE((*task)->destroy().ok());
}

}  // namespace
}  // namespace steppe::raw_exec
