#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "init/base/result.h"
#include "init/boot/cgroup_tree.h"
#include "init/boot/kernel_log.h"
#include "init/control/message.h"
#include "init/supervise/control_socket.h"
#include "init/supervise/notice.h"
#include "init/supervise/process_start.h"
#include "init/supervise/supervisor.h"
#include "init/sys/kernel/fd.h"

namespace steppe::supervise {

// One supervised program. `name` is its cgroup's too: letters, digits and '-'.
struct ServiceProgram {
  std::string name;
  ServiceRules rules;
  ProcessStart start;  // the shell adds cgroup, kept descriptors, NOTIFY_SOCKET and WATCHDOG_USEC
};

// What the shell needs of the machine, so that its own tests are not one. All calls come from the loop's thread and must not wait.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual void feed_watchdog() = 0;
  // The machine must end at `at` whatever happens to the loop.
  virtual void force_end(MonoTime at, Ending ending) = 0;
  virtual void end(Ending ending) = 0;
  // The loop turned: state() of what is shown may have changed.
  virtual void turned(MonoTime now) = 0;
  // SIGTERM and SIGKILL to every process but this one (kill(-1)); and whether there is any left, kernel threads aside.
  virtual void signal_all(int signal) = 0;
  virtual bool any_process() = 0;
};

struct ShellOptions {
  std::vector<ServiceProgram> services;  // in start order
  Rules rules;
  // Children of the end, each bounded by its limit in Rules; without an argv there is none and its step is over at once.
  ProcessStart drain, unmount, sync;
  // Started when the machine is to go down, beside all else, with what run_record() (end_record.h) wants as further words; nobody waits
  // for it, but every process is waited for before file systems are unmounted. Without an argv there is none.
  ProcessStart record;
  std::string notify_path = "/run/steppe/notify";
  std::string control_path;                   // init/control; empty: nobody may ask
  const boot::CgroupTree* cgroups = nullptr;  // null: children are born in the caller's cgroup, and
                                              // every process of our user may use the control socket
};

// PID 1's loop: turns processes, signals and notices into the Supervisor's events, and its effects into calls.
//
// Each turn reaps first, then reads signals, then notices (those of a process that ended just now were read before its end is
// told), then time. What one turn handles of each is bounded (512 ends, 64 notices), so that no flood of one keeps another waiting; the next
// turn goes on at once. Every wait has a deadline. One thread.
class Shell {
 public:
  Shell(ShellOptions options, Machine& machine, boot::KernelLog& log);
  ~Shell();

  // Blocks the signals that it reads (all that a process can), makes the notify socket. Once.
  Result<> open();
  // Until the machine ends, or, in tests, until stop().
  void run();
  void stop() { running_ = false; }

  const Supervisor& supervisor() const { return supervisor_; }
  // The last STATUS= of a service, printable.
  std::string_view status(uint8_t service) const;
  std::string_view name(uint8_t service) const;
  uint64_t reaped() const { return reaped_; }

 private:
  struct Service;
  enum class Step : uint8_t { kNone, kDrain, kUnmount, kSync };

  MonoTime now() const;
  void wait();
  void reap();
  void read_signals();
  void read_notices();
  bool read_one_notice();
  void read_control();
  bool may_ask(pid_t pid) const;
  void answer(const control::Request& request, control::Reply& reply);
  void tell_state(control::Reply& reply) const;
  void apply(Service& from, uint8_t index, const Notice& notice, std::vector<kernel::Fd>& fds);
  void ended(pid_t pid, int code, int signal);
  void perform(const Effects& effects);
  void perform_one(const Effect& effect);
  void perform_on_machine(const Effect& effect);
  void spawn(uint8_t index);
  void begin_step(Step step, const ProcessStart& start);
  void step_over();
  void record_end(const Effect& effect);
  bool ask(Ending ending, Reason reason, std::string_view why = {});
  void say_crash(uint8_t index);

  ShellOptions options_;
  Machine& machine_;
  boot::KernelLog& log_;
  Supervisor supervisor_;
  std::vector<std::unique_ptr<Service>> services_;
  kernel::Fd epoll_, signals_, timer_, notify_;
  ControlSocket control_;
  control::Text<120> why_;  // the asker's own words for the end
  Step step_ = Step::kNone;
  pid_t step_pid_ = 0;
  bool running_ = true, more_ = false;
  uint64_t reaped_ = 0;
};

}  // namespace steppe::supervise
