#include "agent/client/task_event.h"

#include <format>

#include "agent/schema/alloc.pb.h"
#include "init/base/text.h"

namespace steppe::client {
namespace {

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string duration_detail(const TaskEvent& event, const std::string& key) {
  auto found = event.details.find(key);
  if (found == event.details.end()) return "0s";
  auto ns = parse_int(found->second);
  return ns.ok() ? format_duration(Duration(*ns)) : found->second;
}

struct Sentence {
  std::string_view type;
  std::string_view detail;     // shown when present
  std::string_view otherwise;  // shown when the detail is absent
};
constexpr Sentence kSentences[] = {
    {event::kReceived, "", "Task received by client"},
    {event::kStarted, "", "Task started by client"},
    {event::kSetupFailure, "setup_error", "Task setup failed"},
    {event::kFailedValidation, "validation_error", "Validation of task failed"},
    {event::kDownloadingArtifacts, "", "Client is downloading artifacts"},
    {event::kArtifactFailed, "download_error", "Failed to download artifacts"},
    {event::kDriver, "driver_message", ""},
    {event::kDriverFailure, "driver_error", "Failed to start task"},
    {event::kNotRestarting, "restart_reason", "Task exceeded restart policy"},
    {event::kRestartSignaled, "restart_reason", "Task signaled to restart"},
    {event::kKilled, "kill_error", "Task successfully killed"},
    {event::kLeaderDead, "", "Leader Task in Group dead"},
    {event::kMainDead, "", "Main tasks in the group died"},
    {event::kSkippingShutdownDelay, "", "Skipping shutdown delay"},
};

std::string detail(const TaskEvent& event, std::string_view key) {
  auto found = event.details.find(std::string(key));
  return found == event.details.end() ? std::string() : found->second;
}

std::string terminated_sentence(const TaskEvent& e) {
  std::string out = "Exit Code: " + (detail(e, "exit_code").empty() ? "0" : detail(e, "exit_code"));
  if (std::string signal = detail(e, "signal"); !signal.empty() && signal != "0") out += ", Signal: " + signal;
  if (std::string message = detail(e, "exit_message"); !message.empty()) out += ", Exit Message: " + in_quotes(message);
  return out;
}

std::string restarting_sentence(const TaskEvent& e) {
  std::string in = "Task restarting in " + duration_detail(e, "start_delay");
  std::string reason = detail(e, "restart_reason");
  return reason.empty() || reason == "Restart within policy" ? in : reason + " - " + in;
}

std::string killing_sentence(const TaskEvent& e) {
  if (std::string reason = detail(e, "kill_reason"); !reason.empty()) return reason;
  std::string timeout = detail(e, "kill_timeout");
  if (timeout.empty() || timeout == "0") return "Sent interrupt";
  return "Sent interrupt. Waiting " + duration_detail(e, "kill_timeout") + " before force killing";
}

std::string signaling_sentence(const TaskEvent& e) {
  std::string signal = detail(e, "task_signal"), reason = detail(e, "task_signal_reason");
  if (signal.empty()) return reason.empty() ? "Task being sent a signal" : reason;
  return "Task being sent signal " + signal + (reason.empty() ? "" : ": " + reason);
}

int64_t int_detail(const TaskEvent& e, std::string_view key) {
  auto value = parse_int(detail(e, key));
  return value.ok() ? *value : 0;
}

}  // namespace

std::string TaskEvent::display() const {
  if (type == event::kTerminated) return terminated_sentence(*this);
  if (type == event::kRestarting) return restarting_sentence(*this);
  if (type == event::kKilling) return killing_sentence(*this);
  if (type == event::kSignaling) return signaling_sentence(*this);
  if (type == event::kSiblingFailed) {
    std::string sibling = detail(*this, "failed_sibling");
    return sibling.empty() ? "Task's sibling failed" : "Task's sibling " + in_quotes(sibling) + " failed";
  }
  for (const Sentence& sentence : kSentences) {
    if (sentence.type != type) continue;
    if (std::string text = detail(*this, sentence.detail); !text.empty()) return text;
    if (!sentence.otherwise.empty()) return std::string(sentence.otherwise);
  }
  return message;
}

void TaskEvent::to_schema(schema::TaskEvent& out) const {
  out.Clear();
  out.set_type(type);
  out.set_time(time.unix_ns);
  out.set_message(message);
  out.set_display_message(display());
  for (const auto& [key, value] : details) (*out.mutable_details())[key] = value;
  out.set_fails_task(fails_task);
  if (fails_task) (*out.mutable_details())["fails_task"] = "true";
  out.set_restart_reason(detail(*this, "restart_reason"));
  out.set_setup_error(detail(*this, "setup_error"));
  out.set_driver_error(detail(*this, "driver_error"));
  out.set_driver_message(detail(*this, "driver_message"));
  out.set_exit_code(int_detail(*this, "exit_code"));
  out.set_signal(int_detail(*this, "signal"));
  out.set_start_delay(int_detail(*this, "start_delay"));
  out.set_kill_timeout(int_detail(*this, "kill_timeout"));
  out.set_kill_error(detail(*this, "kill_error"));
  out.set_kill_reason(detail(*this, "kill_reason"));
  out.set_download_error(detail(*this, "download_error"));
  out.set_validation_error(detail(*this, "validation_error"));
  out.set_disk_limit(int_detail(*this, "disk_limit"));
  out.set_failed_sibling(detail(*this, "failed_sibling"));
  out.set_task_signal_reason(detail(*this, "task_signal_reason"));
  out.set_task_signal(detail(*this, "task_signal"));
}

TaskEvent TaskEvent::from_schema(const schema::TaskEvent& in) {
  TaskEvent out;
  out.type = in.type();
  out.time = {in.time()};
  out.message = in.message();
  out.fails_task = in.fails_task();
  for (const auto& [key, value] : in.details()) {
    if (key != "fails_task") out.details[key] = value;
  }
  return out;
}

namespace event {

TaskEvent plain(std::string_view type) {
  TaskEvent out;
  out.type = type;
  return out;
}

TaskEvent with_message(std::string_view type, std::string message) {
  TaskEvent out = plain(type);
  out.message = std::move(message);
  return out;
}

TaskEvent with_detail(std::string_view type, std::string key, std::string value) {
  TaskEvent out = plain(type);
  out.details[std::move(key)] = std::move(value);
  return out;
}

TaskEvent terminated(int exit_code, int signal, bool oom_killed, std::string_view error) {
  TaskEvent out = plain(kTerminated);
  out.details["exit_code"] = std::to_string(exit_code);
  out.details["signal"] = std::to_string(signal);
  out.details["oom_killed"] = oom_killed ? "true" : "false";
  std::string text(error);
  if (oom_killed) text = text.empty() ? "OOM Killed" : text + " (OOM Killed)";
  if (!text.empty()) out.details["exit_message"] = text;
  return out;
}

TaskEvent restarting(Duration delay, std::string_view reason) {
  TaskEvent out = with_detail(kRestarting, "start_delay", std::to_string(delay.count()));
  if (!reason.empty()) out.details["restart_reason"] = reason;
  return out;
}

TaskEvent not_restarting(std::string_view reason) {
  TaskEvent out = with_detail(kNotRestarting, "restart_reason", std::string(reason));
  out.fails_task = true;
  return out;
}

TaskEvent killing(Duration kill_timeout) {
  return with_detail(kKilling, "kill_timeout", std::to_string(kill_timeout.count()));
}

TaskEvent sibling_failed(std::string_view sibling) {
  return with_detail(kSiblingFailed, "failed_sibling", std::string(sibling));
}

TaskEvent shutdown_delay(Duration delay) {
  return with_message(kShutdownDelay,
                      "Waiting for shutdown_delay of " + format_duration(delay) + " before killing the task.");
}

}  // namespace event
}  // namespace steppe::client
