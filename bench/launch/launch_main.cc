// Task launch beside its floors and peers: the same program in the same kind of root, five interleaved rounds. The goals
// are for a program that ends at once (payload_main.cc), so that a C library's loading, the same for all and as long as
// half of our launch, is not counted with the launcher; what /usr/bin/true gives stands below them.
//   launch-bench [--launches N] [--only NAME] [--normal]
// Ours is timed from Driver::start to the readable exit, on an agent that was at rest (Driver::prepare has run); the
// others from spawn to their exit. All run under the same
// SCHED_FIFO priority in short bursts, so that what else the machine does hits nobody; --normal leaves that out.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <format>
#include <functional>
#include <string>
#include <vector>

#include "bench/launch/peers.h"
#include "bench/report/goal.h"
#include "bench/report/priority.h"
#include "drivers/exec/exec_driver.h"
#include "init/sys/kernel/raw.h"

using namespace steppe;
namespace fs = std::filesystem;

namespace {

constexpr int kRounds = 5;

struct SystemClock : Clock {
  MonoTime now() const override {
    timespec t;
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
  }
  WallTime wall() const override {
    timespec t;
    ::clock_gettime(CLOCK_REALTIME, &t);
    return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
  }
};
SystemClock g_clock;

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "launch-bench: %s\n", why.c_str());
  std::exit(1);
}

