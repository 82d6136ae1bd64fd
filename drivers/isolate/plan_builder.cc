#include "drivers/isolate/plan_builder.h"

#include <algorithm>
#include <cstring>
#include <format>

#include "init/base/assert.h"

namespace steppe::isolate {

PlanBuilder::PlanBuilder() : buffer_(sizeof(PlanHead), '\0') {}

uint32_t PlanBuilder::text(std::string_view value) {
  if (value.empty()) return 0;
  auto at = static_cast<uint32_t>(buffer_.size());
  buffer_.append(value);
  buffer_.push_back('\0');
  return at;
}

uint32_t PlanBuilder::array(std::span<const std::byte> bytes) {
  if (bytes.empty()) return 0;
  buffer_.resize((buffer_.size() + 7) / 8 * 8, '\0');
  auto at = static_cast<uint32_t>(buffer_.size());
  buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return at;
}

Step& PlanBuilder::step(Op op, std::string what) {
  step_names_.push_back(std::move(what));
  steps_.emplace_back();
  steps_.back().op = op;
  return steps_.back();
}

Step& PlanBuilder::prelude(Op op, std::string what) {
  prelude_names_.push_back(std::move(what));
  prelude_.emplace_back();
  prelude_.back().op = op;
  return prelude_.back();
}

void PlanBuilder::inherit(int fd) {
  if (fd < 0) return;
  auto at = std::ranges::lower_bound(inherited_, fd);
  if (at == inherited_.end() || *at != fd) inherited_.insert(at, fd);
}

uint32_t PlanBuilder::list(const std::vector<std::string>& texts) {
  std::vector<uint64_t> offsets;
  offsets.reserve(texts.size() + 1);
  for (const std::string& value : texts) {
    offsets.push_back(buffer_.size());
    // The kernel would take what stands before a NUL for the whole.
    if (value.find('\0') != std::string::npos && !holds_nul_) holds_nul_ = value.substr(0, value.find_first_of(std::string_view("=\0", 2)));
    buffer_.append(value);
    buffer_.push_back('\0');
  }
  offsets.push_back(0);
  return array(std::as_bytes(std::span(offsets)));
}

void PlanBuilder::command(const std::vector<std::string>& candidates, const std::vector<std::string>& argv,
                          const std::vector<std::string>& env) {
  head.candidates = list(candidates);
  head.argv = list(argv);
  head.envp = list(env);
}

Result<std::string> PlanBuilder::build() {
  if (holds_nul_) return {Code::kInvalid, std::format("the argument or variable that begins with \"{}\" holds a NUL byte", *holds_nul_)};
  head.inherited_count = static_cast<uint32_t>(inherited_.size());
  head.inherited = array(std::as_bytes(std::span(inherited_)));
  if (head.inherited == 0) head.inherited = sizeof(PlanHead);
  head.step_count = static_cast<uint32_t>(steps_.size());
  head.steps = array(std::as_bytes(std::span(steps_)));
  head.prelude_count = static_cast<uint32_t>(prelude_.size());
  head.prelude = array(std::as_bytes(std::span(prelude_)));
  if (buffer_.size() > kMaxPlanSize) {
    return {Code::kExhausted, std::format("arguments and environment take {} bytes, more than {}", buffer_.size(), kMaxPlanSize)};
  }
  head.size = static_cast<uint32_t>(buffer_.size());
  std::memcpy(buffer_.data(), &head, sizeof head);
  std::string copy = buffer_;  // the check turns offsets into pointers
  Mapped mapped;
  if (int error = check_plan(copy.data(), copy.size(), mapped); error != 0) {
    return Error::from_errno(error, std::format("check a plan of {} steps", steps_.size()));
  }
  return std::move(buffer_);
}

Error PlanBuilder::explain(StepList list, uint32_t step, int error) const {
  const auto& names = list == StepList::kPrelude ? prelude_names_ : step_names_;
  static constexpr std::string_view kOwn[] = {"", "watch for ended processes", "open the task's output", "clone the task's process"};
  if (list == StepList::kExecutor) return Error::from_errno(error, kOwn[step < std::size(kOwn) ? step : 0]);
  return Error::from_errno(error, step < names.size() ? std::string_view(names[step]) : "start the task");
}

}  // namespace steppe::isolate
