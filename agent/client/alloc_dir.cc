#include "agent/client/alloc_dir.h"

#include <fcntl.h>
#include <format>

#include "init/base/ids.h"
#include "init/sys/kernel/file_access.h"

namespace steppe::client {
namespace {

constexpr uint64_t kUsageEntryLimit = 2'000'000;
constexpr Bytes kDefaultSecrets = Bytes::mib(1);

}  // namespace

Result<> check_task_name(std::string_view name) {
  auto refuse = [&](std::string_view why) {
    return Error(Code::kInvalid, std::format("task name \"{}\" cannot be a directory of its own: {}", name.substr(0, 128), why));
  };
  if (name.empty()) return refuse("it is empty");
  if (name.size() > 128) return refuse("it is longer than 128 bytes");
  if (name.starts_with('.')) return refuse("it starts with a dot");
  if (name == "alloc") return refuse("the name is taken by the shared directory");
  for (char c : name) {
    if (c == '/') return refuse("it holds a slash");
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return refuse("it holds a control character");
  }
  return {};
}

Result<AllocDir> AllocDir::build(const kernel::Beneath& allocs, std::string allocs_path, std::string alloc_id,
                                 const std::vector<TaskSpec>& tasks) {
  STEPPE_TRY([[maybe_unused]] Uuid id, Uuid::parse(alloc_id));
  for (const TaskSpec& task : tasks) STEPPE_TRY_VOID(check_task_name(task.name));
  STEPPE_TRY_VOID(allocs.make_directories(alloc_id, 0755));
  STEPPE_TRY(AllocDir out, open(allocs, std::move(allocs_path), alloc_id));
  const kernel::Beneath root = out.root();
  STEPPE_TRY_VOID(root.make_directories("alloc", 0777));
  for (const char* name : {"alloc/data", "alloc/logs", "alloc/tmp"}) STEPPE_TRY_VOID(root.make_directories(name, 0777));
  for (const TaskSpec& task : tasks) {
    STEPPE_TRY_VOID(root.make_directories(task.name, 0777));
    STEPPE_TRY_VOID(root.make_directories(task.name + "/local", 0777));
    STEPPE_TRY_VOID(root.make_directories(task.name + "/private", 0700));
    STEPPE_TRY_VOID(root.make_directories(task.name + "/tmp", 01777));
    std::string secrets = task.name + "/secrets";
    // A directory on another device than its parent is mounted already.
    STEPPE_TRY_VOID(root.make_directories(secrets, 0777));
    STEPPE_TRY(kernel::FileInfo parent, root.stat(task.name));
    STEPPE_TRY(kernel::FileInfo own, root.stat(secrets));
    if (own.device != parent.device) continue;
    Bytes size = task.secrets.count == 0 ? kDefaultSecrets : task.secrets;
    Result<> mounted = kernel::mount_tmpfs(root, secrets, size, 0777);
    if (mounted.ok()) continue;
    out.warnings_.push_back("secrets of task " + task.name + " are on disk: " + mounted.error().message());
    STEPPE_TRY_VOID(kernel::change_mode(root, secrets, 0777));
  }
  return out;
}

Result<AllocDir> AllocDir::open(const kernel::Beneath& allocs, std::string allocs_path, std::string alloc_id) {
  STEPPE_TRY([[maybe_unused]] Uuid id, Uuid::parse(alloc_id));
  STEPPE_TRY(kernel::Fd exists, allocs.open_directory(alloc_id));
  std::string path = allocs_path + "/" + alloc_id;
  return AllocDir(allocs, std::move(alloc_id), std::move(path));
}

kernel::Beneath AllocDir::root() const {
  auto fd = allocs_->open_directory(id_);
  // Links inside are followed, beneath only: tasks make them for themselves ("current -> v2").
  return kernel::Beneath(fd.ok() ? *std::move(fd) : kernel::Fd(), "alloc " + id_, kernel::Beneath::Links::kFollow);
}

Result<> AllocDir::take_over(const kernel::Beneath& allocs, std::string_view from, std::string_view to, const std::vector<TaskSpec>& tasks) {
  STEPPE_TRY([[maybe_unused]] Uuid id, Uuid::parse(from));
  auto before = allocs.sub(from);
  if (!before.ok()) return before.error().code() == Code::kNotFound ? Result<>() : Result<>(std::move(before).error());
  STEPPE_TRY(kernel::Beneath now, allocs.sub(to));
  std::vector<std::string> kept{"alloc/data"};
  for (const TaskSpec& task : tasks) kept.push_back(task.name + "/local");
  for (const std::string& path : kept) {
    auto there = before->stat(path);
    if (there.ok() && there->type == kernel::FileType::kDirectory) STEPPE_TRY_VOID(before->move(path, now, path).wrap("ephemeral_disk"));
  }
  return {};
}

Result<> AllocDir::drop_secrets(const kernel::Beneath& allocs, std::string_view alloc_id) {
  STEPPE_TRY([[maybe_unused]] Uuid id, Uuid::parse(alloc_id));
  auto entries = allocs.list(alloc_id);
  if (!entries.ok()) return entries.error().code() == Code::kNotFound ? Result<>() : Result<>(std::move(entries).error());
  for (const kernel::DirectoryEntry& entry : *entries) {
    if (entry.type != kernel::FileType::kDirectory || entry.name == "alloc") continue;
    STEPPE_TRY_VOID(kernel::unmount(allocs, std::format("{}/{}/secrets", alloc_id, entry.name)));
  }
  return {};
}

Result<> AllocDir::remove(const kernel::Beneath& allocs, std::string_view alloc_id) {
  STEPPE_TRY_VOID(drop_secrets(allocs, alloc_id));
  return allocs.remove_tree(alloc_id);
}

Result<Bytes> AllocDir::usage() const {
  STEPPE_TRY(kernel::TreeUsage usage, kernel::tree_usage(root(), ".", kUsageEntryLimit));
  return usage.bytes;
}

}  // namespace steppe::client
