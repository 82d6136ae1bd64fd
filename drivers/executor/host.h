#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "drivers/api/driver.h"
#include "drivers/executor/spawn.h"
#include "drivers/isolate/identity.h"
#include "drivers/isolate/plan_builder.h"
#include "init/base/clock.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/cgroup.h"
#include "init/sys/kernel/process.h"

namespace steppe::executor {

struct HostOptions {
  std::string run_dir;                  // made 0700; on tmpfs best: handles do not survive the machine
  std::string program;                  // path of steppe-executor
  std::string cgroup_parent = "steppe.slice";  // below the cgroup v2 mount; empty: no cgroups
  bool sync_records = true;             // fsync each exit record
};

// What the drivers of one agent share: the run directory, the executor program in sealed memory (a task that could
// write to what we execute would own the host, CVE-2019-5736), /dev/null, the parent cgroup. Immutable; thread-safe.
class Host {
 public:
  static Result<std::shared_ptr<const Host>> open(HostOptions options, const Clock& clock);

  const kernel::Beneath& run_dir() const { return *run_dir_; }
  const std::string& run_dir_path() const { return options_.run_dir; }
  const HostOptions& options() const { return options_; }
  int program() const { return program_.get(); }
  int dev_null() const { return dev_null_.get(); }
  const Clock& clock() const { return clock_; }
  const std::string& boot_id() const { return boot_id_; }

  // The cgroup in which each task gets a child; absent without cgroup v2.
  const kernel::Cgroup* cgroup_parent() const { return cgroup_parent_ ? &*cgroup_parent_ : nullptr; }
  // True when `controller` is enabled for tasks.
  bool has_controller(std::string_view controller) const { return controllers_.contains(controller); }
  // Why tasks run without limits; empty: they do not.
  const std::string& limits_missing() const { return limits_missing_; }

 private:
  Host(HostOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  void open_cgroups();

  HostOptions options_;
  const Clock& clock_;
  std::optional<kernel::Beneath> run_dir_;
  kernel::Fd program_, dev_null_;
  std::string boot_id_;
  std::optional<kernel::Cgroup> cgroup_parent_;
  std::set<std::string, std::less<>> controllers_;
  std::string limits_missing_;
};

// How commands enter a running task (alloc exec): stored beside the task's record, so that later agents can as well.
struct Profile {
  bool isolated = false;                // joins the task's namespaces
  uint64_t namespaces = 0;              // CLONE_NEW* of the task
  uint32_t uid = 0, gid = 0;
  std::vector<uint32_t> groups;
  uint64_t bounding = 0, ambient = 0;
  bool filter = false, no_new_privileges = false, change_identity = false;
  std::string work_dir;
  std::string encode() const;
  static Result<Profile> decode(ByteView bytes);
};

// One start, as a driver composed it.
struct Launch {
  std::string driver;
  const drivers::TaskConfig* config = nullptr;
  isolate::PlanBuilder plan;            // steps, command, clone flags, kill mode; the rest is filled in by start()
  std::optional<Preparation> preparation;  // what the executor does first
  StandbySlot* standby = nullptr;       // used when its preparation is the same
  std::vector<kernel::Fd> keep;         // open until the task runs
  Profile profile;
  std::vector<std::string> warnings;
  bool limit_resources = true;
  bool oom_group = true;
};

// Runs the plan under a new executor; see drivers::Driver::start for the promises.
Result<std::unique_ptr<drivers::Task>> start(std::shared_ptr<const Host> host, Launch launch);
// See drivers::Driver::recover and recover_attempt.
Result<std::unique_ptr<drivers::Task>> recover(std::shared_ptr<const Host> host, std::string_view driver, const drivers::TaskHandle& handle);
Result<std::unique_ptr<drivers::Task>> recover_attempt(std::shared_ptr<const Host> host, std::string_view driver, std::string_view id);
Result<std::vector<std::string>> attempts(const Host& host);

}  // namespace steppe::executor
