#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/client/artifact_fetcher.h"
#include "agent/client/fingerprint.h"
#include "agent/main/log_sink.h"
#include "drivers/api/config_value.h"
#include "init/base/log.h"
#include "init/base/result.h"

namespace steppe::agent {

// One agent as its command line and configuration describe it, complete and checked.
struct Settings {
  bool dev = false;
  bool server = false;
  bool client = false;
  std::string data_dir;             // absolute; empty with -dev: a directory of its own, removed at the end
  std::string program;              // path of this executable
  std::string executor;             // path of steppe-executor
  std::string name;                 // of the node; empty: the host's name
  std::string region = "global";
  std::string bind_address = "127.0.0.1";
  uint16_t http_port = 4646;
  uint16_t rpc_port = 4647;
  uint16_t serf_port = 4648;
  log::Level log_level = log::Level::kInfo;
  LogFormat log_format = LogFormat::kText;
  client::NodeConfig node;
  bool raw_exec = false;            // off unless configured, on with -dev
  std::map<std::string, std::string> chroot_env;  // of the exec driver; empty: the default
  std::map<std::string, std::string> response_headers;
  int64_t gc_max_allocs = 50, gc_parallel_destroys = 2;
  double gc_disk_usage_threshold = 80, gc_inode_usage_threshold = 70;
  Duration gc_interval = std::chrono::minutes(1);
  Duration max_kill_timeout = std::chrono::seconds(30);
  client::ArtifactSettings artifact;
  drivers::ConfigMap exec_plugin;    // `config` of the block plugin "exec"
  std::vector<std::string> ignored;  // keys and flags that are known and not acted on yet
  std::vector<std::string> config_paths;  // read again on SIGHUP
};

// From the words behind "agent". kInvalid: what is wrong, where, and what to do. `environment` as the process has it.
Result<Settings> read_settings(const std::vector<std::string>& words, const std::map<std::string, std::string, std::less<>>& environment);

// Where this program lies, by /proc/self/exe: its siblings are beside it.
std::string directory_of_program();

// Help of `steppe agent`.
std::string agent_help(std::string_view program);

}  // namespace steppe::agent
