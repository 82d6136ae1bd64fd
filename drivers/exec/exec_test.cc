#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <format>
#include <map>
#include <set>

#include "drivers/exec/exec_driver.h"
#include "drivers/isolate/system_filter.h"
#include "drivers/isolate/task_root.h"
#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/process.h"

namespace steppe::exec {
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

std::string executor_program() {
  return (fs::read_symlink("/proc/self/exe").parent_path() / "steppe-executor").string();
}

Fd path_fd(const std::string& path) { return Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }

class Exec : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "the exec driver needs root";
    char name[] = "/tmp/steppe-exec-XXXXXX";
    base_ = ::mkdtemp(name);
    ::chmod(base_.c_str(), 0755);
    open(Options());
  }
  void TearDown() override {
    end_tasks();
    if (!base_.empty()) fs::remove_all(base_);
  }
  void end_tasks() {
    for (auto& task : tasks_) (void)task->destroy();
    tasks_.clear();
    driver_.reset();
  }
  void open(Options options) {
    auto host = executor::Host::open({base_ + "/run", executor_program(), "steppe-test.slice", false}, clock_);
    ASSERT_TRUE(host.ok()) << host.error().message();
    host_ = *host;
    driver_ = make_driver(host_, std::move(options));
    ASSERT_EQ(driver_->fingerprint().health, drivers::Health::kHealthy) << driver_->fingerprint().description;
  }
  drivers::TaskConfig config(const std::string& id, ConfigMap map) {
    drivers::TaskConfig out;
    out.id = id;
    out.alloc_id = "0a1b2c3d-0000-0000-0000-000000000000";
    out.task = "web";
    out.env = {"PATH=/usr/bin:/bin", "GREETING=hello"};
    out.config = std::move(map);
    std::string alloc = base_ + "/" + id;
    for (const char* dir : {"/alloc", "/alloc/logs", "/web/local", "/web/secrets", "/web/tmp"}) {
      fs::create_directories(alloc + dir);
      ::chmod((alloc + dir).c_str(), 0777);
    }
    out.task_dir_path = alloc + "/web";
    out.alloc_dir_path = alloc + "/alloc";
    out.task_dir = path_fd(out.task_dir_path);
    out.alloc_dir = path_fd(out.alloc_dir_path);
    out.log_dir = path_fd(alloc + "/alloc/logs");
    out.local_dir = path_fd(alloc + "/web/local");
    out.secrets_dir = path_fd(alloc + "/web/secrets");
    out.tmp_dir = path_fd(alloc + "/web/tmp");
    return out;
  }
  drivers::TaskConfig shell(const std::string& id, const std::string& script) {
    return config(id, {{"command", "/bin/sh"}, {"args", ConfigList{"-c", script}}});
  }
  drivers::Task* start(drivers::TaskConfig config) {
    auto task = driver_->start(std::move(config));
    EXPECT_TRUE(task.ok()) << task.error().message();
    if (!task.ok()) return nullptr;
    tasks_.push_back(std::move(*task));
    return tasks_.back().get();
  }
  drivers::ExitResult wait(drivers::Task* task) {
    if (task == nullptr) return {};
    pollfd one = {task->wait_fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&one, 1, 30'000), 1) << "the task did not end";
    auto result = task->reap();
    EXPECT_TRUE(result.ok()) << result.error().message();
    return result.ok() ? *result : drivers::ExitResult{};
  }
  std::string log(const std::string& id, const std::string& stream = "stdout", int index = 0) {
    std::ifstream in(base_ + "/" + id + "/alloc/logs/web." + stream + "." + std::to_string(index));
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string output(const std::string& id, const std::string& script) {
    auto result = wait(start(shell(id, script)));
    EXPECT_TRUE(result.success()) << "exit " << result.code << " " << result.error << " " << log(id, "stderr");
    return log(id);
  }

  TestClock clock_;
  std::string base_;
  std::shared_ptr<const executor::Host> host_;
  std::unique_ptr<drivers::Driver> driver_;
  std::vector<std::unique_ptr<drivers::Task>> tasks_;
};

TEST_F(Exec, runs_and_tells_the_exit_code) {
  auto* task = start(shell("a", "echo out; echo err >&2; exit 7"));
  ASSERT_NE(task, nullptr);
  auto result = wait(task);
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(log("a"), "out\n");
  EXPECT_EQ(log("a", "stderr"), "err\n");
  ASSERT_TRUE(task->destroy().ok());
  EXPECT_FALSE(fs::exists(base_ + "/run/a"));
  EXPECT_TRUE(task->destroy().ok());
}

// What a task sees, item by item. Each line is one promise.
const char* const kGolden = R"(fds 0 1 2
caps CapInh:0000000000000000 CapPrm:0000000000000000 CapEff:0000000000000000 CapBnd:00000000a80425fb-x CapAmb:0000000000000000
seccomp Seccomp:2 NoNewPrivs:1
ids 65534 65534 groups
env GREETING=hello PATH=/usr/bin:/bin
pid 1
root alloc bin dev etc lib local proc secrets tmp usr
dev fd full null ptmx pts random shm stderr stdin stdout tty urandom zero
)";

