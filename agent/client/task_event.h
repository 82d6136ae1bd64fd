#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "init/base/clock.h"
#include "init/base/error.h"

namespace steppe::schema {
class TaskEvent;
}

namespace steppe::client {

// What happened to a task, for people and for programs that match on the type. The types and the texts are those of
// Nomad's API (semantics of a task event: type, time, details, and the sentence shown for it).
struct TaskEvent {
  std::string type;
  WallTime time;                               // set when it is recorded
  std::string message;                         // free text of Task Setup, hooks and drivers
  std::map<std::string, std::string> details;  // the API's detail keys: exit_code, signal, restart_reason, ...
  bool fails_task = false;

  // The sentence that `alloc status` shows.
  std::string display() const;
  void to_schema(schema::TaskEvent& out) const;
  static TaskEvent from_schema(const schema::TaskEvent& in);
  friend bool operator==(const TaskEvent&, const TaskEvent&) = default;
};

namespace event {
inline constexpr std::string_view kReceived = "Received";
inline constexpr std::string_view kTaskSetup = "Task Setup";
inline constexpr std::string_view kSetupFailure = "Setup Failure";
inline constexpr std::string_view kFailedValidation = "Failed Validation";
inline constexpr std::string_view kDownloadingArtifacts = "Downloading Artifacts";
inline constexpr std::string_view kArtifactFailed = "Failed Artifact Download";
inline constexpr std::string_view kDriver = "Driver";
inline constexpr std::string_view kDriverFailure = "Driver Failure";
inline constexpr std::string_view kStarted = "Started";
inline constexpr std::string_view kTerminated = "Terminated";
inline constexpr std::string_view kRestarting = "Restarting";
inline constexpr std::string_view kNotRestarting = "Not Restarting";
inline constexpr std::string_view kRestartSignaled = "Restart Signaled";
inline constexpr std::string_view kSignaling = "Signaling";
inline constexpr std::string_view kKilling = "Killing";
inline constexpr std::string_view kKilled = "Killed";
inline constexpr std::string_view kSiblingFailed = "Sibling Task Failed";
inline constexpr std::string_view kLeaderDead = "Leader Task Dead";
inline constexpr std::string_view kMainDead = "Main Tasks Dead";
inline constexpr std::string_view kDiskExceeded = "Disk Resources Exceeded";
inline constexpr std::string_view kHookFailed = "Task hook failed";
inline constexpr std::string_view kHookMessage = "Task hook message";
inline constexpr std::string_view kRestoreFailed = "Failed Restoring Task";
inline constexpr std::string_view kShutdownDelay = "Waiting for shutdown delay";
inline constexpr std::string_view kSkippingShutdownDelay = "Skipping shutdown delay";

TaskEvent plain(std::string_view type);
TaskEvent with_message(std::string_view type, std::string message);
TaskEvent with_detail(std::string_view type, std::string key, std::string value);
TaskEvent terminated(int exit_code, int signal, bool oom_killed, std::string_view error);
TaskEvent restarting(Duration delay, std::string_view reason);
TaskEvent not_restarting(std::string_view reason);  // fails the task
TaskEvent killing(Duration kill_timeout);
TaskEvent sibling_failed(std::string_view sibling);
TaskEvent shutdown_delay(Duration delay);
}  // namespace event

}  // namespace steppe::client
