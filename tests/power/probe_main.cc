// /usr/bin/steppe of the images that tests/integration/power_cuts.sh boots: PID 1 runs it as the agent. It drives the node's own program
// for slots (steppe-node, under a name that PID 1 does not look for) through the life of an image. What to do stands on a second disk,
// "stage LENGTH\n" and the image, or "revert\n"; without one it looks at what a power cut left, has it repaired, and says so.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/vm/probe/report.h"

namespace steppe::power {
namespace {

using vm::info;

constexpr const char* kSlots = "/usr/bin/slots-node";
constexpr const char* kNewImage = "/var/new.efi";

// What `steppe-node slots WORDS` printed; "bad" on the console when it failed.
std::string slots(std::vector<const char*> words) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "";
  words.insert(words.begin(), {kSlots, "slots"});
  std::string name = words[2];
  words.push_back(nullptr);
  pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], 1);
    ::execv(kSlots, const_cast<char**>(words.data()));
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string out;
  char bytes[4096];
  for (ssize_t n; (n = ::read(ends[0], bytes, sizeof bytes)) > 0;) out.append(bytes, static_cast<size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) vm::bad("slots " + name, std::to_string(status) + " " + out);
  return out;
}

bool holds(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

std::string running_version() {
  std::string text = vm::read_file("/etc/os-release");
  size_t at = text.find("IMAGE_VERSION=") + 14;
  std::string version = text.substr(at, text.find('\n', at) - at);
  std::erase(version, '"');
  return version;
}

bool mount_esp() {
  
  // Modules come by the kernel's request; the disk's partitions are there when the machine's first step ended.
  for (int i = 0; i < 100; i++) {
    if (::mount("/dev/vda1", "/efi", "vfat", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_DIRSYNC, "fmask=0177,dmask=0077") == 0) return true;
    vm::pause_ms(100);
  }
  vm::bad("mount the ESP", std::strerror(errno));
  return false;
}

// The first line of the second disk; nothing when there is none. For "stage" the image goes to kNewImage.
std::string task() {
  int fd = ::open("/dev/vdb", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  std::string line(512, '\0');
  (void)!::read(fd, line.data(), line.size());
  line.resize(line.find('\n'));
  if (line.starts_with("stage ")) {
    long left = std::atol(line.c_str() + 6);
    int out = ::open(kNewImage, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    std::vector<char> bytes(1 << 20);
    for (ssize_t n; left > 0 && (n = ::read(fd, bytes.data(), std::min<size_t>(bytes.size(), static_cast<size_t>(left)))) > 0; left -= n)
      if (::write(out, bytes.data(), static_cast<size_t>(n)) != n) vm::bad("the new image", std::strerror(errno));
    ::close(out);
  }
  ::close(fd);
  return line.substr(0, line.find(' '));
}

void end_machine(int signal) {
  vm::done();
  ::sync();
  ::kill(1, signal);
}

void live(const std::string& task, const std::string& list) {
  bool trial = holds(list, "\"State\":\"trial\",\"Running\":true");
  if (trial) {
    slots({"bless"});
    info("blessed " + running_version());
    return end_machine(SIGTERM);
  }
  if (task == "stage") slots({"stage", kNewImage});
  if (task == "revert") slots({"revert"});
  info(task + " done by " + running_version());
  end_machine(SIGINT);
}

void look(const std::string& list) {
  bool good = holds(list, "\"State\":\"good\"") || holds(list, "\"State\":\"set aside\""), running = holds(list, "\"Running\":true");
  // Repaired: no leftover, no second name, nothing damaged.
  for (const char* wrong : {"\"State\":\"damaged\"", "\"State\":\"leftover\"", "\"State\":\"foreign\""})
    if (holds(list, wrong)) vm::bad("repaired", list);
  vm::expect(running, "what runs is known", list);
  vm::expect(good, "an image to fall back to", list);
  end_machine(SIGTERM);
}

void run() {
  vm::notify("READY=1");
  info("running " + running_version());
  if (!mount_esp()) return end_machine(SIGTERM);
  slots({"boot"});
  std::string list = slots({"list"}), what = task();
  info(list);
  what.empty() ? look(list) : live(what, list);
}

}  // namespace
}  // namespace steppe::power

int main() {
  steppe::power::run();
  while (true) ::pause();
}