std::string listing_script() {
  return "echo fds $(ls /proc/self/fd | grep -v '^3$');"
         "echo caps $(grep ^Cap /proc/self/status | tr -d '\\t');"
         "echo seccomp $(grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status | tr -d '\\t' | sort -r);"
         "echo ids $(id -u) $(id -g) groups $(grep ^Groups: /proc/self/status | cut -f2);"
         "echo env $(env | grep -vE '^(_|PWD|SHLVL|OLDPWD)=' | sort);"
         "echo pid $$;"
         "echo root $(ls / | grep -xE 'alloc|bin|dev|etc|home|lib|local|proc|root|secrets|src|tmp|usr|var');"
         "echo dev $(ls /dev | grep -v core)";
}

std::string expected_listing() {
  std::string out = kGolden;
  std::string bounding = std::format("{:016x}", isolate::default_capabilities());
  out.replace(out.find("00000000a80425fb-x"), 18, bounding);
  return out;
}

TEST_F(Exec, golden_listing) {
  EXPECT_EQ(isolate::default_capabilities(), 0xa80405fbu);
  EXPECT_EQ(output("golden", listing_script()), expected_listing());
}

TEST_F(Exec, golden_listing_notices_what_is_taken_out) {
  Options mutants[3];
  mutants[0].mutations.no_seccomp = true;
  mutants[1].mutations.no_namespaces = true;
  mutants[2].mutations.no_pivot = true;
  for (int i = 0; i < 3; ++i) {
    open(mutants[i]);
    std::string id = "mutant" + std::to_string(i);
    wait(start(shell(id, listing_script())));
    EXPECT_NE(log(id), expected_listing()) << i;
    EXPECT_NE(log(id), "") << i;
  }
}

TEST_F(Exec, namespaces_and_mounts) {
  std::string text = output("ns", "for n in mnt pid ipc uts; do readlink /proc/self/ns/$n; done; cat /proc/self/mountinfo");
  std::string own;
  for (const char* name : {"mnt", "pid", "ipc", "uts"}) {
    std::string host = fs::read_symlink(std::string("/proc/self/ns/") + name).string();
    EXPECT_EQ(text.find(host), std::string::npos) << name;
  }
  std::set<std::string> targets;
  for (std::string_view line : split(text, '\n')) {
    auto word = split(line, ' ');
    if (word.size() < 10) continue;
    std::string target(word[4]), flags(word[5]);
    targets.insert(target);
    bool writable = flags.starts_with("rw");
    std::set<std::string> may_write = {"/proc", "/dev/pts", "/dev/shm", "/local", "/secrets", "/tmp", "/alloc"};
    EXPECT_TRUE(!writable || may_write.contains(target)) << line;
    EXPECT_NE(flags.find("nosuid"), std::string::npos) << line;
    if (target != "/dev" && target != "/dev/pts" && !target.starts_with("/proc/")) EXPECT_NE(flags.find("nodev"), std::string::npos) << line;
  }
  for (const char* target : {"/", "/usr", "/etc", "/dev", "/proc", "/proc/sys", "/local", "/secrets", "/tmp", "/alloc"}) {
    EXPECT_TRUE(targets.contains(target)) << target;
  }
  EXPECT_EQ(text.find(base_ + "/run"), std::string::npos);
}

