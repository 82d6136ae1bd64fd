#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

// What an image asks of its kernel for its own safety, row by row, and what it does about each. The builder decides and records
// it (image/spec/hardening.h); PID 1 applies the part that is settings; steppe-node reads a running machine back against it.
namespace steppe::hardening {

enum class Kind : uint8_t { kSetting, kArgument, kMount, kKernel };
std::string_view kind_name(Kind kind);  // "sysctl", "argument", "mount", "kernel": as in the file, and for people

// Values, by kind:
//   sysctl    name as in sysctl(8), "net.ipv4.conf.all.log_martians"; the text below /proc/sys
//   argument  of the kernel: "pti" with "on"; a bare word has the value ""; kAbsent: it must not be there
//   mount     the mount point; options that the mount has in any case, "nosuid,nodev". A name that ends in '*' is about every
//             mount below it that has no row of its own, "*" about all others
//   kernel    "CONFIG_X" with "y", "m", a number, or kNotSet; "+a,b" for a list, in quotes, that holds both
inline constexpr std::string_view kAbsent = "absent";
inline constexpr std::string_view kNotSet = "not set";

struct Row {
  Kind kind = Kind::kSetting;
  std::string name = {};
  std::string asked = {};  // what is recommended
  std::string since = {};  // the first kernel that knows it: "5.13"
  // kEnforced: the image has it as it is asked for. kWaived: it does not, for `reason`.
  enum class State : uint8_t { kEnforced, kWaived } state = State::kEnforced;
  // kOptional: fine where the machine has no such thing (a mount without a disk, a setting of an absent driver).
  enum class Need : uint8_t { kRequired, kOptional } need = Need::kRequired;
  // Whether `value` is applied and read back; false for a waived row that has no value of ours.
  bool applied = true;
  std::string value = {};   // what the image has: as asked, or the weaker one that a waived row has instead
  std::string reason = {};  // of a waived row, for people
  bool operator==(const Row&) const = default;
};

// "sysctl kernel.sysrq": the row's name in messages and in a spec's waivers. Unique in a table.
std::string row_name(const Row& row);

struct Table {
  std::string kernel;  // the release that it was decided for: "6.12.107+deb13-amd64"
  std::vector<Row> rows;
  const Row* find(Kind kind, std::string_view name) const;
  bool operator==(const Table&) const = default;
};

// Where the image's root has the table, and what PID 1 reads of it.
inline constexpr std::string_view kTableFile = "usr/lib/steppe/hardening";
inline constexpr std::string_view kSettingsFile = "usr/lib/steppe/sysctl";

inline constexpr size_t kMaxRows = 1024;
inline constexpr size_t kMaxText = 512;  // bytes of one column; no tab, no line end, printable ASCII
inline constexpr Bytes kMaxTableFile = Bytes::kib(512);

// Text, version 1: "steppe-hardening 1", "kernel RELEASE", then a row a line, its columns divided by tabs:
//   KIND  NAME  ASKED  SINCE  enforced|waived  required|optional  =VALUE or -  REASON
// Needs no checksum of its own: it lies in the image's signed root.
std::string write_table(const Table& table);
// kUnsupported: another version. kCorrupt names the line. kExhausted: past a bound.
Result<Table> parse_table(std::string_view text);

// What PID 1 applies (init/boot/kernel_settings.h has the format), sorted bytewise: '/' instead of the dots of a name.
std::string settings_file(const Table& table);

}  // namespace steppe::hardening
