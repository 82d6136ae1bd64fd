#include "init/upgrade/extension/states.h"

#include <format>

#include "init/frame/frame.h"
#include "init/sys/kernel/host_file.h"
#include "init/upgrade/manifest.h"

namespace steppe::extension {
namespace {

constexpr uint16_t kVersion = 1;
constexpr size_t kMaxDetail = 1024;
// Of the n-th, 3n on.
enum Tag : uint16_t { kTagName = 1, kTagCondition, kTagDetail, kTags = 3 };

}  // namespace

std::string_view condition_name(Condition condition) {
  switch (condition) {
    case Condition::kMounted: return "mounted";
    case Condition::kMissing: return "missing";
    case Condition::kRefused: return "refused";
    case Condition::kFailed: return "failed";
  }
  return "";
}

std::string encode_states(const std::vector<State>& states) {
  frame::Builder builder(frame::kExtensionStates, kVersion);
  uint16_t at = 0;
  for (const State& state : states) {
    builder.text(at + kTagName, state.name).integer(at + kTagCondition, static_cast<int64_t>(state.condition));
    builder.text(at + kTagDetail, std::string_view(state.detail).substr(0, kMaxDetail));
    at += kTags;
  }
  return builder.finish();
}

Result<std::vector<State>> decode_states(ByteView bytes) {
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kExtensionStates, kVersion, kMaxStates).wrap("states of the extensions"));
  std::vector<State> out;
  for (uint16_t at = 0; message.has(at + kTagName); at += kTags) {
    const int64_t condition = message.integer(at + kTagCondition);
    if (condition < 1 || condition > static_cast<int64_t>(Condition::kFailed) || out.size() == upgrade::kMaxExtensions)
      return Error(Code::kCorrupt, "states of the extensions: too many, or one that is no state");
    out.push_back({std::string(message.text(at + kTagName)), static_cast<Condition>(condition), std::string(message.text(at + kTagDetail))});
  }
  return out;
}

std::string faults(const std::vector<State>& states) {
  std::string out;
  for (const State& state : states) {
    if (state.condition == Condition::kMounted) continue;
    out += std::format("{}{} {}: {}", out.empty() ? "" : "; ", state.name, condition_name(state.condition), state.detail);
  }
  return out;
}

Result<std::string> read_faults(const std::string& states_file, size_t named) {
  Result<std::string> bytes = kernel::read_host_file(states_file, Bytes(kMaxStates));
  if (!bytes.ok() && bytes.error().code() == Code::kNotFound)
    return named == 0 ? std::string() : std::string("nobody looked at the extensions that this image names");
  if (!bytes.ok()) return std::move(bytes).error();
  STEPPE_TRY(const std::vector<State> states, decode_states(as_bytes(*bytes)));
  return faults(states);
}

}  // namespace steppe::extension
