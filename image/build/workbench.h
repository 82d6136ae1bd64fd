#pragma once

#include <memory>
#include <string>
#include <vector>

#include "image/fs/tree.h"
#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/io/child.h"
#include "init/io/epoll_loop.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::build {

// The build host as the builder uses it: its well-kept tools, and files by path. Everything blocks; one thread.
class Workbench {
 public:
  static Result<std::unique_ptr<Workbench>> create();

  struct Command {
    std::string program;  // a name, looked up in /usr/bin, /usr/sbin, /bin, /sbin
    std::vector<std::string> arguments;
    std::string_view input;                // its standard input
    std::vector<std::string> environment;  // beside PATH, LC_ALL=C and TZ=UTC
    Bytes limit = Bytes::gib(3);           // of its output
  };
  // What it printed. kNotFound: no such program (with the Debian package that has it, where that is known); kIo: it
  // failed, with the end of what it said.
  Result<std::string> run(const Command& command);

 private:
  Workbench(std::unique_ptr<io::EpollLoop> loop, std::unique_ptr<io::Processes> processes)
      : loop_(std::move(loop)), processes_(std::move(processes)) {}

  std::unique_ptr<io::EpollLoop> loop_;
  std::unique_ptr<io::Processes> processes_;
};

// A directory of the build host for results or scratch; made with its parents when it is not there.
Result<kernel::Beneath> open_directory(const std::string& path);
// All below a directory of the build host as a tree; sockets and devices are left out. `limit` bytes in all.
Result<fs::Tree> read_host_tree(const std::string& path, const std::string& below, Bytes limit);
std::string absolute_path(const std::string& path, const std::string& working_directory);

}  // namespace steppe::build
