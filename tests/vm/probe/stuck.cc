#include "tests/vm/probe/stuck.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "tests/vm/probe/report.h"

namespace steppe::vm {
namespace {

void enter_tasks() {
  (void)::mkdir("/sys/fs/cgroup/nomad.slice/stuck", 0755);
  (void)write_file("/sys/fs/cgroup/nomad.slice/stuck/cgroup.procs", "0");
}

int device = -1;

// Answers the greeting, then takes requests and never answers one: whoever made one waits, and not even SIGKILL ends that wait, as
// this process, which waits for itself, keeps the device open.
void* serve(void*) {
  alignas(fuse_in_header) static char request[1 << 17];
  while (true) {
    if (::read(device, request, sizeof request) < 0) {
      if (errno == EINTR || errno == EAGAIN || errno == ENOENT) continue;
      return nullptr;
    }
    fuse_in_header header;
    std::memcpy(&header, request, sizeof header);
    if (header.opcode != FUSE_INIT) continue;
    struct {
      fuse_out_header out;
      fuse_init_out init;
    } reply = {};
    reply.out.len = sizeof reply;
    reply.out.unique = header.unique;
    reply.init.major = FUSE_KERNEL_VERSION;
    reply.init.minor = FUSE_KERNEL_MINOR_VERSION;
    reply.init.max_write = 4096;
    (void)!::write(device, &reply, sizeof reply);
  }
}

}  // namespace

void leave_ignorer() {
  int ready[2];
  (void)!::pipe(ready);
  if (::fork() == 0) {
    enter_tasks();
    ::signal(SIGTERM, SIG_IGN);
    (void)!::write(ready[1], "x", 1);
    while (true) ::pause();
  }
  char one;
  (void)!::read(ready[0], &one, 1);
}

void leave_undying() {
  int pid = ::fork();
  if (pid == 0) {
    enter_tasks();
    device = ::open("/dev/fuse", O_RDWR);
    std::string options = "fd=" + std::to_string(device) + ",rootmode=40000,user_id=0,group_id=0";
    if (::mount("stuck", "/tmp", "fuse", 0, options.c_str()) != 0) bad("the undying process", std::strerror(errno));
    pthread_t thread;
    ::pthread_create(&thread, nullptr, serve, nullptr);
    struct stat st;
    (void)::stat("/tmp/nothing", &st);
    ::_exit(0);
  }
  // In state D for as long as the machine lives.
  std::string stat = "/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/stat";
  for (int i = 0; i < 100; ++i) {
    std::string text = read_file(stat);
    if (text.find(") D ") != std::string::npos || text.find(") S ") != std::string::npos) break;
    pause_ms(50);
  }
  pause_ms(200);
  ::kill(pid, SIGKILL);
  pause_ms(1000);
  std::string text = read_file(stat);
  expect(text.find(") D ") != std::string::npos, "a process that SIGKILL does not end", text);
}

}  // namespace steppe::vm