TEST_F(Exec, directories_are_shared_as_promised) {
  output("dirs", "echo local > /local/l; echo secret > /secrets/s; echo alloc > /alloc/a; echo tmp > /tmp/t; echo shm > /dev/shm/x; cat /local/l");
  EXPECT_TRUE(fs::exists(base_ + "/dirs/web/local/l"));
  EXPECT_TRUE(fs::exists(base_ + "/dirs/web/secrets/s"));
  EXPECT_TRUE(fs::exists(base_ + "/dirs/alloc/a"));
  EXPECT_TRUE(fs::exists(base_ + "/dirs/web/tmp/t"));
  for (const char* target : {"/x", "/usr/x", "/etc/x", "/dev/x", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/x"}) {
    auto root = shell(std::string("ro") + std::to_string(std::hash<std::string>()(target)), std::format("echo x > {} 2>/dev/null && exit 3; exit 0", target));
    root.user = "root";
    EXPECT_EQ(wait(start(std::move(root))).code, 0) << target;
  }
}

struct Escape {
  const char* name;
  const char* script;  // exit 0: it worked
};

// Each runs as root inside the task.
const Escape kEscapes[] = {
    {"mount", "mount -t tmpfs x /tmp"},
    {"user namespace", "unshare -U true"},
    {"new mount namespace", "unshare -m true"},
    {"host name", "hostname pwned"},
    {"kernel log", "dmesg"},
    {"device node", "mknod /local/sda b 8 0 && cat /local/sda"},
    {"core pattern", "echo '|/x' > /proc/sys/kernel/core_pattern"},
    {"kcore", "test $(head -c 4 /proc/kcore | wc -c) = 4"},
    {"keys", "test $(cat /proc/keys | wc -c) -gt 0"},
    {"host process", "kill -0 $(( $(cat /proc/sys/kernel/pid_max) - 1 )) || test -d /proc/2"},
    {"parent root", "chroot /proc/1/root/../../.. test -d /work"},
    {"the host's /root", "ls /root || ls /home"},
    {"suid", "cp /bin/sh /local/sh && chmod u+s /local/sh && grep -q ' /local .*[ ,]suid' /proc/self/mounts"},
};

TEST_F(Exec, escapes_fail) {
  int n = 0;
  for (const Escape& escape : kEscapes) {
    auto attempt = shell("esc" + std::to_string(n++), escape.script);
    attempt.user = "root";
    auto result = wait(start(std::move(attempt)));
    EXPECT_NE(result.code, 0) << escape.name;
    EXPECT_EQ(result.error, "") << escape.name;
  }
}

TEST_F(Exec, users) {
  auto root = shell("root", "id -u; grep CapEff /proc/self/status | cut -f2");
  root.user = "root";
  wait(start(std::move(root)));
  EXPECT_EQ(log("root"), std::format("0\n{:016x}\n", isolate::default_capabilities()));
  auto numeric = shell("num", "id -u; id -g");
  numeric.user = "1234:4321";
  wait(start(std::move(numeric)));
  EXPECT_EQ(log("num"), "1234\n4321\n");
  for (const char* bad : {"no-such-user", "4294967296", "2147483648", "0:no-such-group"}) {
    auto config = shell("bad", "true");
    config.user = bad;
    auto task = driver_->start(std::move(config));
    ASSERT_FALSE(task.ok()) << bad;
    EXPECT_EQ(task.error().code(), Code::kInvalid) << task.error().message();
    EXPECT_FALSE(fs::exists(base_ + "/run/bad")) << "nothing stays behind";
  }
}

TEST_F(Exec, capabilities) {
  auto added = config("cap", {{"command", "/bin/sh"}, {"args", ConfigList{"-c", "grep -E 'Cap(Eff|Bnd|Amb)' /proc/self/status | cut -f2"}},
                              {"cap_drop", ConfigList{"all"}}, {"cap_add", ConfigList{"net_bind_service"}}});
  wait(start(std::move(added)));
  EXPECT_EQ(log("cap"), "0000000000000400\n0000000000000400\n0000000000000400\n");
  EXPECT_FALSE(driver_->validate({{"command", "x"}, {"cap_add", ConfigList{"sys_admin"}}}).ok());
  EXPECT_FALSE(driver_->validate({{"command", "x"}, {"cap_add", ConfigList{"nonsense"}}}).ok());
  EXPECT_FALSE(driver_->validate({{"command", "x"}, {"pid_mode", "hots"}}).ok());
  EXPECT_FALSE(driver_->validate({{"command", "x"}, {"work_dir", "relative"}}).ok());
  EXPECT_TRUE(driver_->validate({{"command", "x"}, {"pid_mode", "host"}, {"ipc_mode", "host"}}).ok());
}

TEST_F(Exec, errors_say_what_and_leave_nothing) {
  auto missing = driver_->start(config("missing", {{"command", "/no/such"}}));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message(), "start task web: execute /no/such: No such file or directory");
  auto where = driver_->start(config("where", {{"command", "true"}, {"work_dir", "/nowhere"}}));
  ASSERT_FALSE(where.ok());
  EXPECT_EQ(where.error().message(), "start task web: enter work_dir /nowhere: No such file or directory");
  EXPECT_FALSE(fs::exists(base_ + "/run/missing"));
  // A link in the task directory where the root needs a directory.
  auto hostile = config("hostile", {{"command", "true"}});
  fs::create_symlink("/etc", base_ + "/hostile/web/proc");
  auto task = driver_->start(std::move(hostile));
  ASSERT_FALSE(task.ok());
  EXPECT_EQ(task.error().code(), Code::kDenied) << task.error().message();
}

