#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/machine/disk_plan.h"
#include "init/machine/storage/hardware.h"

namespace steppe::storage {

inline constexpr const char* kStateAt = "/state";
inline constexpr const char* kDataAt = "/data";
inline constexpr const char* kEspAt = "/efi";
inline constexpr const char* kConfigAt = "/run/steppe/config";  // must be there
inline constexpr const char* kFormatter = "/usr/sbin/mke2fs";
inline constexpr const char* kChecker = "/usr/sbin/e2fsck";

// How long each part may take at most. The sum is less than what PID 1 gives the step.
inline constexpr Duration kBootDiskLimit = std::chrono::seconds(20);   // until the disk that was booted from, or is chosen, is there
inline constexpr Duration kAnyDiskLimit = std::chrono::seconds(4);     // until any disk is, while a controller may bring one
inline constexpr Duration kFormatLimit = std::chrono::seconds(60);
inline constexpr Duration kCheckStateLimit = std::chrono::seconds(60);
inline constexpr Duration kCheckDataLimit = std::chrono::seconds(180);

// One of the places where a file system of the machine's own may be mounted.
struct Place {
  std::string device;   // "/dev/vda2"; "": nothing of a disk is mounted there
  std::string done;     // "created", "checked", "repaired", "not checked"
  std::string why;      // when nothing is mounted
};
struct Outcome {
  Place esp, config, state, data;
};

// Lines for whoever stands before the machine, and for the log.
struct Speech {
  std::function<void(std::string_view text)> say;    // what was decided
  std::function<void(std::string_view text)> wrong;  // what failed, and what follows
};

// Mounts the ESP, and the one configuration partition of any disk, read-only; asks `wanted` which disks are chosen (a file on either may
// say); lays state and data out, checks and mounts them.
// What fails is said and left out: /state and /data are then what they were before, file systems in memory.
//
// A partition that cannot be repaired is never formatted: only one that this code made and did not finish, or that was found
// without anything in it. Once at a start, by one process.
Outcome set_up(Hardware& hardware, const std::function<machine::Disks()>& wanted, const Speech& speech);

// As /run/steppe/storage has it: one line "steppe-storage 1", then "esp", "config", "state", "data", each with "DEVICE DONE" or "- WHY".
std::string describe(const Outcome& outcome);

// What mke2fs is asked for: everything that follows from a configuration file otherwise. `uuid` and `hash_seed` are GUIDs as text.
struct FormatRequest {
  std::string device, label, uuid, hash_seed;
  Bytes size;
};
std::vector<std::string> format_arguments(const FormatRequest& request);

}  // namespace steppe::storage
