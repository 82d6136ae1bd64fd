#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/config/agent_config.h"
#include "init/base/result.h"

namespace steppe::config {

struct File {
  std::string name;
  std::string text;
};

// Reads files in HCL or JSON (told apart by their first character) over `config`, one after the other: what a later
// file says replaces what an earlier one said; maps and named blocks are merged by key, and the lists start_join,
// retry_join and servers grow. Every key of Nomad's agent configuration is known; any other is an error. The error's
// text holds all findings with file, line, column and excerpt; `config` then holds something in between and is not to
// be used.
//
// `warnings` names, once each, the keys that were given but that nothing here acts on: "client.gc_volumes_on_node_gc".
Result<> load(const std::vector<File>& files, AgentConfig* config, std::vector<std::string>* warnings);

// One file by itself, for those who hold an agent's configuration as a part of something else.
Result<> check_text(const std::string& name, const std::string& text);

// What must hold between the settings, whatever file they came from: a data_dir unless `dev`, ports in order, a known
// log level, and so on. The error's text has one line for each fault.
Result<> check(const AgentConfig& config, bool dev);

// Of a directory's entries those that are configuration files (*.hcl, *.json; no leading dot or trailing '~'), in the
// order in which they are read.
std::vector<std::string> config_files_of(std::vector<std::string> names);

// What a reload would change. Settings are named as in the file: "log_level", "client.meta.rack".
struct Changes {
  std::vector<std::string> applied;       // take effect without a restart
  std::vector<std::string> need_restart;  // stay as they are until then
  bool empty() const { return applied.empty() && need_restart.empty(); }
};
Changes compare(const AgentConfig& before, const AgentConfig& after);

// Every setting with its value as text, for showing; secrets that are set as "<redacted>".
TextMap flatten(const AgentConfig& config);

}  // namespace steppe::config
