// PID 1 of a Steppe machine, and the children of its own that it runs from the same file: what reads things from outside, or may
// hang, is one of those. See init/boot, init/supervise.
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "init/boot/cgroup_tree.h"
#include "init/boot/coldplug.h"
#include "init/boot/early_mounts.h"
#include "init/boot/first_root.h"
#include "init/boot/kernel_log.h"
#include "init/boot/kernel_settings.h"
#include "init/boot/machine_clock.h"
#include "init/control/message.h"
#include "init/supervise/end_record.h"
#include "init/supervise/hardware_watchdog.h"
#include "init/supervise/machine_end.h"
#include "init/supervise/service_log.h"
#include "init/supervise/shell.h"
#include "init/supervise/unmount.h"

namespace steppe::pid1 {
namespace {

using boot::KernelLog;
using std::chrono::seconds;

// A machine that cannot be brought up says why for this long, then reboots: firmware may choose another image.
constexpr unsigned kFailedBootPause = 10;

// What the agent is started with while steppe-node has made no configuration: one node by itself, reached only from within.
constexpr std::string_view kDefaultAgentSettings = R"(data_dir = "/var/lib/steppe"
bind_addr = "127.0.0.1"
server {
  enabled = true
  bootstrap_expect = 1
}
client {
  enabled = true
  network_interface = "lo"
}
)";
// The rows of the hardening table that are settings (image/spec/hardening.h), and others of the image's spec.
constexpr const char* kKernelSettings = "/usr/lib/steppe/sysctl";
constexpr const char* kNode = "/usr/bin/steppe-node";
constexpr const char* kTime = "/usr/sbin/ntpd";
constexpr const char* kAgentSettings = "/run/steppe/agent.d";  // steppe-node puts one of its own in its place

[[noreturn]] void give_up(KernelLog& log, const Error& error) {
  log.status("cannot boot: " + error.message());
  log.status("rebooting in 10 s");
  timespec rest = {kFailedBootPause, 0};
  while (::nanosleep(&rest, &rest) != 0 && errno == EINTR) {
  }
  while (true) supervise::end_machine(supervise::Ending::kReboot);
}

void set_kernel(const char* file, std::string_view value) {
  kernel::Fd fd(::open(file, O_WRONLY | O_CLOEXEC));
  if (fd.valid()) (void)!::write(fd.get(), value.data(), value.size());
}

void configure_kernel() {
  // The kernel asks for modules by running this very program (`-q -- NAME`): it lies in no directory that anybody can write.
  set_kernel("/proc/sys/kernel/modprobe", "/proc/1/exe");
  set_kernel("/proc/sys/kernel/core_pattern", "");
  set_kernel("/sys/kernel/uevent_helper", "");
  // Ten lines in five seconds are the default for all who write to /dev/kmsg; the service log and the end of a machine have more.
  // The newline belongs to the word: without it the kernel refuses (devkmsg_sysctl_set_loglvl).
  set_kernel("/proc/sys/kernel/printk_devkmsg", "on\n");
  // A crash of PID 1 or of the kernel is a reboot, not a dead machine; also in an image without settings.
  set_kernel("/proc/sys/kernel/panic", "10");
  set_kernel("/proc/sys/kernel/panic_on_oops", "1");
  // ctrl-alt-del is SIGINT to us, not an immediate reset.
  (void)::reboot(RB_DISABLE_CAD);
}

// A machine whose kernel refuses one runs all the same, and says so.
void apply_image_settings(KernelLog& log) {
  kernel::Fd proc_sys(::open("/proc/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Result<size_t> applied = boot::apply_settings(
      kKernelSettings, proc_sys.get(), [](void* to, std::string_view line) { static_cast<KernelLog*>(to)->status(line); }, &log);
  if (!applied.ok()) log.status(applied.error().message());
}

void bring_loopback_up() {
  kernel::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::memcpy(request.ifr_name, "lo", 3);
  if (!socket.valid() || ::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  (void)::ioctl(socket.get(), SIOCSIFFLAGS, &request);
}

void write_default_settings() {
  (void)::mkdir("/run/steppe", 0711);
  (void)::mkdir(kAgentSettings, 0700);
  kernel::Fd directory(::open(kAgentSettings, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  kernel::Fd file(::openat(directory.get(), "00-default.hcl", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.valid()) (void)!::write(file.get(), kDefaultAgentSettings.data(), kDefaultAgentSettings.size());
}

class ThisMachine : public supervise::Machine {
 public:
  explicit ThisMachine(KernelLog& log) : log_(log) {}

  void feed_watchdog() override { watchdog_.feed(); }
  void force_end(MonoTime at, supervise::Ending ending) override {
    if (Result<> armed = supervise::force_end_at(at, ending); !armed.ok()) log_.line(KernelLog::Level::kError, armed.error().message());
  }
  void end(supervise::Ending ending) override { supervise::end_machine(ending); }
  void turned(MonoTime) override {
    // A driver may come with any module; once one is held this costs nothing.
    if (!watchdog_.look()) return;
    log_.status("watchdog " + std::string(watchdog_.identity()) + ", " + std::to_string(watchdog_.timeout_seconds()) + " s");
  }
  void signal_all(int signal) override { (void)::kill(-1, signal); }
  // kill(-1, 0) would count kernel threads. Every other process descends from this one, so there is none when it has no child.
  bool any_process() override {
    siginfo_t info;
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
  }

 private:
  KernelLog& log_;
  supervise::HardwareWatchdog watchdog_;
};

supervise::ProcessStart own_program(int self, const char* verb) {
  supervise::ProcessStart start;
  start.program = self;
  start.argv = {"steppe-init", verb};
  return start;
}

// Kept open for as long as PID 1 lives.
struct Lasting {
  int self = -1;         // this program
  int log_pipe[2] = {-1, -1};
};

supervise::ShellOptions shell_options(const Lasting& lasting, const boot::CgroupTree& cgroups) {
  using Gate = supervise::ServiceRules::Gate;
  supervise::ShellOptions options;
  options.cgroups = &cgroups;
  options.control_path = control::kSocket;
  supervise::ServiceProgram log{"log", {seconds(10), seconds(5)}, own_program(lasting.self, "log")};
  log.start.keep = std::span(lasting.log_pipe, 1);
  supervise::ServiceProgram devices{"devices", {seconds(60), seconds(2)}, own_program(lasting.self, "devices")};
  supervise::ServiceProgram agent{"agent", {seconds(120), seconds(20), Duration(0), Gate::kYes}, {}};
  agent.start.argv = {"/usr/bin/steppe", "agent", "-config", kAgentSettings};
  agent.start.env = {"PATH=/usr/bin:/usr/sbin", "HOME=/var/lib/steppe", "LANG=C.UTF-8"};
  agent.start.standard_output = lasting.log_pipe[1];
  options.services = {std::move(log), std::move(devices)};
  // An image without this program is for machines that need no configuration and no network.
  if (::access(kNode, X_OK) == 0) {
    supervise::ServiceProgram storage{"storage", {seconds(480), seconds(10), Duration(0), Gate::kNo, supervise::ServiceRules::Life::kStep}, {}};
    storage.start.argv = {kNode, "storage"};
    storage.start.env = agent.start.env;
    storage.start.standard_output = lasting.log_pipe[1];
    options.services.push_back(std::move(storage));
    // Needs /efi; the agent asks for everything else about the slots by itself.
    supervise::ServiceProgram slots{"slots", {seconds(120), seconds(10)}, {}};
    slots.rules.life = supervise::ServiceRules::Life::kStep;
    slots.start.argv = {kNode, "slots", "boot"};
    slots.start.standard_output = lasting.log_pipe[1];
    options.services.push_back(std::move(slots));
    // Needs what storage mounted; a driver or firmware of an extension is there before the network is looked for.
    supervise::ServiceProgram extensions{"extensions", {seconds(330), seconds(10), Duration(0), Gate::kNo, supervise::ServiceRules::Life::kStep}, {}};
    extensions.start.argv = {kNode, "extensions"};
    extensions.start.standard_output = lasting.log_pipe[1];
    options.services.push_back(std::move(extensions));
    supervise::ServiceProgram machine{"machine", {seconds(60), seconds(10)}, {}};
    machine.start.argv = {kNode, "machine"};
    machine.start.env = agent.start.env;
    machine.start.standard_output = lasting.log_pipe[1];
    options.services.push_back(std::move(machine));
    if (::access(kTime, X_OK) == 0) {
      supervise::ServiceProgram time{"time", {seconds(10), seconds(10)}, {}};
      time.start.argv = {kNode, "time"};
      time.start.env = agent.start.env;
      time.start.standard_output = lasting.log_pipe[1];
      options.services.push_back(std::move(time));
    }
    // It knows what the machine's configuration adds to the agent's environment.
    agent.start.argv.insert(agent.start.argv.begin(), {kNode, "agent"});
  }
  options.services.push_back(std::move(agent));
  options.record = own_program(lasting.self, "record");
  options.unmount = own_program(lasting.self, "unmount");
  options.sync = own_program(lasting.self, "sync");
  return options;
}

void say_hello(KernelLog& log) {
  utsname kernel_name;
  ::uname(&kernel_name);
  log.status("Steppe " STEPPE_VERSION ", Linux " + std::string(kernel_name.release) + " " + kernel_name.machine);
}

Result<> bring_up(KernelLog& log) {
  STEPPE_TRY_VOID(boot::enter_image_root());
  STEPPE_TRY_VOID(boot::mount_all(boot::root_mounts()));
  log.open();
  log.line(KernelLog::Level::kInfo, "the image's root is mounted");
  if (Result<> shared = boot::share_mounts(); !shared.ok()) log.line(KernelLog::Level::kWarning, shared.error().message());
  configure_kernel();
  apply_image_settings(log);
  if (boot::raise_clock()) log.status("the clock was older than this image and is set to its build");
  bring_loopback_up();
  write_default_settings();
  return {};
}

[[noreturn]] void be_pid_one() {
  ::umask(022);
  KernelLog log;
  Result<> mounted = boot::mount_all(boot::first_mounts());
  boot::fill_standard_descriptors();
  log.open();
  say_hello(log);
  if (!mounted.ok()) give_up(log, mounted.error());
  Lasting lasting;
  lasting.self = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  if (Result<> up = bring_up(log); !up.ok()) give_up(log, up.error());
  Result<boot::CgroupTree> cgroups = boot::CgroupTree::make();
  if (!cgroups.ok()) give_up(log, cgroups.error());
  if (cgroups->missing()[0] != 0) log.line(KernelLog::Level::kWarning, std::string("controllers not handed down: ") + cgroups->missing());
  if (::pipe2(lasting.log_pipe, O_CLOEXEC) != 0) give_up(log, Error::from_errno(errno, "make the pipe of the services' log"));
  ThisMachine machine(log);
  supervise::Shell shell(shell_options(lasting, *cgroups), machine, log);
  if (Result<> opened = shell.open(); !opened.ok()) give_up(log, opened.error());
  shell.run();
  give_up(log, Error(Code::kUnavailable, "the loop ended"));
}

int be_child(int argc, char** argv) {
  std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "devices") return boot::run_devices();
  if (verb == "log") return supervise::run_service_log();
  if (verb == "record") return supervise::run_record(argc, argv);
  if (verb == "unmount") return supervise::run_unmount();
  if (verb == "sync") return supervise::run_sync();
  if (verb == "-q" && argc == 4 && std::string_view(argv[2]) == "--") return boot::run_module_request(argv[3]);
  static constexpr std::string_view kText = "steppe-init is started by the kernel, as the first process of a Steppe image\n";
  (void)!::write(2, kText.data(), kText.size());
  return 2;
}

}  // namespace
}  // namespace steppe::pid1

int main(int argc, char** argv) {
  if (::getpid() != 1) return steppe::pid1::be_child(argc, argv);
  steppe::pid1::be_pid_one();
}
