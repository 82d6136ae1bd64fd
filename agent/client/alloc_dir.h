#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::client {

// The directories of one alloc, beneath the node's alloc directory:
//
//   ALLOC_ID/alloc/{data,logs,tmp}                    shared by its tasks
//   ALLOC_ID/TASK/{local,secrets,tmp,private}         each task's own; secrets is a small tmpfs where we may mount
//
// All members block: pool only. Everything is reached by directory descriptor. Opening one never makes anything.
class AllocDir {
 public:
  struct TaskSpec {
    std::string name;
    Bytes secrets;  // size of its tmpfs; 0: the default of 1 MiB
  };

  // `allocs` is the node's alloc directory, which outlives this, and `allocs_path` its name on the host. May be repeated:
  // what exists stays.
  // kInvalid for a task name that cannot be a directory of its own.
  static Result<AllocDir> build(const kernel::Beneath& allocs, std::string allocs_path, std::string alloc_id,
                                const std::vector<TaskSpec>& tasks);
  // What build() made earlier; kNotFound when it is gone.
  static Result<AllocDir> open(const kernel::Beneath& allocs, std::string allocs_path, std::string alloc_id);
  // Moves what a sticky ephemeral_disk keeps, alloc/data and each task's local, from the directory of the alloc before.
  // May be repeated; what is not there is not moved, nor is anything when `from` is no alloc of this node.
  static Result<> take_over(const kernel::Beneath& allocs, std::string_view from, std::string_view to, const std::vector<TaskSpec>& tasks);
  // Unmounts the tasks' secrets: nobody needs them once all have ended, and each mount makes the next task's start a
  // little slower. Fine when they, or all of it, are gone.
  static Result<> drop_secrets(const kernel::Beneath& allocs, std::string_view alloc_id);
  // Unmounts what was mounted for `tasks` and removes the tree. Fine when it is gone.
  static Result<> remove(const kernel::Beneath& allocs, std::string_view alloc_id);

  // Opened for the asking: a descriptor kept for each of thousands of allocs would be closed anew by each child's exec.
  // When the directory is gone meanwhile, whatever is done beneath fails.
  kernel::Beneath root() const;
  std::string path() const { return path_; }                                     // of ALLOC_ID, on the host
  std::string task_path(std::string_view task) const { return path_ + "/" + std::string(task); }
  std::string shared_path() const { return path_ + "/alloc"; }
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Bytes on disk of all of it, the tmpfs excluded.
  Result<Bytes> usage() const;

 private:
  AllocDir(const kernel::Beneath& allocs, std::string id, std::string path) : allocs_(&allocs), id_(std::move(id)), path_(std::move(path)) {}

  const kernel::Beneath* allocs_;
  std::string id_, path_;
  std::vector<std::string> warnings_;
};

// A task's name is a directory's name and part of file names: 1 to 128 bytes, no '/', NUL or control character, not
// ".", "..", "alloc" or a name that starts with a dot.
Result<> check_task_name(std::string_view name);

}  // namespace steppe::client
