#include "tests/sim/slots/slot_walk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "init/base/text.h"

namespace steppe::sim {
namespace {

uint64_t seeds(uint64_t otherwise) {
  const char* text = std::getenv("STEPPE_SIM_SEEDS");
  return text ? parse_uint(text).value_or(otherwise) : otherwise;
}

TEST(SlotWalk, LeavesABootableImageUnderEveryPowerCut) {
  uint64_t cuts = 0, staged = 0, blessed = 0, reverted = 0, stood = 0;
  for (uint64_t seed = 0; seed < seeds(200); seed++) {
    SlotWalk walk(seed, {});
    std::string broken = walk.run(30);
    ASSERT_EQ(broken, "") << "seed " << seed;
    cuts += walk.cuts();
    staged += walk.staged();
    blessed += walk.blessed();
    reverted += walk.reverted();
    stood += walk.stood_still();
  }
  // The walks go where they should: all of this happens often.
  EXPECT_GT(cuts, seeds(200));
  EXPECT_GT(staged, seeds(200));
  EXPECT_GT(blessed, seeds(200) / 2);
  EXPECT_GT(reverted, seeds(200) / 4);
  std::printf("%lu cuts, %lu staged, %lu blessed, %lu turned back, %lu stood still\n", cuts, staged, blessed, reverted, stood);
}

// Seeds until a planted fault shows; 0 when it does not in `limit`.
uint64_t found_after(const SlotMutant& mutant, uint64_t limit, std::string* what) {
  for (uint64_t seed = 0; seed < limit; seed++) {
    *what = SlotWalk(seed, mutant).run(30);
    if (!what->empty()) return seed + 1;
  }
  return 0;
}

void without(upgrade::Plan& plan, upgrade::StepKind kind) {
  std::erase_if(plan.steps, [&](const upgrade::Step& step) { return step.kind == kind; });
}

TEST(SlotWalk, FindsEveryPlantedFault) {
  struct Case {
    const char* name;
    SlotMutant mutant;
  };
  auto delete_first = [](upgrade::Plan& plan) {
    bool writes = std::ranges::any_of(plan.steps, [](auto& step) { return step.kind == upgrade::StepKind::kWrite; });
    if (!writes) return;
    // As an updater with one other slot does: empties what is there, then writes.
    plan.steps.insert(plan.steps.begin(), {.kind = upgrade::StepKind::kRemove, .name = "steppe-1.efi"});
  };
  auto name_first = [](upgrade::Plan& plan) {
    for (upgrade::Step& step : plan.steps)
      if (step.kind == upgrade::StepKind::kWrite)
        for (const upgrade::Step& later : plan.steps)
          if (later.kind == upgrade::StepKind::kRename && later.name == step.name) {
            step.name = later.to;
            std::erase_if(plan.steps, [](auto& one) { return one.kind == upgrade::StepKind::kRename && upgrade::is_part_name(one.name); });
            return;
          }
  };
  auto remove_double = [](upgrade::Plan& plan) {
    for (upgrade::Step& step : plan.steps)
      if (step.kind == upgrade::StepKind::kForget) step.kind = upgrade::StepKind::kRemove;
  };
  auto no_record = [](upgrade::Plan& plan) { without(plan, upgrade::StepKind::kRecord); };
  auto good_at_once = [](upgrade::Plan& plan) {
    for (upgrade::Step& step : plan.steps)
      if (step.kind == upgrade::StepKind::kRename && upgrade::is_part_name(step.name))
        step.to = upgrade::slot_file_name({upgrade::parse_slot_name(step.to)->version, std::nullopt});
  };
  auto remove_old_name = [](upgrade::Plan& plan) {  // a "safer" rename: the good file goes before the next one is good
    for (upgrade::Step& step : plan.steps)
      if (step.kind == upgrade::StepKind::kRename && step.to.ends_with("+0-0.efi")) step = {.kind = upgrade::StepKind::kRemove, .name = step.name};
  };
  auto no_forget = [](upgrade::Plan& plan) { without(plan, upgrade::StepKind::kForget); };
  const Case cases[] = {
      {"a file's fsync does nothing", {.faults = {.file_sync_lies = true}}},
      {"names reach the disk in any order", {.faults = {.unordered_names = true}}},
      {"the second name of a chain is unlinked", {.plan = remove_double}},
      {"forgetting a name frees its clusters", {.faults = {.forget_frees = true}}},
      {"two names stay two names", {.plan = no_forget}},
      {"the good image is deleted before the new one is written", {.plan = delete_first}},
      {"the image is written under its final name", {.plan = name_first}},
      {"an image is good without a trial", {.plan = good_at_once}},
      {"a step back removes what it steps back from", {.plan = remove_old_name}},
      {"a failed digest is forgotten", {.plan = no_record}},
      {"bless by LoaderBootCountPath alone", {.bless_counted_path = true}},
      {"LoaderEntryDefault is set", {.pin_default = true}},
  };
  for (const Case& planted : cases) {
    std::string what;
    uint64_t after = found_after(planted.mutant, 1000, &what);
    EXPECT_NE(after, 0u) << planted.name << " was not found";
    std::printf("%-58s found at seed %lu: %.60s\n", planted.name, after, what.c_str());
  }
}

}  // namespace
}  // namespace steppe::sim
