#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "image/spec/spec.h"
#include "init/machine/hardening/table.h"

// What is asked of an image for its safety, and what this product does about each: one row for every recommendation of the
// Kernel Self Protection Project, the CIS benchmark and what peers set. hardening_rows.cc and hardening_kernel_rows.cc are
// the rows; a row says that it is enforced, or that it is waived and why.
namespace steppe::spec {

// One row of the product's table. Text has no tab and no line end.
struct Requirement {
  enum class State : uint8_t { kUndecided, kEnforced, kWaived };
  enum class Processor : uint8_t { kAny, kAmd64, kArm64 };

  hardening::Kind kind = hardening::Kind::kSetting;
  std::string_view name, asked;
  std::string_view since;  // the first kernel that knows it; with an older one the row is waived by itself
  State state = State::kUndecided;
  std::string_view reason = {};  // of a waiver
  bool weaker = false;           // a waiver that sets `value` instead of nothing
  std::string_view value = {};
  hardening::Row::Need need = hardening::Row::Need::kRequired;
  Processor processor = Processor::kAny;
  std::string_view absent_module = {};  // the waiver holds because the image has no module of this name: checked
};

std::span<const Requirement> hardening_requirements();    // settings, arguments, mounts
std::span<const Requirement> kernel_requirements();       // the kernel's configuration

// What the image's parts say about the rows.
struct HardeningInput {
  std::vector<Requirement> requirements;
  std::string kernel_release;
  std::string kernel_config;           // the text of boot/config-RELEASE
  std::set<std::string> module_names;  // in the image, '_' for '-'
};

// The table for this image: every row either enforced or waived with a reason. A kernel row whose option the kernel has is enforced
// whatever the requirement says. The spec's `hardening` block waives rows for its image. kInvalid, with all that is wrong at
// once, each row with where it stands and what to do: a row in neither state or twice there, an enforced kernel row that
// the kernel does not have, a waiver about a module that is in the image, a waiver of the spec for a row that does not exist.
Result<hardening::Table> decide_hardening(const Spec& spec, const HardeningInput& input);

// The kernel's arguments: the spec's, then those of the table, in its order. kInvalid: the spec contradicts a row of the table, or all of
// them take more than kMaxArguments bytes, which is what the kernel reads (COMMAND_LINE_SIZE).
inline constexpr size_t kMaxArguments = 2047;
Result<std::vector<std::string>> merge_arguments(const std::vector<std::string>& given, const hardening::Table& table);

}  // namespace steppe::spec
