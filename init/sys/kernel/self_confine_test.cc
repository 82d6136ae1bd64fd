#include "init/sys/kernel/self_confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace steppe::kernel {
namespace {

// Runs `body` in a child and gives its exit code: a confinement cannot be undone.
template <class F>
int in_child(F body) {
  pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

TEST(SelfConfine, WhatIsGivenUpIsGone) {
  char name[] = "/tmp/steppe-confine-XXXXXX";
  std::string base = ::mkdtemp(name);
  ASSERT_EQ(::mkdir((base + "/in").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((base + "/out").c_str(), 0755), 0);
  int code = in_child([&] {
    int in = ::open((base + "/in").c_str(), O_RDONLY | O_DIRECTORY);
    Confinement wanted;
    wanted.readable = {"/etc/hosts"};
    wanted.writable = {in};
    wanted.max_file_size = 1 << 20;
    auto done = confine_self(wanted);
    if (!done.ok()) return 1;
    if (::openat(in, "new", O_WRONLY | O_CREAT, 0644) < 0) return 2;
    char* none[] = {nullptr};
    if (::execve("/bin/true", none, none) == 0 || (errno != EPERM && errno != EACCES)) return 3;
    if (::syscall(SYS_ptrace, 0, 0, 0, 0) == 0 || errno != EPERM) return 4;
    if (::syscall(SYS_unshare, 0x10000000) == 0 || errno != EPERM) return 5;
    if (::kill(::getppid(), 0) == 0 || errno != EPERM) return 6;
    if (!done->landlock) return 77;
    if (::open((base + "/out/x").c_str(), O_WRONLY | O_CREAT, 0644) >= 0 || errno != EACCES) return 7;
    if (::open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES) return 8;
    return 0;
  });
  EXPECT_EQ(::rmdir((base + "/out").c_str()), 0) << "nothing may be made outside";
  ::unlink((base + "/in/new").c_str());
  ::rmdir((base + "/in").c_str());
  ::rmdir(base.c_str());
  if (code == 77) GTEST_SKIP() << "this kernel has no Landlock: file access is not confined";
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace steppe::kernel
