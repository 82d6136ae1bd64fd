#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/machine/hardening/table.h"

namespace steppe::hardening {

// A running machine, as far as the table is about it.
struct Observed {
  // The text of a file below /proc/sys ("kernel/sysrq"); nothing where it is not there or may not be read.
  std::function<std::optional<std::string>(const std::string& path)> setting;
  std::string command_line;  // /proc/cmdline
  std::string mountinfo;     // of a process in the host's mount namespace
  std::string release;       // uname -r
};

struct ReadBack {
  Table found;                           // the table, with what is there as the values: equal to it when all holds
  std::vector<std::string> differences;  // lines for people: row, what it should be, what is there
};

// Compares row by row. A waived row that has no value of ours is not looked at. Of the kernel's own configuration a running machine
// says nothing: those rows hold when this is the very release that they were checked for. kCorrupt: mountinfo cannot be read.
Result<ReadBack> read_back(const Table& table, const Observed& machine);

// The words of a kernel command line, as the kernel divides them: by white space outside of double quotes, which are dropped
// (lib/cmdline.c, next_arg).
std::vector<std::string> command_words(std::string_view line);

// The row that a mount point belongs to: the one of its name, else the longest pattern; null when there is none.
const Row* mount_row(const Table& table, std::string_view target);

}  // namespace steppe::hardening