TEST_F(Exec, stop_signal_and_kill) {
  auto* polite = start(shell("polite", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"));
  while (log("polite").empty()) ::sched_yield();
  ASSERT_TRUE(polite->stop(SIGTERM, std::chrono::seconds(20)).ok());
  EXPECT_EQ(wait(polite).code, 3);
  EXPECT_EQ(log("polite"), "ready\nbye\n");
  EXPECT_TRUE(polite->stop(SIGTERM, std::chrono::seconds(1)).ok()) << "stopping what has ended is fine";
  EXPECT_EQ(polite->signal(SIGTERM).error().code(), Code::kNotFound);

  auto* stubborn = start(shell("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.05; done"));
  while (log("stubborn").empty()) ::sched_yield();
  ASSERT_TRUE(stubborn->stop(SIGTERM, std::chrono::milliseconds(100)).ok());
  auto result = wait(stubborn);
  EXPECT_EQ(result.signal, SIGKILL);
  EXPECT_EQ(result.code, 137);

  auto* family = start(shell("family", "(sleep 1000 & sleep 1000 & setsid sleep 1000 &) ; echo ready; sleep 1000"));
  while (log("family").empty()) ::sched_yield();
  ASSERT_TRUE(family->kill().ok());
  EXPECT_EQ(wait(family).signal, SIGKILL);
}

TEST_F(Exec, recovers_after_the_agent_forgot) {
  auto* task = start(shell("rec", "exec sleep 1000"));
  ASSERT_NE(task, nullptr);
  (void)task;
  std::string bytes = task->handle().encode();
  tasks_.clear();  // letting go changes nothing
  driver_.reset();
  open(Options());
  auto handle = drivers::TaskHandle::decode(as_bytes(bytes));
  ASSERT_TRUE(handle.ok());
  auto again = driver_->recover(*handle);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ((*again)->reap().error().code(), Code::kUnavailable);
  EXPECT_EQ(driver_->start(shell("rec", "true")).error().code(), Code::kExists);
  ASSERT_TRUE((*again)->kill().ok());
  EXPECT_EQ(wait(again->get()).signal, SIGKILL);
  auto third = driver_->recover_attempt("rec");
  ASSERT_TRUE(third.ok()) << "an ended task keeps its result until it is destroyed";
  EXPECT_EQ((*third)->reap()->signal, SIGKILL);
  ASSERT_TRUE((*third)->destroy().ok());
  EXPECT_EQ(driver_->recover_attempt("rec").error().code(), Code::kNotFound);
  EXPECT_EQ(driver_->recover_attempt("../rec").error().code(), Code::kInvalid);
}

TEST_F(Exec, exec_session) {
  auto* task = start(shell("sess", "echo ready; sleep 1000"));
  while (log("sess").empty()) ::sched_yield();
  auto session = task->exec({{"/bin/sh", "-c", "cat; echo $GREETING; id -u; ls /proc | grep -c '^[0-9]'; grep Seccomp: /proc/self/status | cut -f2; exit 4"}, {}, false});
  ASSERT_TRUE(session.ok()) << session.error().message();
  ASSERT_EQ(::write((*session)->stdin_fd(), "typed\n", 6), 6);
  (*session)->close_stdin();
  std::string text;
  char buffer[1024];
  for (;;) {
    pollfd one = {(*session)->stdout_fd(), POLLIN, 0};
    ASSERT_EQ(::poll(&one, 1, 20'000), 1);
    ssize_t n = ::read((*session)->stdout_fd(), buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_TRUE(text.starts_with("typed\nhello\n65534\n")) << text;
  EXPECT_TRUE(text.ends_with("\n2\n")) << text;
  pollfd one = {(*session)->wait_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&one, 1, 20'000), 1);
  EXPECT_EQ((*session)->reap()->code, 4);

  auto terminal = task->exec({{"/bin/sh", "-c", "tty; stty size"}, {}, true, 33, 99});
  ASSERT_TRUE(terminal.ok()) << terminal.error().message();
  text.clear();
  for (;;) {
    pollfd tty = {(*terminal)->terminal(), POLLIN, 0};
    ASSERT_EQ(::poll(&tty, 1, 20'000), 1);
    ssize_t n = ::read((*terminal)->terminal(), buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
  }
  EXPECT_EQ(text, "/dev/pts/0\r\n33 99\r\n");
}

TEST_F(Exec, volumes_and_devices) {
  auto config = shell("vol", "cat /data/deep/file; echo x > /data/deep/y 2>/dev/null || echo readonly; ls -l /dev/zero2 | cut -c1; head -c 2 /dev/zero2 | wc -c");
  fs::create_directories(base_ + "/volume");
  std::ofstream(base_ + "/volume/file") << "content\n";
  config.mounts.push_back({path_fd(base_ + "/volume"), "/data/deep", true});
  config.devices.push_back({"/dev/zero", "/dev/zero2"});
  auto result = wait(start(std::move(config)));
  EXPECT_EQ(result.code, 0) << log("vol", "stderr");
  EXPECT_EQ(log("vol"), "content\nreadonly\nc\n2\n");
}

// Under systemd, and under PID 1 of an image, every mount is shared.
TEST_F(Exec, starts_where_the_hosts_mounts_are_shared) {
  driver_.reset();
  ASSERT_EQ(::mount("tmpfs", base_.c_str(), "tmpfs", 0, "mode=755"), 0);
  ASSERT_EQ(::mount(nullptr, base_.c_str(), nullptr, MS_SHARED, nullptr), 0);
  fs::create_directories(base_ + "/shown/below");
  ASSERT_EQ(::mount("tmpfs", (base_ + "/shown/below").c_str(), "tmpfs", 0, "mode=755"), 0);
  Options options;
  options.chroot_env = isolate::default_chroot_env();
  options.chroot_env[base_ + "/shown"] = "/shown";
  open(std::move(options));
  auto wanted = config("a", {{"command", "/bin/sh"}, {"args", ConfigList{"-c", "cat /proc/self/mountinfo >/local/out"}}});
  EXPECT_TRUE(wait(start(std::move(wanted))).success());
  std::ifstream in(base_ + "/a/web/local/out");
  const std::string seen{std::istreambuf_iterator<char>(in), {}};
  EXPECT_NE(seen.find(" /shown/below "), std::string::npos) << seen;
  EXPECT_EQ(seen.find("shared:"), std::string::npos) << "nothing mounted in a task reaches the host: " << seen;
  end_tasks();
  ::umount2((base_ + "/shown/below").c_str(), MNT_DETACH);
  ::umount2(base_.c_str(), MNT_DETACH);
}

// ---- task_root ----

class TaskRootImage : public Exec {
 protected:
  void SetUp() override {
    Exec::SetUp();
    if (IsSkipped()) return;
    auto list = kernel::read_host_file("/proc/filesystems");
    if (!list.ok() || !list->contains("squashfs") || !fs::exists("/dev/loop-control")) GTEST_SKIP() << "this kernel has no squashfs or no loop devices";
    if (!fs::exists("/usr/bin/mksquashfs")) GTEST_SKIP() << "no mksquashfs here";
    const std::string top = base_ + "/tree";
    for (const char* directory : {"/usr/bin", "/etc", "/tmp/not-seen", "/alloc/not-seen", "/opt/tool"}) fs::create_directories(top + directory);
    fs::copy_file("/bin/busybox", top + "/usr/bin/busybox");
    for (const char* name : {"sh", "cat", "ls", "id", "touch"}) fs::create_symlink("busybox", top + "/usr/bin/" + name);
    fs::create_symlink("usr/bin", top + "/bin");
    std::ofstream(top + "/etc/passwd") << "root:x:0:0::/:/bin/sh\nworker:x:1234:1235::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
    std::ofstream(top + "/etc/group") << "root:x:0:\nworker:x:1235:\n";
    std::ofstream(top + "/etc/motd") << "of the image\n";
    std::ofstream(top + "/etc/resolv.conf");
    std::ofstream(top + "/version") << "7\n";
    std::ofstream(base_ + "/resolv.conf") << "nameserver 10.9.8.7\n";
  }
  std::string pack() {
    std::string image = base_ + "/root.sqfs";
    const std::string command = "/usr/bin/mksquashfs " + base_ + "/tree " + image + " -quiet -no-progress -noappend -all-root >/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return image;
  }
  std::string unhealthy(Options options) {
    auto driver = make_driver(host_, std::move(options));
    EXPECT_NE(driver->fingerprint().health, drivers::Health::kHealthy);
    return driver->fingerprint().description;
  }
  std::string run(const std::string& id, const std::string& user, const std::string& script) {
    auto wanted = config(id, {{"command", "/bin/sh"}, {"args", ConfigList{"-c", "exec >/local/out 2>&1; " + script}}});
    wanted.user = user;
    (void)wait(start(std::move(wanted)));
    std::ifstream in(base_ + "/" + id + "/web/local/out");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // What a loop device stands on, for each that is in use.
  static std::string loops() {
    std::string out;
    for (const auto& entry : fs::directory_iterator("/sys/block")) {
      std::ifstream in(entry.path() / "loop/backing_file");
      out.append(std::istreambuf_iterator<char>(in), {});
    }
    return out;
  }
};

TEST_F(TaskRootImage, a_task_sees_the_image_and_the_host_does_not) {
  Options options;
  options.task_root = pack();
  open(options);
  EXPECT_EQ(run("a", "worker", "cat /etc/motd /version; id -u; id -g; ls -A / /opt; ls /tmp; touch /etc/x"),
            "of the image\n7\n1234\n1235\n"
            "/:\nalloc\nbin\ndev\netc\nlocal\nopt\nproc\nsecrets\nsys\ntmp\nusr\nversion\n\n/opt:\ntool\n"
            "touch: /etc/x: Read-only file system\n");
  auto mounts = kernel::read_host_file("/proc/self/mountinfo");
  ASSERT_TRUE(mounts.ok());
  EXPECT_EQ(mounts->find("squashfs"), std::string::npos) << "nothing of it is mounted on the host";
  EXPECT_NE(loops().find(options.task_root), std::string::npos);
  end_tasks();
  EXPECT_EQ(loops().find(options.task_root), std::string::npos) << "its loop device goes with the driver";
}

TEST_F(TaskRootImage, files_of_the_host_go_on_top) {
  Options options;
  options.task_root = pack();
  options.chroot_env[base_ + "/resolv.conf"] = "/etc/resolv.conf";
  options.chroot_env[base_ + "/tree/opt"] = "/usr2";
  open(options);
  EXPECT_EQ(run("a", "", "cat /etc/resolv.conf /etc/motd; ls /usr2"), "nameserver 10.9.8.7\nof the image\ntool\n");
}

TEST_F(TaskRootImage, is_not_written_over) {
  Options options;
  options.task_root = pack();
  open(options);
  auto wanted = config("a", {{"command", "/bin/sh"}, {"writable_root", true}});
  auto task = driver_->start(std::move(wanted));
  ASSERT_FALSE(task.ok());
  EXPECT_EQ(task.error().message(), "writable_root: the tasks' root comes from an image on this node, which cannot be written over yet");
}

TEST_F(TaskRootImage, what_is_no_image_leaves_the_driver_unhealthy) {
  Options options;
  options.task_root = base_ + "/resolv.conf";
  EXPECT_EQ(unhealthy(options), std::format("prepare the tasks' root: {} is neither a squashfs nor an erofs image", options.task_root));
  options.task_root = base_ + "/missing";
  EXPECT_EQ(unhealthy(options), std::format("prepare the tasks' root: open {}: No such file or directory", options.task_root));
  fs::create_symlink("../../etc", base_ + "/tree/out");
  options.task_root = pack();
  EXPECT_EQ(unhealthy(options), std::format("prepare the tasks' root: {}: /out is a link out of its directory", options.task_root));
  EXPECT_EQ(loops().find(options.task_root), std::string::npos);
  // The superblock's magic and nothing behind it: the kernel's refusal is passed on.
  std::ofstream(base_ + "/cut", std::ios::binary) << "hsqs" << std::string(4096, '\0');
  options.task_root = base_ + "/cut";
  EXPECT_NE(unhealthy(options).find(options.task_root + ": create filesystem squashfs"), std::string::npos) << unhealthy(options);
}

// ---- writable_root ----

bool kernel_has_overlayfs() {
  kernel::Fd(static_cast<int>(::syscall(SYS_fsopen, "overlay", 0)));  // loads the module where there is one
  auto list = kernel::read_host_file("/proc/filesystems");
  return list.ok() && list->find("\toverlay\n") != std::string::npos;
}

class WritableRoot : public Exec {
 protected:
  void SetUp() override {
    Exec::SetUp();
    if (IsSkipped()) return;
    if (!kernel_has_overlayfs()) GTEST_SKIP() << "this kernel has no overlayfs";
  }
  void TearDown() override {
    end_tasks();
    for (auto it = mounts_.rbegin(); it != mounts_.rend(); ++it) ::umount2(it->c_str(), MNT_DETACH);
    Exec::TearDown();
  }
  // As root, with everything on standard output and error in files of the alloc's.
  drivers::TaskConfig writer(const std::string& alloc, const std::string& attempt, const std::string& script) {
    auto out = config(alloc, {{"command", "/bin/sh"}, {"args", ConfigList{"-c", "exec >/local/out 2>&1; " + script}}, {"writable_root", true}});
    out.id = attempt;
    out.user = "root";
    return out;
  }
  std::string written(const std::string& alloc) {
    std::ifstream in(base_ + "/" + alloc + "/web/local/out");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string run(const std::string& alloc, const std::string& attempt, const std::string& script) {
    EXPECT_TRUE(wait(start(writer(alloc, attempt, script))).success()) << script << ": " << written(alloc);
    return written(alloc);
  }
  std::string refusal(drivers::TaskConfig config, Code code) {
    auto task = driver_->start(std::move(config));
    if (task.ok()) {
      tasks_.push_back(std::move(*task));
      ADD_FAILURE() << "started";
      return "";
    }
    EXPECT_EQ(task.error().code(), code) << task.error().message();
    EXPECT_TRUE(fs::is_empty(base_ + "/run")) << "nothing stays behind";
    return task.error().message();
  }
  void mount(const char* type, const std::string& at, const std::string& options = "") {
    fs::create_directories(at);
    ASSERT_EQ(::mount(type, at.c_str(), type, 0, options.c_str()), 0) << type << " at " << at << ": " << std::strerror(errno);
    mounts_.push_back(at);
  }
  // A driver that shows its tasks the host's /usr and a made /etc.
  void open_with_own_etc() {
    fs::create_directories(base_ + "/host/etc/deep/er");
    std::ofstream(base_ + "/host/etc/passwd") << "root:x:0:0::/:/bin/sh\n";
    std::ofstream(base_ + "/host/etc/motd") << "from the host\n";
    Options options;
    options.chroot_env = isolate::default_chroot_env();
    options.chroot_env.erase("/etc");
    options.chroot_env[base_ + "/host/etc"] = "/etc";
    open(std::move(options));
  }
  std::vector<std::string> mounts_;
};

TEST_F(WritableRoot, what_a_task_changes_is_its_own) {
  open_with_own_etc();
  EXPECT_EQ(run("one", "one.1",
                "echo made >/etc/x; printf '#!/bin/sh\necho runs\n' >/usr/bin/steppe-y; chmod 755 /usr/bin/steppe-y; steppe-y;"
                "echo changed >>/etc/motd; cat /etc/motd; rm /etc/passwd; mkdir -p /opt/app; echo top >/opt/app/z; cat /etc/x /opt/app/z"),
            "runs\nfrom the host\nchanged\nmade\ntop\n");
  // Neither the host nor another task has it.
  EXPECT_FALSE(fs::exists(base_ + "/host/etc/x"));
  EXPECT_TRUE(fs::exists(base_ + "/host/etc/passwd"));
  EXPECT_FALSE(fs::exists("/usr/bin/steppe-y"));
  EXPECT_FALSE(fs::exists("/opt/app"));
  const char* const look = "cat /etc/motd; for f in /etc/x /etc/passwd /usr/bin/steppe-y /opt/app/z; do test -e $f && echo $f; done; true";
  EXPECT_EQ(run("two", "two.1", look), "from the host\n/etc/passwd\n");
  // The next attempt of the same task finds what the first left; an ordinary one of the same directory does not.
  EXPECT_EQ(run("one", "one.2", look), "from the host\nchanged\n/etc/x\n/usr/bin/steppe-y\n/opt/app/z\n");
  auto plain = writer("one", "one.3", look);
  plain.config.erase(plain.config.find("writable_root"));
  EXPECT_TRUE(wait(start(std::move(plain))).success());
  EXPECT_EQ(written("one"), "from the host\n/etc/passwd\n/opt/app/z\n");
  // It lies where the alloc's disk limit counts it, and where only the agent reaches it.
  std::string layer = base_ + "/one/web/private/overlay/etc/upper";
  EXPECT_TRUE(fs::exists(layer + "/x"));
  EXPECT_TRUE(fs::exists(base_ + "/one/web/private/overlay/usr/upper/bin/steppe-y"));
  struct stat st;
  ASSERT_EQ(::stat((base_ + "/one/web/private").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0700u);
}

TEST_F(WritableRoot, is_no_less_of_a_sandbox) {
  std::string text = run("box", "box.1", "cat /proc/self/mountinfo");
  std::set<std::string> writable;
  for (std::string_view line : split(text, '\n')) {
    auto word = split(line, ' ');
    if (word.size() < 10) continue;
    std::string target(word[4]), flags(word[5]);
    if (flags.starts_with("rw")) writable.insert(target);
    EXPECT_NE(flags.find("nosuid"), std::string::npos) << line;
    if (target == "/" || target == "/usr" || target == "/etc") EXPECT_NE(flags.find("nodev"), std::string::npos) << line;
    if (line.find(" - overlay ") != line.npos) EXPECT_EQ(line.find(base_), line.npos) << "a path of the host: " << line;
  }
  EXPECT_TRUE(writable.contains("/"));
  EXPECT_TRUE(writable.contains("/usr"));
  EXPECT_TRUE(writable.contains("/etc"));
  EXPECT_FALSE(writable.contains("/sys"));
  EXPECT_FALSE(writable.contains("/proc/sys"));
  // The layers are out of reach, for root as well.
  EXPECT_EQ(run("box", "box.2", "ls -A /private; echo x 2>/dev/null >/private/x && echo written; mv /private /p 2>/dev/null && echo moved; rm -rf /private 2>/dev/null; ls -d /private"), "/private\n");
  EXPECT_TRUE(fs::exists(base_ + "/box/web/private/overlay/etc/work"));
  // Permissions are as ever: who is nobody changes nothing of root's.
  auto nobody = writer("box2", "box.3", "echo x 2>/dev/null >/etc/x && echo written; echo x 2>/dev/null >>/etc/passwd && echo appended; id -u");
  nobody.user = "";
  EXPECT_TRUE(wait(start(std::move(nobody))).success());
  EXPECT_EQ(written("box2"), "65534\n");
}

TEST_F(WritableRoot, keeps_the_modes_of_what_it_covers) {
  open_with_own_etc();
  ::chmod((base_ + "/host/etc").c_str(), 0750);
  ASSERT_EQ(::chown((base_ + "/host/etc").c_str(), 0, 42), 0);
  EXPECT_EQ(run("modes", "modes.1", "stat -c '%a %u %g' /etc; chmod 711 /etc"), "750 0 42\n");
  EXPECT_EQ(run("modes", "modes.2", "stat -c '%a %u %g' /etc"), "711 0 42\n");
  EXPECT_EQ(run("modes2", "modes.3", "stat -c '%a %u %g' /etc"), "750 0 42\n");
}

TEST_F(WritableRoot, shows_what_is_mounted_below) {
  fs::create_directories(base_ + "/host/etc/deep/er");
  mount("tmpfs", base_ + "/host/etc/deep/er", "mode=755");
  std::ofstream(base_ + "/host/etc/deep/er/file") << "deep\n";
  mount("tmpfs", base_ + "/host/etc/deep/er/still", "mode=755");
  std::ofstream(base_ + "/host/etc/deep/er/still/file") << "deeper\n";
  open_with_own_etc();
  EXPECT_EQ(run("sub", "sub.1", "cat /etc/deep/er/file /etc/deep/er/still/file; echo x >/etc/deep/x && cat /etc/deep/x;"
                                "echo y 2>/dev/null >/etc/deep/er/y || echo readonly"),
            "deep\ndeeper\nx\nreadonly\n");
  EXPECT_FALSE(fs::exists(base_ + "/host/etc/deep/x"));
}

TEST_F(WritableRoot, refusals_say_why) {
  EXPECT_FALSE(driver_->validate({{"command", "x"}, {"writable_root", "maybe"}}).ok());
  EXPECT_TRUE(driver_->validate({{"command", "x"}, {"writable_root", "true"}}).ok());
  // An alloc directory on an overlay, as in a container.
  mount("tmpfs", base_ + "/layers");
  for (const char* name : {"lower", "upper", "work"}) fs::create_directories(base_ + "/layers/" + name);
  mount("overlay", base_ + "/container", std::format("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", base_ + "/layers"));
  auto nested = writer("container/n", "n.1", "true");
  EXPECT_EQ(refusal(std::move(nested), Code::kUnsupported).substr(0, 200),
            "writable_root: the file system of the data directory cannot hold a writable layer over /etc (it is an overlayfs itself): put data_dir on ext4, xfs, btrfs or tmpfs");
  // An alloc directory within what the task sees.
  Options options;
  options.chroot_env = isolate::default_chroot_env();
  options.chroot_env[base_] = "/data";
  open(std::move(options));
  EXPECT_EQ(refusal(writer("inside", "inside.1", "true"), Code::kInvalid),
            std::format("writable_root: the data directory lies within {}, so it cannot hold what the task changes there", base_));
  // A link where the layers go.
  open(Options());
  auto bent = writer("bent", "bent.1", "true");
  fs::create_directory_symlink("/etc", base_ + "/bent/web/private");
  refusal(std::move(bent), Code::kDenied);
  EXPECT_FALSE(fs::exists("/etc/overlay"));
}

// Runs where the others cannot: in a guest without the module.
TEST_F(Exec, writable_root_needs_overlayfs) {
  if (kernel_has_overlayfs()) return;
  auto config = shell("w", "true");
  config.config.emplace("writable_root", true);
  auto task = driver_->start(std::move(config));
  ASSERT_FALSE(task.ok());
  EXPECT_EQ(task.error().code(), Code::kUnsupported);
  EXPECT_EQ(task.error().message(), "writable_root: this kernel has no overlayfs (CONFIG_OVERLAY_FS, the module \"overlay\")");
  EXPECT_FALSE(fs::exists(base_ + "/run/w"));
}

// The processes of this test's executors, by what `ps` shows.
std::map<int, std::string> executors_of(int parent) {
  std::map<int, std::string> out;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    auto pid = parse_int(entry.path().filename().string());
    if (!pid.ok()) continue;
    auto stat = kernel::read_host_file(std::format("/proc/{}/stat", *pid));
    auto title = kernel::read_host_file(std::format("/proc/{}/cmdline", *pid));
    if (!stat.ok() || !title.ok() || title->empty()) continue;
    auto fields = split(std::string_view(*stat).substr(stat->rfind(')') + 2), ' ');
    if (fields.size() > 1 && fields[1] == std::to_string(parent)) out[static_cast<int>(*pid)] = trim(std::string_view(*title).substr(0, title->find('\0')));
  }
  return out;
}

// The one that was just prepared. A process that is still executing its program has no command line yet.
std::map<int, std::string> standby_of(int parent) {
  std::map<int, std::string> out;
  for (int i = 0; i < 100'000 && out.empty(); ++i) {
    out = executors_of(parent);
    if (out.empty()) ::sched_yield();
  }
  return out;
}

TEST_F(Exec, a_standby_becomes_the_task_s_executor) {
  ASSERT_TRUE(driver_->prepare().ok());
  ASSERT_TRUE(driver_->prepare().ok()) << "one is enough";
  auto waiting = standby_of(::getpid());
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting.begin()->second, "steppe-executor: standby");
  auto* task = start(shell("warm", "exec sleep 1000"));
  ASSERT_NE(task, nullptr);
  EXPECT_EQ(task->handle().executor_pid, waiting.begin()->first);
  EXPECT_EQ(executors_of(::getpid()), (std::map<int, std::string>{{waiting.begin()->first, "steppe-executor: 0a1b2c3d web"}}));
  // Another is not made before it is asked for, and a start without one is no worse.
  auto* cold = start(shell("cold", "exit 4"));
  ASSERT_NE(cold, nullptr);
  EXPECT_EQ(wait(cold).code, 4);
  ASSERT_TRUE(task->kill().ok());
  EXPECT_EQ(wait(task).signal, SIGKILL);
}

TEST_F(Exec, what_a_standby_prepared_is_not_lent_to_other_tasks) {
  Options options;
  options.allow_caps = {"all"};
  open(options);
  ASSERT_TRUE(driver_->prepare().ok());
  auto waiting = standby_of(::getpid());
  ASSERT_EQ(waiting.size(), 1u);
  int standby = waiting.begin()->first;
  auto config = shell("other", "grep CapBnd /proc/self/status");
  config.config["cap_add"] = ConfigList{"net_raw"};
  auto* task = start(std::move(config));
  ASSERT_NE(task, nullptr);
  EXPECT_NE(task->handle().executor_pid, standby);
  EXPECT_TRUE(wait(task).success());
  EXPECT_NE(log("other").find("25fb"), std::string::npos) << log("other");
  auto* usual = start(shell("usual", "grep CapBnd /proc/self/status"));
  ASSERT_NE(usual, nullptr);
  EXPECT_EQ(usual->handle().executor_pid, standby);
  EXPECT_TRUE(wait(usual).success());
  EXPECT_NE(log("usual").find("05fb"), std::string::npos) << log("usual");
}

TEST_F(Exec, a_dead_standby_is_not_missed) {
  ASSERT_TRUE(driver_->prepare().ok());
  auto waiting = standby_of(::getpid());
  ASSERT_EQ(waiting.size(), 1u);
  int standby = waiting.begin()->first;
  ASSERT_EQ(::kill(standby, SIGKILL), 0);
  auto process = kernel::Process::open(standby);
  if (process.ok()) (void)process->wait(std::chrono::seconds(10));
  EXPECT_EQ(output("after", "echo fine"), "fine\n");
  EXPECT_FALSE(executors_of(::getpid()).contains(standby)) << "it was reaped";
  ASSERT_TRUE(driver_->prepare().ok());
  EXPECT_EQ(standby_of(::getpid()).size(), 1u);
  driver_.reset();
  EXPECT_TRUE(executors_of(::getpid()).empty()) << "it ends with its driver";
}

// An agent that is killed cannot end its standby; that notices by itself.
TEST_F(Exec, a_standby_ends_with_a_killed_agent) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  pid_t agent = ::fork();
  if (agent == 0) {
    bool ready = driver_->prepare().ok();
    auto mine = standby_of(::getpid());
    int pid = ready && mine.size() == 1 ? mine.begin()->first : -1;
    (void)!::write(ends[1], &pid, sizeof pid);
    ::pause();
  }
  int standby = -1;
  ASSERT_EQ(::read(ends[0], &standby, sizeof standby), static_cast<ssize_t>(sizeof standby));
  ASSERT_GT(standby, 0);
  auto process = kernel::Process::open(standby);
  ASSERT_TRUE(process.ok());
  ASSERT_EQ(::kill(agent, SIGKILL), 0);
  EXPECT_TRUE(*process->wait(std::chrono::seconds(20)));
  (void)::waitpid(agent, nullptr, 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace steppe::exec
