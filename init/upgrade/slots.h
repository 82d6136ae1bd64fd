#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/upgrade/manifest.h"
#include "init/upgrade/slot_name.h"

namespace steppe::upgrade {

inline constexpr size_t kMaxNames = 128;      // that a directory of images may hold
inline constexpr size_t kMaxRefused = 32;     // digests remembered; the oldest goes first

// A trial that is counted here because the firmware does not count (tryboot.h).
struct CountedTrial {
  Digest digest{};
  uint32_t left = 0;  // tries
  friend bool operator==(const CountedTrial&, const CountedTrial&) = default;
};

// What a machine remembers about images beyond their names. Losing it loses no image.
struct Record {
  uint64_t generation = 0;           // rises with each writing
  uint64_t security_floor = 0;       // the highest security version that was ever blessed here
  std::vector<Digest> refused;       // images whose trial failed or that were turned back, oldest first
  std::optional<CountedTrial> trial;
  bool refuses(const Digest& digest) const;
  void refuse(const Digest& digest);
  friend bool operator==(const Record&, const Record&) = default;
};

// One frame of type kSlotRecord. Two copies are kept; the valid one with the higher generation counts.
std::string encode_record(const Record& record);
Result<Record> decode_record(ByteView bytes);  // pure; bounded; kCorrupt and so on
inline constexpr size_t kRecordSize = 2048;    // both copies are padded to it, so that overwriting moves no cluster
inline constexpr std::string_view kRecordNames[2] = {"slots.a", "slots.b"};

// One name in the directory of images, and what reading it through said.
struct SlotFile {
  std::string name;
  uint64_t size = 0;
  uint64_t chain = 0;                // the file's first cluster; two names with one chain share their bytes. 0: none or not known
  Digest digest{};                   // of the whole file; meaningless when unread
  Digest section{};                  // of the manifest's frame
  std::optional<Manifest> manifest;  // absent: could not be read, or not an image of ours for this machine
  std::string fault;                 // why there is no manifest
};

// What is known when something is to be decided. Gathered by the shell (survey.h), judged by the pure functions of plan.h.
struct Facts {
  std::vector<SlotFile> files;                 // all names in the directory, also foreign ones
  uint64_t free_bytes = 0, cluster_bytes = 4096;
  std::optional<std::string> entry_selected;   // LoaderEntrySelected; absent without EFI variables or a loader
  std::optional<std::string> count_path;       // LoaderBootCountPath; may be of an EARLIER start since power-on
  std::optional<Digest> running_section;       // SHA-256 of the manifest's frame in the initrd that runs
  Record record;
};

// A slot as `list` shows it.
enum class SlotState : uint8_t { kGood, kTrial, kPending, kBad, kSetAside, kDamaged, kLeftover, kForeign };
std::string_view slot_state_name(SlotState state);
struct Slot {
  std::string file, version;
  SlotState state = SlotState::kForeign;
  bool running = false, next = false;  // next: what the loader starts next time
  uint32_t tries_left = 0;
  uint64_t size = 0;
  std::string note;                    // what is wrong with it
};

// How systemd-boot orders entries, 252 to 257: those without tries left go last, then newer versions first (IMAGE_VERSION of the
// signed .osrel, which stage() requires to be the manifest's). `fit` slots only: what is not a PE file is no entry. Indexes into
// `files`; the first is the default. Equal versions (two names after a power cut) differ between 252, whose entry ids still hold
// the counter, and 257: the list takes an uncounted name first, then more tries left.
std::vector<size_t> loader_order(const std::vector<SlotFile>& files);

}  // namespace steppe::upgrade
