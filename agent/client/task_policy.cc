#include <array>
#include <csignal>
#include <format>
#include <utility>

#include "agent/client/task_runner.h"
#include "agent/schema/alloc.pb.h"
#include "agent/schema/job.pb.h"
#include "init/base/text.h"

namespace steppe::client {
namespace {

const schema::RestartPolicy* group_restart(const schema::Allocation& alloc) {
  for (const schema::TaskGroup& group : alloc.job().task_groups()) {
    if (group.name() == alloc.task_group() && group.has_restart_policy()) return &group.restart_policy();
  }
  return nullptr;
}

void merge(RestartPolicy& into, const schema::RestartPolicy& from) {
  if (from.has_attempts()) into.attempts = from.attempts();
  if (from.has_interval()) into.interval = Duration(from.interval());
  if (from.has_delay()) into.delay = Duration(from.delay());
  if (from.has_mode()) into.delay_mode = from.mode() == "delay";
}

}  // namespace

TaskPolicy task_policy(const schema::Allocation& alloc, const schema::Task& task, Duration max_kill_timeout) {
  bool batch = alloc.job().type() == "batch" || alloc.job().type() == "sysbatch";
  RestartPolicy restart;
  restart.attempts = batch ? 3 : 2;
  restart.interval = batch ? std::chrono::hours(24) : std::chrono::minutes(30);
  restart.delay = std::chrono::seconds(15);
  if (const schema::RestartPolicy* group = group_restart(alloc)) merge(restart, *group);
  if (task.has_restart_policy()) merge(restart, task.restart_policy());
  bool hook = task.has_lifecycle() && !task.lifecycle().hook().empty();
  restart.on_success = hook ? task.lifecycle().sidecar() : !batch;

  TaskPolicy out;
  out.restart = restart;
  if (task.has_kill_timeout()) out.kill_timeout = Duration(task.kill_timeout());
  out.kill_timeout = std::min(out.kill_timeout, max_kill_timeout);
  out.shutdown_delay = Duration(task.shutdown_delay());
  if (auto number = signal_number(task.kill_signal()); number.ok()) out.kill_signal = *number;
  return out;
}

Result<int> signal_number(std::string_view name) {
  static constexpr std::pair<std::string_view, int> kSignals[] = {
      {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"BUS", SIGBUS},   {"CHLD", SIGCHLD}, {"CONT", SIGCONT}, {"FPE", SIGFPE},
      {"HUP", SIGHUP},   {"ILL", SIGILL},   {"INT", SIGINT},   {"IO", SIGIO},     {"IOT", SIGIOT},   {"KILL", SIGKILL},
      {"PIPE", SIGPIPE}, {"PROF", SIGPROF}, {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV}, {"STOP", SIGSTOP}, {"SYS", SIGSYS},
      {"TERM", SIGTERM}, {"TRAP", SIGTRAP}, {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU}, {"URG", SIGURG},
      {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"WINCH", SIGWINCH}, {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}};
  std::string upper_name;
  for (char c : trim(name)) upper_name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  std::string_view text = upper_name;
  if (text.starts_with("SIG")) text.remove_prefix(3);
  for (const auto& [known, number] : kSignals) {
    if (known == text) return number;
  }
  if (auto number = parse_int(text); number.ok() && *number > 0 && *number < 65) return static_cast<int>(*number);
  return Error(Code::kInvalid, std::format("unknown signal \"{}\": expected a name like SIGTERM", name));
}

}  // namespace steppe::client
