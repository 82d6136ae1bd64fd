#include "image/build/store.h"

#include <algorithm>
#include <format>

#include "image/fs/tar.h"
#include "image/sign/key.h"
#include "init/base/text.h"
#include "init/io/path_file.h"

namespace steppe::build {
namespace {

// "libcap2_1%3a2.75-10_amd64.deb" -> name, version, architecture.
Result<spec::LockedPackage> parse_file_name(spec::Role role, std::string_view name) {
  const auto fail = [&] {
    return Error(Code::kCorrupt,
                 std::format("apt names a package file \"{}\": expected NAME_VERSION_ARCHITECTURE.deb", name));
  };
  if (!name.ends_with(".deb")) return fail();
  const auto parts = split(name.substr(0, name.size() - 4), '_');
  if (parts.size() != 3) return fail();
  spec::LockedPackage out{.role = role,
                          .name = std::string(parts[0]),
                          .version = std::string(parts[1]),
                          .architecture = std::string(parts[2]),
                          .digest = {}};
  for (size_t at; (at = out.version.find("%3a")) != std::string::npos;) out.version.replace(at, 3, ":");
  return out;
}

std::string file_name(const spec::LockedPackage& package) {
  std::string version = package.version;
  for (size_t at; (at = version.find(':')) != std::string::npos;) version.replace(at, 1, "%3a");
  return std::format("{}_{}_{}.deb", package.name, version, package.architecture);
}

}  // namespace

Store::Store(std::string directory, spec::Architecture architecture, spec::TextList components, Workbench& workbench, const Report& report)
    : directory_(std::move(directory)), architecture_(architecture), components_(std::move(components)), workbench_(workbench), report_(report) {}

std::vector<std::string> Store::apt_options() const {
  const std::string apt = directory_ + "/apt", name(spec::architecture_name(architecture_));
  std::vector<std::string> out;
  for (const std::string& option :
       {"Dir::State=" + apt + "/state-" + name, "Dir::State::status=" + apt + "/status",
        "Dir::Cache=" + apt + "/cache-" + name, std::string("APT::Sandbox::User=root"), "APT::Architecture=" + name,
        "APT::Architectures=" + name, std::string("APT::Install-Recommends=false"),
        std::string("Acquire::Languages=none"), std::string("Acquire::Retries=3")}) {
    out.emplace_back("-o");
    out.push_back(option);
  }
  if (own_sources_) {
    out.insert(out.end(), {"-o", "Dir::Etc::sourcelist=" + apt + "/sources-" + name + ".list", "-o", "Dir::Etc::sourceparts=-"});
  }
  return out;
}

// The host's own sources, one line each, with more components.
Result<> Store::add_components() {
  std::vector<std::string> words = apt_options();
  words.insert(words.end(), {"indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(SIGNED_BY)", "Created-By: Packages"});
  STEPPE_TRY(const std::string answer, workbench_.run({.program = "apt-get", .arguments = std::move(words)}).wrap("/etc/apt/sources.list"));
  std::string list;
  for (const std::string_view line : split(answer, '\n')) {
    const auto columns = split(line, ' ');
    if (columns.size() < 4 || columns[2] != "main") continue;
    const std::string by = columns[3].starts_with('/') ? std::format("[signed-by={}] ", columns[3]) : "";
    const std::string source = std::format("deb {}{} {} main {}\n", by, columns[0], columns[1], join(components_, " "));
    if (!list.contains(source)) list += source;
  }
  if (list.empty()) return Error(Code::kNotFound, "apt's sources name no archive with the component main, so there is none to take others from");
  STEPPE_TRY(const kernel::Beneath store, open_directory(directory_));
  STEPPE_TRY_VOID(store.write(std::format("apt/sources-{}.list", spec::architecture_name(architecture_)), as_bytes(list), 0644));
  own_sources_ = true;
  return {};
}

Result<> Store::prepare() {
  if (updated_) return {};
  const std::string name(spec::architecture_name(architecture_));
  STEPPE_TRY(const kernel::Beneath store, open_directory(directory_));
  for (const std::string& path : {std::string("debs"), std::string("apt/incoming"),
                                  "apt/state-" + name + "/lists/partial", "apt/cache-" + name + "/archives/partial"})
    STEPPE_TRY_VOID(store.make_directories(path, 0755));
  STEPPE_TRY_VOID(store.write("apt/status", {}, 0644));  // nothing is installed: every dependency is listed
  if (!components_.empty()) STEPPE_TRY_VOID(add_components());
  report_.step("reading the archive's package lists");
  std::vector<std::string> words = apt_options();
  words.insert(words.end(), {"-q", "update"});
  auto updated = workbench_.run({.program = "apt-get", .arguments = std::move(words)});
  if (!updated.ok()) return std::move(updated).error().wrap("package lists (network, /etc/apt/sources.list)");
  updated_ = true;
  return {};
}

Result<std::string> Store::apt(const std::string& program, std::vector<std::string> words) {
  STEPPE_TRY_VOID(prepare());
  std::vector<std::string> all = apt_options();
  all.insert(all.end(), words.begin(), words.end());
  return workbench_.run({.program = program, .arguments = std::move(all)});
}

Result<std::vector<spec::LockedPackage>> Store::ask(spec::Role role, const std::string& program,
                                                    std::vector<std::string> words) {
  STEPPE_TRY(const std::string answer, apt(program, std::move(words)));
  std::vector<spec::LockedPackage> out;
  for (const std::string_view line : split(answer, '\n')) {
    if (!line.starts_with('\'')) continue;  // "'URI' FILE SIZE DIGEST"
    const auto columns = split(line, ' ');
    if (columns.size() < 3) return Error(Code::kCorrupt, std::format("apt printed \"{}\"", line));
    STEPPE_TRY(auto package, parse_file_name(role, columns[1]));
    out.push_back(std::move(package));
  }
  return out;
}

// A package such as linux-image-amd64 holds nothing itself and depends on the newest kernel.
Result<std::string> Store::newest_kernel(const std::string& package) {
  STEPPE_TRY(const std::string answer, apt("apt-cache", {"show", "--no-all-versions", package}));
  for (const std::string_view line : split(answer, '\n')) {
    if (!line.starts_with("Depends: ")) continue;
    for (const std::string_view one : split(line.substr(9), ',')) {
      const std::string_view name = trim(one).substr(0, trim(one).find(' '));
      if (name.starts_with("linux-image-")) return std::string(name);
    }
  }
  return package;
}

Result<std::string> Store::download(const spec::LockedPackage& package) {
  const std::string incoming = directory_ + "/apt/incoming";
  std::vector<std::string> words = {"--chdir=" + incoming, "apt-get"};
  for (const std::string& option : apt_options()) words.push_back(option);
  words.insert(words.end(), {"-q", "download", package.name + "=" + package.version});
  auto done = workbench_.run({.program = "env", .arguments = std::move(words)});
  if (!done.ok())
    return Error(Code::kNotFound, std::format("{} {}: {}", package.name, package.version, done.error().message()));
  STEPPE_TRY(const kernel::Beneath store, open_directory(directory_));
  const std::string name = file_name(package);
  STEPPE_TRY(const std::string bytes, store.read("apt/incoming/" + name, kMaxPackage));
  const std::string digest = sign::sha256_hex(as_bytes(bytes));
  STEPPE_TRY_VOID(store.remove_tree("debs/" + digest + ".deb"));
  STEPPE_TRY_VOID(store.move("apt/incoming/" + name, store, "debs/" + digest + ".deb"));
  return digest;
}

Result<spec::Lock> Store::resolve(const spec::Spec& spec) {
  spec::Lock lock{.packages = {}, .asked = spec::wanted_packages(spec)};
  std::vector<std::string> tasks = {"install", "-y", "-q", "--print-uris", "--no-install-recommends"};
  bool task_root = false;
  for (const auto& [role, name] : lock.asked) {
    if (role == spec::Role::kTask) {
      tasks.push_back(name);
      task_root = true;
      continue;
    }
    std::string wanted = name;
    if (role == spec::Role::kKernel) {
      STEPPE_TRY(wanted, newest_kernel(name));
    }
    STEPPE_TRY(const auto found, ask(role, "apt-get", {"download", "--print-uris", wanted}));
    if (found.size() != 1)
      return Error(Code::kNotFound,
                   std::format("the archive has no package {} for {}", wanted, spec::architecture_name(architecture_)));
    lock.packages.push_back(found[0]);
  }
  if (task_root) {
    for (const std::string& name : spec.task_root.without) tasks.push_back(name + "-");
    auto found = ask(spec::Role::kTask, "apt-get", tasks);
    if (!found.ok() &&
        !spec.task_root.without.empty()) {  // apt refuses to leave out what is needed: leave it out afterwards
      tasks.resize(tasks.size() - spec.task_root.without.size());
      found = ask(spec::Role::kTask, "apt-get", tasks);
    }
    if (!found.ok()) return std::move(found).error();
    std::erase_if(*found, [&](const spec::LockedPackage& one) {
      return std::ranges::contains(spec.task_root.without, one.name);
    });
    lock.packages.insert(lock.packages.end(), found->begin(), found->end());
  }
  for (spec::LockedPackage& package : lock.packages) {
    report_.step(std::format("fetching {} {}", package.name, package.version));
    STEPPE_TRY(package.digest, download(package));
  }
  std::ranges::sort(lock.packages);
  return lock;
}

Result<> Store::fetch(const spec::Lock& lock) {
  for (const spec::LockedPackage& package : lock.packages) {
    if (io::kind_of_path(deb_path(package.digest)) == io::PathKind::kFile) continue;
    STEPPE_TRY_VOID(prepare());
    report_.step(std::format("fetching {} {}", package.name, package.version));
    STEPPE_TRY(const std::string digest, download(package));
    if (digest != package.digest)
      return Error(Code::kDenied, std::format("{} {}: the archive has SHA-256 {}, the lock says {}", package.name,
                                              package.version, digest, package.digest));
  }
  return {};
}

Result<fs::Tree> Store::open(const spec::LockedPackage& package) {
  const std::string path = deb_path(package.digest);
  STEPPE_TRY(const std::string bytes, io::read_path(path, kMaxPackage));
  if (sign::sha256_hex(as_bytes(bytes)) != package.digest)
    return Error(Code::kCorrupt,
                 std::format("{}: its bytes are not those that its name says; remove it and build again", path));
  STEPPE_TRY(const std::string tar, workbench_.run({.program = "dpkg-deb", .arguments = {"--fsys-tarfile", path}}));
  return fs::read_tar(as_bytes(tar), Bytes::gib(2)).wrap(package.name);
}

}  // namespace steppe::build
