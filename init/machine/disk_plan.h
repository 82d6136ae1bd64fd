#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "init/machine/gpt.h"
#include "init/machine/machine_config.h"

namespace steppe::machine {

// What a probing child says of one disk.
struct DiskFacts {
  std::string device;             // "/dev/vda"
  std::vector<std::string> links; // "/dev/disk/by-path/…" that lead to it
  std::string serial;
  uint64_t bytes = 0;
  uint32_t block_bytes = 512;
  std::optional<Gpt> gpt;
  bool gpt_damaged = false;       // there was one, and no copy is whole
  std::string content;            // without a GPT: what its signature says it holds ("ext4", "dos", "LVM2_member"); "": blank
  bool booted = false;            // the running image came from this disk's ESP
  bool removable = false;
  // Of gpt->partitions, in their order: "ext4", "vfat", "" for none; also "" while kUnfinished (gpt_write.h).
  std::vector<std::string> filesystems;
};

enum class DiskStep : uint8_t {
  kFixBackup,  // write the backup GPT at the disk's end, and let the usable blocks reach there
  kWipe,       // a new, empty GPT; what was there is gone
  kCreate,     // a partition of `type` and `label` in blocks first..last
  kGrow,       // partition `number` up to block `last`; its filesystem too
  kFormat,     // a filesystem on partition `number`, which has none
  kUse,        // partition `number` as it is
  kRefuse,     // nothing is done: `why`
};
struct DiskAction {
  DiskStep step;
  std::string device;
  uint32_t number = 0;
  std::string type, label;
  uint64_t first = 0, last = 0;
  std::string why;
};

// Where state and data go, at every start. The table:
//
//   the disk that was booted from, or is chosen            -> state and data on it
//     no GPT, blank, chosen                                -> wipe (there is nothing), create, format
//     no GPT, something there (or a damaged GPT)           -> refuse, unless `wipe`
//     a GPT without an ESP or partition of ours            -> refuse, unless `wipe`
//     a GPT of ours, not at the disk's end                 -> fix the backup first (an image written to a larger disk)
//     state or data missing, room after the last partition -> create and format
//     missing, no room                                     -> refuse, with the numbers
//     there, no filesystem                                 -> format
//     there, our filesystem (ext4)                         -> use; data, when it is last, grows first
//     there, another filesystem                            -> refuse
//   two disks that fit the choice                          -> refuse, with their names
//   not known what was booted from, no disk chosen         -> the one fixed disk with an ESP or state of ours, as if booted from it
//                                                             (firmware without variables, or an installed machine booted from the network)
//   no such disk                                           -> nothing: state lives in memory
//
// `wipe` never reaches the disk that was booted from. Partitions are found by type; of several, by label. Pure.
std::vector<DiskAction> plan_disks(const std::vector<DiskFacts>& disks, const Disks& wanted);

}  // namespace steppe::machine
