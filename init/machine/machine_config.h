#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/base/secret.h"
#include "init/hcl/diagnostic.h"
#include "init/machine/network/settings.h"

namespace steppe::machine {

inline constexpr int64_t kConfigVersion = 1;
inline constexpr size_t kMaxConfigBytes = 1u << 20;  // of one document
inline constexpr size_t kMaxItems = 64;              // of any list

// The parts of the document. Each comes whole from one source.
enum class Section : uint8_t { kIdentity, kNetwork, kJoin, kTime, kDisks, kKeys, kCa, kProxy, kConsole, kSecurity, kAgent };
inline constexpr Section kSections[] = {Section::kIdentity, Section::kNetwork, Section::kJoin,  Section::kTime,     Section::kDisks, Section::kKeys,
                                        Section::kCa,       Section::kProxy,   Section::kConsole, Section::kSecurity, Section::kAgent};
std::string_view section_name(Section section);  // "identity", as the block is called

struct Identity {
  std::string hostname;    // RFC 1123 label or name; "": by DHCP, else from the first MAC address
  std::string region, datacenter, node_class, node_pool;  // "": the agent's defaults
  std::map<std::string, std::string, std::less<>> meta;   // at most kMaxItems
};
struct Join {
  std::vector<std::string> servers;  // "host", "host:port"
  Secret token;
};
struct Time {
  std::vector<std::string> servers;  // NTP; empty: those of DHCP, else the image's
};
// A disk is named by what stays: a path under /dev/disk/by-*, a serial number, or a smallest size; all that is given must match.
struct DiskChoice {
  std::string by_path, serial;
  uint64_t min_bytes = 0;
  bool wipe = false;       // what is there may be destroyed
};
struct Disks {
  std::optional<DiskChoice> system;  // absent: the disk that the machine booted from
  std::optional<DiskChoice> data;    // absent: the system disk
};
struct Keys {
  std::vector<std::string> trusted;  // certificates, PEM, whose images this machine takes
  std::vector<std::string> refused;  // SHA-256 of images, 64 hex digits
};
struct Ca {
  std::vector<std::string> certificates;  // PEM, trusted beside the image's
};
struct Proxy {
  std::string http, https;
  std::vector<std::string> except;
};
struct Console {
  std::vector<std::string> devices;  // "tty0", "ttyS0"; empty: the kernel's
  bool quiet = false;
};
struct Security {
  uint64_t version = 0;  // images below it are not taken
};

// A machine's configuration: ONE HCL document. `agent { … }` is kept as text; the agent reads and checks it.
struct MachineConfig {
  Identity identity;
  network::Settings network;
  Join join;
  Time time;
  Disks disks;
  Keys keys;
  Ca ca;
  Proxy proxy;
  Console console;
  Security security;
  std::string agent;           // what stands between the braces
  uint32_t agent_line = 0;     // where that begins, for messages; 0 without one
  std::set<Section> given;     // the blocks that the document has
};

// Reads a document. Strict: unknown and repeated names, wrong types and values out of range are errors, each with file, line,
// column, excerpt and what was expected; reading goes on so that all are found. `version = 1` is required. Only constants: no
// variables, no functions. The result is not to be used when diagnostics has errors. Pure; bounded by kMaxConfigBytes.
MachineConfig read_machine_config(std::string name, std::string text, hcl::Diagnostics& diagnostics);

// The same for `steppe machine validate`: the findings as text, empty when the document is fit. The agent block goes to `agent`
// (which returns its findings, or ""), padded with newlines so that its places are those of the document.
using AgentCheck = Result<> (*)(const std::string& file, const std::string& text);
Result<MachineConfig> validate_machine_config(std::string name, std::string text, AgentCheck agent);

// Checks that other sources need, too. The error says what was expected.
Result<> check_hostname(std::string_view text);
Result<> check_server(std::string_view text);  // "host", "host:port", "[v6]:port"
// "https://…", or "http://…#sha256=HEX": what is fetched without TLS must be known beforehand.
Result<> check_url(std::string_view text);
Result<> check_proxy_url(std::string_view text);

}  // namespace steppe::machine
