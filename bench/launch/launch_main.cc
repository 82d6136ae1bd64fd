// Task launch beside its floors and peers: the same /usr/bin/true in the same kind of root, five interleaved rounds.
//   launch-bench [--launches N] [--json FILE]
// Ours is timed from Driver::start to the readable exit; the others from spawn to their exit.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <format>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "drivers/exec/exec_driver.h"
#include "drivers/isolate/system_filter.h"
#include "init/base/text.h"
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
  explicit Ours(std::string base, const std::string& programs) : base_(std::move(base)) {
    auto host = executor::Host::open({base_ + "/run", programs + "/steppe-executor", "steppe-bench.slice", false}, g_clock);
    if (!host.ok()) die(host.error().message());
    driver_ = exec::make_driver(*host, {});
    auto health = driver_->fingerprint();
    if (health.health != drivers::Health::kHealthy) die(health.description);
    std::printf("exec driver: %s\n", health.description.c_str());
    for (const char* below : {"/alloc/logs", "/web/local", "/web/secrets", "/web/tmp"}) fs::create_directories(base_ + below);
  }
  double launch() {
    drivers::TaskConfig config;
    config.id = std::format("bench{}", next_++);
    config.alloc_id = "bench";
    config.task = "web";
    config.env = {"PATH=/usr/bin:/bin"};
    config.config = {{"command", "/usr/bin/true"}};
    config.task_dir = directory(base_ + "/web");
    config.alloc_dir = directory(base_ + "/alloc");
    config.log_dir = directory(base_ + "/alloc/logs");
    config.local_dir = directory(base_ + "/web/local");
    config.secrets_dir = directory(base_ + "/web/secrets");
    config.tmp_dir = directory(base_ + "/web/tmp");
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
  std::string base_;
  std::unique_ptr<drivers::Driver> driver_;
  int next_ = 0;
};

void make_root_directory(const std::string& root) {
  for (const char* below : {"usr", "etc", "dev", "proc", "sys", "tmp", "local", "secrets", "alloc"}) fs::create_directories(root + "/" + below);
  for (const char* link : {"bin", "lib", "lib64", "sbin"}) {
    if (fs::is_symlink(std::string("/") + link)) fs::create_symlink(fs::read_symlink(std::string("/") + link), root + "/" + link);
  }
}

void write_crun_bundle(const std::string& bundle) {
  make_root_directory(bundle + "/rootfs");
  std::ofstream(bundle + "/config.json") << R"({"ociVersion":"1.0.0","process":{"terminal":false,"user":{"uid":65534,"gid":65534},
"args":["/usr/bin/true"],"env":["PATH=/usr/bin:/bin"],"cwd":"/","noNewPrivileges":true},"root":{"path":"rootfs","readonly":true},
"mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","mode=755"]},
{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance"]},{"destination":"/tmp","type":"tmpfs","source":"tmpfs"},
{"destination":"/usr","type":"bind","source":"/usr","options":["bind","ro"]},{"destination":"/etc","type":"bind","source":"/etc","options":["bind","ro"]}],
"linux":{"namespaces":[{"type":"pid"},{"type":"ipc"},{"type":"uts"},{"type":"mount"}]}})";
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct Contender {
  const char* name;
  int share;  // launches divided by this: the slow ones run fewer
  std::function<double()> launch;
  std::vector<double> medians = {};
};

bool exists(const char* program) { return fs::exists(std::string("/usr/bin/") + program); }

}  // namespace

int main(int argc, char** argv) {
  int launches = 100;
  std::string json;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string flag = argv[i];
    if (flag == "--launches") launches = std::atoi(argv[i + 1]);
    else if (flag == "--json") json = argv[i + 1];
    else die("usage: launch-bench [--launches N] [--json FILE]");
  }
  if (::geteuid() != 0) die("needs root");
  // crun wants cgroup v2 at its usual place; in a mount namespace of our own it can have it on a hybrid host too.
  if (fs::exists("/sys/fs/cgroup/unified") && ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0) {
    (void)::mount("/sys/fs/cgroup/unified", "/sys/fs/cgroup", nullptr, MS_BIND, nullptr);
  }
  char name[] = "/tmp/steppe-launch-XXXXXX";
  std::string base = ::mkdtemp(name);
  ::chmod(base.c_str(), 0755);
  std::string programs = fs::read_symlink("/proc/self/exe").parent_path().string();
  make_root_directory(base + "/floor");
  write_crun_bundle(base + "/bundle");
  auto filter = isolate::build_system_filter(isolate::default_capabilities());
  if (!filter.ok()) die(filter.error().message());
  std::ofstream(base + "/filter", std::ios::binary).write(reinterpret_cast<const char*>(filter->data()), static_cast<std::streamsize>(filter->size() * sizeof(sock_filter)));
  Ours ours(base, programs);
  std::string floor = programs + "/launch-floor";
  std::vector<Contender> all;
  all.push_back({"one-process floor", 1, [&] { return one_process({floor, "one", base + "/floor", base + "/filter"}); }});
  all.push_back({"two-process floor", 1, [&] { return spawn_and_wait({floor, "two", base + "/floor", base + "/filter"}); }});
  all.push_back({"steppe exec", 1, [&] { return ours.launch(); }});
  if (exists("bwrap")) {
    all.push_back({"bubblewrap", 4, [&] {
      return spawn_and_wait({"bwrap", "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
                             "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--unshare-pid", "--unshare-ipc",
                             "--unshare-uts", "/usr/bin/true"});
    }});
  }
  int crun_next = 0;
  if (exists("crun")) {
    all.push_back({"crun", 8, [&] {
      return spawn_and_wait({"crun", "--cgroup-manager=disabled", "--root", base + "/crun", "run", "-b", base + "/bundle", std::format("b{}", crun_next++)});
    }});
  }
  std::printf("seccomp program: %zu instructions; %d rounds of %d launches\n", filter->size(), kRounds, launches);
  for (Contender& c : all) c.launch();  // warm
  for (int round = 0; round < kRounds; ++round) {
    for (Contender& c : all) {
      std::vector<double> times;
      for (int i = 0; i < std::max(5, launches / c.share); ++i) times.push_back(c.launch());
      c.medians.push_back(median(times));
    }
  }
  std::map<std::string, double> result;
  for (Contender& c : all) result[c.name] = median(c.medians);
  double own = result["steppe exec"];
  std::printf("%-20s %10s %10s %10s %12s\n", "", "median us", "best", "worst", "us / ours");
  for (Contender& c : all) {
    std::printf("%-20s %10.0f %10.0f %10.0f %12.2f\n", c.name, result[c.name], *std::ranges::min_element(c.medians), *std::ranges::max_element(c.medians), result[c.name] / own);
  }
  std::printf("ours / two-process floor: %.2f (goal <= 1.25)\n", own / result["two-process floor"]);
  if (!json.empty()) {
    std::ofstream out(json);
    out << "{\"bench\":\"launch\",\"unit\":\"us\",\"rounds\":" << kRounds << ",\"launches\":" << launches << ",\"medians\":{";
    for (size_t i = 0; i < all.size(); ++i) out << (i != 0 ? "," : "") << '"' << all[i].name << "\":" << std::format("{:.1f}", result[all[i].name]);
    out << "},\"ours_per_floor\":" << std::format("{:.3f}", own / result["two-process floor"]) << "}\n";
  }
  fs::remove_all(base);
  return 0;
}