double spawn_and_wait(const std::vector<std::string>& argv) {
  std::vector<char*> pointers;
  for (const std::string& a : argv) pointers.push_back(const_cast<char*>(a.c_str()));
  pointers.push_back(nullptr);
  char* env[] = {const_cast<char*>("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nullptr};
  int64_t begin = g_clock.now().ns;
  pid_t pid;
  if (::posix_spawnp(&pid, pointers[0], nullptr, nullptr, pointers.data(), env) != 0) die("cannot spawn " + argv[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  int64_t end = g_clock.now().ns;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) die(std::format("{} failed with status {}", argv[0], status));
  return static_cast<double>(end - begin) / 1000;
}

// One process: the sandbox straight from here, with the namespaces made by its clone.
double one_process(const std::vector<std::string>& argv) {
  static char stack[65536] __attribute__((aligned(16)));
  static std::vector<char*> pointers;
  pointers.clear();
  for (const std::string& a : argv) pointers.push_back(const_cast<char*>(a.c_str()));
  pointers.push_back(nullptr);
  kernel::raw::CloneArgs clone;
  clone.flags = CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  clone.exit_signal = SIGCHLD;
  clone.stack = reinterpret_cast<uint64_t>(stack);
  clone.stack_size = sizeof stack;
  int64_t begin = g_clock.now().ns;
  long pid = kernel::raw::clone3(&clone, [](void*) -> int {
    static char* env[] = {nullptr};
    kernel::raw::syscall(__NR_execve, kernel::raw::pointer(pointers[0]), kernel::raw::pointer(pointers.data()), kernel::raw::pointer(env));
    return 127;
  }, nullptr);
  if (pid < 0) die("clone3 failed");
  int status = 0;
  ::waitpid(static_cast<pid_t>(pid), &status, 0);
  int64_t end = g_clock.now().ns;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) die(std::format("one-process floor failed with status {}", status));
  return static_cast<double>(end - begin) / 1000;
}

kernel::Fd directory(const std::string& path) { return kernel::Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }

class Ours {
 public:
  explicit Ours(const bench::Place& place) : place_(place), base_(place.base) {
    auto host = executor::Host::open({base_ + "/run", place.programs + "/steppe-executor", "steppe-bench.slice", false}, g_clock);
    if (!host.ok()) die(host.error().message());
    driver_ = exec::make_driver(*host, {});
    auto health = driver_->fingerprint();
    if (health.health != drivers::Health::kHealthy) die(health.description);
    std::printf("exec driver: %s\n", health.description.c_str());
    for (const char* below : {"/alloc/logs", "/web/local", "/web/secrets", "/web/tmp"}) fs::create_directories(base_ + below);
    fs::copy_file(place.programs + "/launch-payload", base_ + "/web/local/payload");
  }
  double launch() {
    drivers::TaskConfig config;
    config.id = std::format("bench{}", next_++);
    config.alloc_id = "bench";
    config.task = "web";
    config.env = {"PATH=/usr/bin:/bin"};
    config.config = {{"command", place_.program}};
    config.task_dir = directory(base_ + "/web");
    config.alloc_dir = directory(base_ + "/alloc");
    config.log_dir = directory(base_ + "/alloc/logs");
    config.local_dir = directory(base_ + "/web/local");
    config.secrets_dir = directory(base_ + "/web/secrets");
    config.tmp_dir = directory(base_ + "/web/tmp");
    (void)driver_->prepare();  // as the client does while nothing starts
    int64_t begin = g_clock.now().ns;
    auto task = driver_->start(std::move(config));
    if (!task.ok()) die(task.error().message());
    pollfd one = {(*task)->wait_fd(), POLLIN, 0};
    ::poll(&one, 1, 10'000);
    int64_t end = g_clock.now().ns;
    auto result = (*task)->reap();
    if (!result.ok() || !result->success()) die("our task failed");
    (void)(*task)->destroy();
    return static_cast<double>(end - begin) / 1000;
  }

 private:
  const bench::Place& place_;
  std::string base_;
  std::unique_ptr<drivers::Driver> driver_;
  int next_ = 0;
};

// The floor's supervisor makes a cgroup for its sandbox, as our executor's does; it is removed outside the timing.
class Floor {
 public:
  Floor(const bench::Place& place, std::string cgroups) : program_(place.programs + "/launch-floor"), place_(place), cgroup_(std::move(cgroups)) {
    if (!cgroup_.empty()) cgroup_ += "/steppe-floor";
  }
  double one() { return one_process({program_, "one", place_.root, place_.filter, "-", place_.program}); }
  double two() {
    double us = spawn_and_wait({program_, "two", place_.root, place_.filter, cgroup_.empty() ? "-" : cgroup_, place_.program});
    if (!cgroup_.empty()) ::rmdir(cgroup_.c_str());
    return us;
  }

 private:
  std::string program_;
  const bench::Place& place_;
  std::string cgroup_;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Contender {
  std::string name;
  int share;  // launches divided by this: the slow ones run fewer
  std::function<double()> launch;
  std::vector<double> medians = {}, minima = {};

  void round(int launches) {
    std::vector<double> times;
    for (int i = 0; i < std::max(5, launches / share); ++i) times.push_back(launch());
    medians.push_back(median(times));
    minima.push_back(*std::ranges::min_element(times));
    bench::breathe();
  }
  double middle() const { return median(medians); }
  double best() const { return *std::ranges::min_element(minima); }
};

bool exists(const char* program) { return fs::exists(std::string("/usr/bin/") + program); }

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

// crun wants cgroup v2 at its usual place; in a mount namespace of our own it can have it on a hybrid host too.
std::string cgroup_root() {
  bool hybrid = fs::exists("/sys/fs/cgroup/unified");
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) die("cannot make a mount namespace");
  if (hybrid && ::mount("/sys/fs/cgroup/unified", "/sys/fs/cgroup", nullptr, MS_BIND, nullptr) != 0) die("cannot bind cgroup v2");
  return fs::exists("/sys/fs/cgroup/cgroup.procs") ? "/sys/fs/cgroup" : "";
}

// What one program gave, as lines of the report.
class Judge {
 public:
  explicit Judge(const std::vector<Contender>& all) : all_(all) {}

  std::vector<bench::Goal> goals() const {
    std::vector<bench::Goal> out;
    const Contender *ours = find("steppe exec"), *floor = find("two-process floor"), *one = find("one-process floor");
    if (ours == nullptr || floor == nullptr) return out;
    bench::Goal over = bench::at_most("launch over the two-process floor", ours->middle() / floor->middle(), 1.25);
    over.ours = us(*ours);
    over.floor = us(*floor);
    out.push_back(over);
    struct Peer { const char* name; double goal; };
    for (Peer peer : {Peer{"bubblewrap", 2.5}, {"crun", 5.0}}) {
      const Contender* c = find(peer.name);
      bench::Goal goal = bench::at_least(std::format("launch, times faster than {}", peer.name), c != nullptr ? c->middle() / ours->middle() : 0, peer.goal);
      goal.ours = us(*ours);
      goal.peer = c != nullptr ? us(*c) : "not installed";
      out.push_back(goal);
    }
    if (one != nullptr) out.push_back(told("launch over the one-process floor", *ours, *one, false));
    return out;
  }

  // The same figures without goals.
  std::vector<bench::Goal> figures(const std::string& program) const {
    std::vector<bench::Goal> out;
    const Contender* ours = find("steppe exec");
    if (ours == nullptr) return out;
    if (const Contender* floor = find("two-process floor")) out.push_back(told(program + " over the two-process floor", *ours, *floor, false));
    for (const char* peer : {"bubblewrap", "crun"}) {
      if (const Contender* c = find(peer)) out.push_back(told(std::format("{}, times faster than {}", program, peer), *ours, *c, true));
    }
    return out;
  }

 private:
  const Contender* find(std::string_view name) const {
    for (const Contender& c : all_) {
      if (c.name == name) return &c;
    }
    return nullptr;
  }
  static std::string us(const Contender& c) { return std::format("{:.0f} us", c.middle()); }
  static bench::Goal told(std::string name, const Contender& ours, const Contender& other, bool peer) {
    bench::Goal out;
    out.name = std::move(name);
    out.ours = us(ours);
    (peer ? out.peer : out.floor) = us(other);
    out.ratio = std::format("{:.2f}", peer ? other.middle() / ours.middle() : ours.middle() / other.middle());
    return out;
  }
  const std::vector<Contender>& all_;
};

// Everybody who launches place.program, as they are now.
std::vector<Contender> contenders(const bench::Place& place, Ours& ours, Floor& floor) {
  static int bundles = 0, number = 0;
  std::vector<Contender> all;
  all.push_back({"one-process floor", 1, [&] { return floor.one(); }});
  all.push_back({"two-process floor", 1, [&] { return floor.two(); }});
  all.push_back({"steppe exec", 1, [&] { return ours.launch(); }});
  if (exists("bwrap")) {
    int filter = ::open(place.filter.c_str(), O_RDONLY);
    auto command = bench::bubblewrap_command(place, filter);
    std::printf("bubblewrap: %s\n", join(command).c_str());
    all.push_back({"bubblewrap", 2, [filter, command] {
      ::lseek(filter, 0, SEEK_SET);
      return spawn_and_wait(command);
    }});
  }
  if (exists("crun")) {
    for (bool network : {false, true}) {
      std::string bundle = std::format("{}/bundle{}", place.base, bundles++);
      if (auto why = bench::write_bundle(place, bundle, network)) die(*why);
      std::printf("crun: %s\n", join(bench::crun_command(bundle, 0)).c_str());
      all.push_back({network ? "crun with a network" : "crun", network ? 10 : 4, [bundle] { return spawn_and_wait(bench::crun_command(bundle, number++)); }});
    }
  }
  return all;
}

void measure(const std::string& program, std::vector<Contender>& all, int launches, bool fifo) {
  if (fifo) fifo = bench::run_ahead();
  std::printf("%s: %d rounds of up to %d launches, %s\n", program.c_str(), kRounds, launches, fifo ? "all under SCHED_FIFO" : "all under the ordinary scheduler");
  for (Contender& c : all) c.launch();  // warm
  for (int round = 0; round < kRounds; ++round) {
    for (Contender& c : all) c.round(launches);
  }
  bench::run_ordinarily();
  std::printf("%-20s %10s %10s %10s %10s\n", "", "median us", "lowest", "highest", "minimum");
  for (Contender& c : all) {
    std::printf("%-20s %10.0f %10.0f %10.0f %10.0f\n", c.name.c_str(), c.middle(), *std::ranges::min_element(c.medians), *std::ranges::max_element(c.medians), c.best());
  }
}

}  // namespace

int main(int argc, char** argv) {
  int launches = 100;
  bool fifo = true;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    std::string flag = argv[i];
    if (flag == "--normal") fifo = false;
    else if (flag == "--launches" && i + 1 < argc) launches = std::atoi(argv[++i]);
    else if (flag == "--only" && i + 1 < argc) only = argv[++i];
    else die("usage: launch-bench [--launches N] [--only NAME] [--normal]");
  }
  if (::geteuid() != 0) die("needs root");
  std::string programs = fs::read_symlink("/proc/self/exe").parent_path().string();  // before its mount is left behind
  std::string cgroups = cgroup_root();
  bench::Place place = bench::make_place(programs);
  Ours ours(place);
  Floor floor(place, cgroups);
  std::vector<bench::Goal> goals;
  for (const char* program : {"/local/payload", "/usr/bin/true"}) {
    place.program = program;
    std::vector<Contender> all = contenders(place, ours, floor);
    if (!only.empty()) std::erase_if(all, [&](const Contender& c) { return only != c.name; });
    measure(program, all, launches, fifo);
    auto lines = goals.empty() ? Judge(all).goals() : Judge(all).figures(program);
    goals.insert(goals.end(), lines.begin(), lines.end());
  }
  fs::remove_all(place.base);
  return bench::report("launch", goals) ? 0 : 1;
}
