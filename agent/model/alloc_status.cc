#include "agent/model/alloc_status.h"

#include <algorithm>
#include <format>

#include "agent/schema/alloc.pb.h"
#include "init/base/text.h"

namespace steppe::model {

bool client_terminal(const schema::Allocation& alloc) {
  const std::string& status = alloc.client_status();
  return status == "complete" || status == "failed" || status == "lost";
}

bool server_terminal(const schema::Allocation& alloc) {
  return alloc.desired_status() == "stop" || alloc.desired_status() == "evict";
}

bool ran_successfully(const schema::Allocation& alloc) {
  if (alloc.task_states().empty()) return alloc.client_status() == "complete";
  bool all = true;
  for (const auto& [name, state] : alloc.task_states()) all = all && state.state() == "dead" && !state.failed();
  return all;
}

std::optional<uint64_t> alloc_index(std::string_view alloc_name) {
  const size_t open = alloc_name.rfind('[');
  if (open == std::string_view::npos || !alloc_name.ends_with(']')) return std::nullopt;
  const auto index = parse_uint(alloc_name.substr(open + 1, alloc_name.size() - open - 2));
  if (!index.ok()) return std::nullopt;
  return *index;
}

std::string alloc_name(std::string_view job, std::string_view group, uint64_t index) {
  return std::format("{}.{}[{}]", job, group, index);
}

std::optional<WallTime> last_finished(const schema::Allocation& alloc) {
  int64_t last = 0;
  for (const auto& [name, state] : alloc.task_states()) last = std::max(last, state.finished_at());
  if (last == 0) return std::nullopt;
  return WallTime{last};
}

bool job_stopped(const schema::Job* job) { return job == nullptr || job->stop(); }

bool is_periodic(const schema::Job& job) { return job.has_periodic() && job.periodic().enabled(); }

bool is_parameterized(const schema::Job& job) { return job.has_parameterized_job() && !job.dispatched(); }

}  // namespace steppe::model
