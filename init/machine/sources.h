#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "init/machine/kernel_arguments.h"
#include "init/machine/machine_config.h"

namespace steppe::machine {

// Where configuration comes from, in the order in which it counts: a section comes whole from the first source that has it.
enum class Origin : uint8_t {
  kApplied,          // what was applied over the machine's API, kept on the state partition
  kEspFile,          // steppe.hcl at the root of the ESP
  kKernelArguments,  // steppe.NAME=VALUE
  kSmbios,           // OEM strings "steppe:NAME=VALUE"
  kFwCfg,            // QEMU: opt/steppe/config, a whole document
  kCloudMetadata,    // user data
  kConfigPartition,  // a partition labelled STEPPE-CONFIG with steppe.hcl
  kHttpByMac,        // steppe.config_server/mac-…, or steppe.config with ${mac}
  kHttpByUuid,       // steppe.config_server/uuid-…, or steppe.config with ${uuid}
};
std::string_view origin_name(Origin origin);

// How far a source is trusted. Signed: by a key of this machine, or applied through its authenticated API. Local: whoever has the
// machine, or its hypervisor, in hands. Remote: whoever answers on the network.
enum class Trust : uint8_t { kSigned, kLocal, kRemote };
// What an unsigned source of that kind has by nature.
Trust trust_of(Origin origin);
// Identity, network and join may come from anywhere; time, proxy, console, agent and a choice of disks without `wipe` also from
// local sources; keys, ca, wipe and the security version only from signed ones.
bool may_set(Trust trust, Section section);

struct Fragment {
  Origin origin = Origin::kEspFile;
  std::string name;              // "steppe.hcl on the ESP", a URL: for messages
  Trust trust = Trust::kRemote;
  MachineConfig config;
};

// A document from one source; its faults are about `name`.
Fragment fragment_of(Origin origin, std::string name, Trust trust, std::string text, hcl::Diagnostics& diagnostics);

// From settings: hostname, region, datacenter, node_class, node_pool, retry_join (repeatable, or parted by commas), join_token, ntp
// (the same), dns, ip ("DEVICE:ADDRESS/LEN[:GATEWAY]" or "DEVICE:dhcp", repeatable; a gateway after an IPv6 address stands in
// brackets as that does), console (the same), agent (HCL). `config` (a URL, https or with a digest), `maintenance` and others that
// are no configuration are passed over here. Unknown ones are an error that lists what there is.
Fragment fragment_of(Origin origin, const std::vector<Setting>& settings, hcl::Diagnostics& diagnostics);

// Whether it says which machine this is or where it belongs: identity, join or agent. The least that a document must have to make a
// configured machine.
bool names_machine(const MachineConfig& config);

// Where else to look, from settings: steppe.config=URL and steppe.config_server=URL, of each the first. steppe.config_sha256=HEX becomes
// the URL's `#sha256=HEX`. kInvalid for one that is neither https nor has a digest. remote_sources.h says what becomes of them.
struct ConfigLinks {
  std::string config, config_server;
};
Result<ConfigLinks> config_links(const std::vector<Setting>& settings);

struct Merged {
  MachineConfig config;
  std::map<Section, std::string> from;  // the name of the fragment that each section came from
  std::vector<std::string> notes;       // what was hidden by an earlier source
};
// Puts fragments together in the order of their origins (equal origins: as given). A fragment that sets what its trust does
// not allow is an error that names the section and the source; nothing of that section is taken from it. Pure.
Merged merge(const std::vector<Fragment>& fragments, hcl::Diagnostics& diagnostics);

}  // namespace steppe::machine
