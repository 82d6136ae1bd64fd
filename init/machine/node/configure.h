#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/machine/network/lease.h"
#include "init/machine/remote_sources.h"

namespace steppe::node {

// A whole document, as it was found.
struct Document {
  machine::Origin origin = machine::Origin::kEspFile;
  machine::Trust trust = machine::Trust::kRemote;
  std::string name;  // for messages: its path or URL
  std::string text;
};

// What a machine was told, as it was found: nothing is parsed yet.
struct RawSources {
  std::string command_line;                      // /proc/cmdline
  std::vector<std::string> oem_strings;          // the raw structures of type 11 of the firmware's table
  std::optional<std::string> fw_cfg;             // QEMU's opt/steppe/config, a whole document
  std::vector<Document> documents;               // applied, of the ESP, of a configuration partition, and what was fetched
  std::vector<std::string> faults;               // what could not be read or fetched
};

// Where the machine's API keeps the document that was applied: the state partition, and, where that cannot be written, until the end
// of this power-on.
inline constexpr std::string_view kAppliedFile = "state/config/steppe.hcl", kAppliedForNow = "run/steppe/applied/steppe.hcl";

// Reads them below `root`, "/" but in tests: /proc/cmdline, /sys/firmware/dmi/entries/11-*/raw (needs the module dmi-sysfs),
// /sys/firmware/qemu_fw_cfg/by_name/opt/steppe/config/raw (needs qemu_fw_cfg), /efi/steppe.hcl, /run/steppe/config/steppe.hcl,
// kAppliedFile, else kAppliedForNow. What is not there is no error; what cannot be read or is too long is one, said in `problems`.
RawSources read_sources(const std::string& root, std::vector<std::string>& problems);

// What it is known by on the network, from /sys/class/net and /sys/class/dmi/id below `root`. Sorted by device; loopback, and links
// that are no Ethernet, are left out.
machine::MachineFacts read_facts(const std::string& root);

struct Configuration {
  machine::MachineConfig config;
  std::vector<std::string> problems;  // lines for people: which source, where, what was expected
  std::vector<std::string> notes;
  // It says enough for the machine to start its agent: something names the machine (machine::names_machine), or steppe.standalone
  // asks for a node by itself. With a fault in some source, a host name alone is not enough: what that source said may be where the
  // machine belongs; only `join`, `agent`, and a document that was applied are.
  bool complete = false;
  std::vector<machine::Setting> settings;  // of kernel arguments and SMBIOS: remote_sources() are made of them
};
// Parses and merges. With problems, the part that they are about is left out, and the rest holds. `agent_ok` false leaves the agent
// block out, which is a fault. Pure.
Configuration configure(const RawSources& sources, bool agent_ok = true);

// The agent's configuration files, name -> text, read by the agent in the order of their names: what an image's agent has in
// any case, what the machine's configuration says, and the `agent` block as it was written. `run` is the run directory, /run/steppe.
// `agent_ok` false leaves the agent block out. Pure.
std::map<std::string, std::string> agent_files(const machine::MachineConfig& config, std::string_view run, bool agent_ok);

// What the agent's environment holds beside what PID 1 gives it, lines KEY=VALUE, read by `steppe-node agent`: where it finds whom to
// trust (`run`/trust/ca-certificates.crt), and the proxies. Pure.
std::vector<std::string> agent_environment(const machine::MachineConfig& config, std::string_view run);

// The certificate authorities of the image and the machine's own behind them, as one bundle. Pure.
std::string trust_bundle(std::string_view of_image, const machine::Ca& own);

// The time servers: those of the configuration, else those that DHCP named, else pool.ntp.org. One line each: "server HOST", or
// "servers HOST" for a name that stands for many. Pure.
std::string time_servers(const machine::Time& configured, const std::vector<network::Lease>& leases);

// As a string of HCL: quotes, backslashes, line ends and template openings escaped.
std::string hcl_text(std::string_view text);

}  // namespace steppe::node
