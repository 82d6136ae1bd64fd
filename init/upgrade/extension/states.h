#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::extension {

// How one extension of the running image is.
enum class Condition : uint8_t {
  kMounted = 1,
  kMissing = 2,  // no file of it on this machine
  kRefused = 3,  // a file, but not the one that the image names, or not for this machine
  kFailed = 4,   // the right one, which could not be mounted or put to use
};
std::string_view condition_name(Condition condition);  // "mounted", "missing", "refused", "failed"

struct State {
  std::string name;
  Condition condition = Condition::kMissing;
  std::string detail;  // where it is mounted; or what is wrong, for people
  friend bool operator==(const State&, const State&) = default;
};

// What `steppe-node extensions` leaves for whoever asks how the extensions are: one frame of type kExtensionStates, version 1. Of
// the n-th extension, from 0 on: 3n+1 name, 3n+2 condition, 3n+3 detail.
inline constexpr const char* kStatesFile = "/run/steppe/extensions.state";
inline constexpr size_t kMaxStates = 64 << 10;  // bytes
std::string encode_states(const std::vector<State>& states);
Result<std::vector<State>> decode_states(ByteView bytes);

// "gpu missing: …; nic refused: …" of those that are not mounted, or "". An image whose extensions have faults is no good image.
std::string faults(const std::vector<State>& states);
// As faults() of the file's states. A file that is not there says "" where the image names no extension, and else that nobody looked.
Result<std::string> read_faults(const std::string& states_file, size_t named);

}  // namespace steppe::extension
