#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/machine/machine_config.h"

namespace steppe::node {

// What a machine was told, as it was found: nothing is parsed yet.
struct RawSources {
  std::string command_line;                      // /proc/cmdline
  std::vector<std::string> oem_strings;          // the raw structures of type 11 of the firmware's table
  std::optional<std::string> fw_cfg;             // QEMU's opt/steppe/config, a whole document
};

// Reads them below `root`, "/" but in tests: /proc/cmdline, /sys/firmware/dmi/entries/11-*/raw (needs the module dmi-sysfs),
// /sys/firmware/qemu_fw_cfg/by_name/opt/steppe/config/raw (needs qemu_fw_cfg). What is not there is no error; what cannot be
// read or is too long is one, said in `problems`.
RawSources read_sources(const std::string& root, std::vector<std::string>& problems);

struct Configuration {
  machine::MachineConfig config;
  std::vector<std::string> problems;  // lines for people: which source, where, what was expected
  std::vector<std::string> notes;
};
// Parses and merges. With problems, the part that they are about is left out, and the rest holds. Pure.
Configuration configure(const RawSources& sources);

// The agent's configuration files, name -> text, read by the agent in the order of their names: what an image's agent has in
// any case, what the machine's configuration says, and the `agent` block as it was written. `run` is the run directory, /run/steppe.
// `agent_ok` false leaves the agent block out. Pure.
std::map<std::string, std::string> agent_files(const machine::MachineConfig& config, std::string_view run, bool agent_ok);

// As a string of HCL: quotes, backslashes, line ends and template openings escaped.
std::string hcl_text(std::string_view text);

}  // namespace steppe::node
