#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/isolate/child.h"
#include "drivers/isolate/plan.h"
#include "init/base/result.h"

namespace steppe::isolate {

// Which list of a plan a failure belongs to; the numbers are those of the executor's report.
enum class StepList : uint8_t { kPrelude = 0, kChild = 1, kExecutor = 2 };

// Builds the block that plan.h describes. Steps run in the order in which they were added. The caller sets head's plain
// fields directly; every descriptor named in a step or field must also be given to inherit().
class PlanBuilder {
 public:
  PlanHead head;

  PlanBuilder();
  uint32_t text(std::string_view value);                       // 0 for an empty one
  uint32_t array(std::span<const std::byte> bytes);            // 8-byte aligned; 0 when empty
  // `what` names the step in errors: "mount /proc".
  Step& step(Op op, std::string what);
  Step& prelude(Op op, std::string what);
  void inherit(int fd);
  void command(const std::vector<std::string>& candidates, const std::vector<std::string>& argv, const std::vector<std::string>& env);

  const std::vector<int>& inherited() const { return inherited_; }
  // kExhausted when the plan is larger than kMaxPlanSize. Checked the way the executor checks it.
  Result<std::string> build();
  // "mount /proc: Operation not permitted" for a failure that the executor reported.
  Error explain(StepList list, uint32_t step, int error) const;

 private:
  uint32_t list(const std::vector<std::string>& texts);

  std::string buffer_;
  std::optional<std::string> holds_nul_;  // how the first text that does begins
  std::vector<Step> steps_, prelude_;
  std::vector<std::string> step_names_, prelude_names_;
  std::vector<int> inherited_;
};

}  // namespace steppe::isolate
