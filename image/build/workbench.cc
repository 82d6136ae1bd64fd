#include "image/build/workbench.h"

#include <fcntl.h>

#include <format>
#include <map>

#include "init/io/path_file.h"
#include "init/io/posix_child.h"
#include "init/io/scope.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/process.h"

namespace steppe::build {
namespace {

constexpr Duration kPatience = std::chrono::hours(1);  // a package over a slow line

// The Debian packages of the tools.
const std::map<std::string_view, std::string_view> kPackages = {{"sqfstar", "squashfs-tools"},
                                                                {"unsquashfs", "squashfs-tools"},
                                                                {"mformat", "mtools"},
                                                                {"mcopy", "mtools"},
                                                                {"mmd", "mtools"},
                                                                {"sfdisk", "fdisk"},
                                                                {"xorriso", "xorriso"},
                                                                {"qemu-img", "qemu-utils"},
                                                                {"dpkg-deb", "dpkg"},
                                                                {"apt-get", "apt"},
                                                                {"apt-cache", "apt"},
                                                                {"truncate", "coreutils"},
                                                                {"strip", "binutils"}};

Result<std::string> find_program(const std::string& name) {
  for (const char* directory : {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"}) {
    if (io::kind_of_path(directory + name) == io::PathKind::kFile) return directory + name;
  }
  const auto package = kPackages.find(name);
  return Error(
      Code::kNotFound,
      std::format("{} is not installed{}", name,
                  package == kPackages.end() ? "" : std::format(": it is in the package {}", package->second)));
}

// An open file whose position is its start.
Result<kernel::Fd> again(const kernel::Fd& fd) {
  return kernel::open_host(std::format("/proc/self/fd/{}", fd.get()), O_RDONLY);
}

io::Task<void> wait_for(io::Child& child, io::Deadline deadline, Result<io::ExitStatus>& out) {
  out = co_await child.wait(deadline);
}

std::string ends(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (text.size() <= 1600) return std::string(text);
  return std::format("{}\n[…]\n{}", text.substr(0, 600), text.substr(text.size() - 1000));
}

Result<> add_host_entries(const kernel::Beneath& directory, const std::string& path, const std::string& in_tree,
                          fs::Tree& tree, uint64_t& left) {
  STEPPE_TRY(const auto entries, directory.list(path));
  for (const kernel::DirectoryEntry& entry : entries) {
    const std::string here = path.empty() ? entry.name : path + "/" + entry.name;
    const std::string there = in_tree + "/" + entry.name;
    if (entry.type == kernel::FileType::kDirectory) {
      STEPPE_TRY_VOID(tree.add_directory(there));
      STEPPE_TRY_VOID(add_host_entries(directory, here, there, tree, left));
    } else if (entry.type == kernel::FileType::kFile) {
      auto content = directory.read(here, Bytes{left});
      if (!content.ok()) return std::move(content).error();
      left -= content->size();
      STEPPE_TRY_VOID(tree.add_file(there, *std::move(content)));
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Workbench>> Workbench::create() {
  STEPPE_TRY(auto loop, io::EpollLoop::create(1));
  auto processes = io::make_posix_processes(*loop);
  return std::unique_ptr<Workbench>(new Workbench(std::move(loop), std::move(processes)));
}

Result<std::string> Workbench::run(const Command& command) {
  STEPPE_TRY(const std::string program, find_program(command.program));
  STEPPE_TRY(const kernel::Fd input, kernel::sealed_memfd("input", as_bytes(command.input), kernel::Executable::kNo));
  STEPPE_TRY(const kernel::Fd input_again, again(input));
  STEPPE_TRY(const kernel::Fd output, kernel::memory_file("output"));
  STEPPE_TRY(const kernel::Fd errors, kernel::memory_file("errors"));
  io::SpawnOptions options{
      .program = program, .arguments = command.arguments, .environment = command.environment, .descriptors = {}};
  for (const char* one : {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC"})
    options.environment.emplace_back(one);
  options.descriptors = {{input_again.get(), 0}, {output.get(), 1}, {errors.get(), 2}};
  STEPPE_TRY(const auto child, processes_->spawn(options));
  Result<io::ExitStatus> ended(Code::kCancelled, "not waited for");
  io::start_root(*loop_, wait_for(*child, io::Deadline{loop_->now() + kPatience}, ended), [this] { loop_->stop(); });
  loop_->run();
  STEPPE_TRY(const kernel::Fd said, again(errors));
  STEPPE_TRY(const std::string complaint, kernel::read_all(said, command.program, Bytes::mib(64)));
  if (!ended.ok()) return std::move(ended).error().wrap(command.program);
  if (!ended->ok()) {
    const std::string how =
        ended->signal != 0 ? std::format("signal {}", ended->signal) : std::format("exit {}", ended->code);
    return Error(Code::kIo, std::format("{} failed ({}): {}", command.program, how, ends(complaint)));
  }
  STEPPE_TRY(const kernel::Fd printed, again(output));
  return kernel::read_all(printed, command.program, command.limit);
}

Result<kernel::Beneath> open_directory(const std::string& path) {
  STEPPE_TRY(const kernel::Beneath root, kernel::Beneath::at("/", kernel::Beneath::Links::kFollow));
  STEPPE_TRY_VOID(
      root.make_directories(path.substr(path.find_first_not_of('/')), 0755).wrap(std::format("make {}", path)));
  return kernel::Beneath::at(path);
}

Result<fs::Tree> read_host_tree(const std::string& path, const std::string& below, Bytes limit) {
  STEPPE_TRY(const kernel::Beneath directory, kernel::Beneath::at(path));
  fs::Tree tree;
  uint64_t left = limit.count;
  STEPPE_TRY_VOID(add_host_entries(directory, "", below, tree, left));
  return tree;
}

std::string absolute_path(const std::string& path, const std::string& working_directory) {
  return path.starts_with('/') ? path : working_directory + "/" + path;
}

}  // namespace steppe::build
