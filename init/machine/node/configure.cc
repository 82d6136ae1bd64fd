#include "init/machine/node/configure.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"
#include "init/machine/kernel_arguments.h"
#include "init/machine/smbios.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::node {
namespace {

using machine::Fragment;
using machine::Origin;
using machine::Section;

constexpr size_t kMaxStructures = 16;  // of type 11: one is usual
constexpr size_t kMaxMacs = 8;

// What the image's agent has, whatever else is configured.
constexpr std::string_view kImageSettings = R"(data_dir = "/state/agent"
plugin "exec" {{
  config {{
    task_root = "/usr/share/steppe/task-root.sqfs"
  }}
}}
client {{
  enabled   = true
  alloc_dir = "/data/alloc"
  artifact {{
    set_environment_variables = "HTTP_PROXY,HTTPS_PROXY,NO_PROXY"
  }}
  chroot_env {{
    "{0}/network/resolv.conf.d" = "/run/resolv.conf.d"
    "{0}/trust" = "/run/trust"
  }}
}}
)";
// An agent that nobody configured: one node by itself, reached only from within.
constexpr std::string_view kAloneSettings = R"(bind_addr = "127.0.0.1"
server {
  enabled          = true
  bootstrap_expect = 1
}
)";

std::optional<std::string> read_optional(const std::string& path, size_t limit, std::vector<std::string>& problems) {
  Result<std::string> text = kernel::read_host_file(path, Bytes(limit));
  if (text.ok()) return std::move(*text);
  if (text.error().code() != Code::kNotFound) problems.push_back(text.error().message());
  return std::nullopt;
}

void set(std::string& out, std::string_view indent, std::string_view key, std::string_view value) {
  if (!value.empty()) out += std::format("{}{} = {}\n", indent, key, hcl_text(value));
}

std::string identity_and_join(const machine::MachineConfig& config) {
  const machine::Identity& identity = config.identity;
  std::string out;
  set(out, "", "name", identity.hostname);
  set(out, "", "region", identity.region);
  set(out, "", "datacenter", identity.datacenter);
  std::string client;
  set(client, "  ", "node_class", identity.node_class);
  set(client, "  ", "node_pool", identity.node_pool);
  if (!identity.meta.empty()) {
    client += "  meta {\n";
    for (const auto& [key, value] : identity.meta) client += std::format("    {} = {}\n", hcl_text(key), hcl_text(value));
    client += "  }\n";
  }
  if (!config.join.servers.empty()) {
    std::string list;
    for (const std::string& server : config.join.servers) list += (list.empty() ? "" : ", ") + hcl_text(server);
    client += std::format("  server_join {{\n    retry_join = [{}]\n  }}\n", list);
  }
  if (!client.empty()) out += "client {\n" + client + "}\n";
  return out;
}

}  // namespace

std::string hcl_text(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\\') out += '\\';
    if ((c == '$' || c == '%') && i + 1 < text.size() && text[i + 1] == '{') out += c;  // "$${" is "${"
    if (c == '\n') out += "\\n";
    else if (c == '\t') out += "\\t";
    else if (c == '\r') out += "\\r";
    else out += c;
  }
  return out + '"';
}

RawSources read_sources(const std::string& root, std::vector<std::string>& problems) {
  RawSources out;
  out.command_line = read_optional(root + "proc/cmdline", machine::kMaxCommandLine, problems).value_or("");
  if (auto entries = kernel::Beneath::at(root + "sys/firmware/dmi/entries"); entries.ok()) {
    auto list = entries->list("", 4096);
    for (const kernel::DirectoryEntry& entry : list.ok() ? *list : std::vector<kernel::DirectoryEntry>()) {
      if (!entry.name.starts_with("11-") || out.oem_strings.size() == kMaxStructures) continue;
      auto raw = read_optional(root + "sys/firmware/dmi/entries/" + entry.name + "/raw", 64 << 10, problems);
      if (raw) out.oem_strings.push_back(std::move(*raw));
    }
  }
  out.fw_cfg = read_optional(root + "sys/firmware/qemu_fw_cfg/by_name/opt/steppe/config/raw", machine::kMaxConfigBytes, problems);
  auto document = [&](Origin origin, std::string_view path) {
    auto text = read_optional(root + std::string(path), machine::kMaxConfigBytes, problems);
    if (text) out.documents.push_back({origin, machine::trust_of(origin), "/" + std::string(path), std::move(*text)});
    return text.has_value();
  };
  if (!document(Origin::kApplied, kAppliedFile)) document(Origin::kApplied, kAppliedForNow);
  document(Origin::kEspFile, "efi/steppe.hcl");
  document(Origin::kConfigPartition, "run/steppe/config/steppe.hcl");
  return out;
}

machine::MachineFacts read_facts(const std::string& root) {
  machine::MachineFacts out;
  auto line = [](const std::string& path) {
    Result<std::string> text = kernel::read_host_file(path, Bytes(4096));
    return text.ok() ? std::string(trim(*text)) : std::string();
  };
  out.uuid = lower(line(root + "sys/class/dmi/id/product_uuid"));
  if (out.uuid.size() != 36 || out.uuid.find_first_not_of("0123456789abcdef-") != out.uuid.npos) out.uuid.clear();
  out.vendor = line(root + "sys/class/dmi/id/sys_vendor");
  auto devices = kernel::Beneath::at(root + "sys/class/net", kernel::Beneath::Links::kFollow);
  auto list = devices.ok() ? devices->list("", 256) : Result<std::vector<kernel::DirectoryEntry>>(std::vector<kernel::DirectoryEntry>());
  for (const kernel::DirectoryEntry& entry : list.ok() ? *list : std::vector<kernel::DirectoryEntry>()) {
    const std::string below = root + "sys/class/net/" + entry.name;
    const std::string mac = lower(line(below + "/address"));
    const bool ethernet = line(below + "/type") == "1" && mac.size() == 17 && mac.find_first_not_of("0123456789abcdef:") == mac.npos;
    if (ethernet && std::ranges::find(out.macs, mac) == out.macs.end() && out.macs.size() < kMaxMacs) out.macs.push_back(mac);
  }
  return out;
}

namespace {

// The sources one after the other. One with a fault is left out whole: half of what somebody wrote is nothing that somebody wanted.
class Sorter {
 public:
  void settings(Origin origin, Result<std::vector<machine::Setting>> read) {
    hcl::Diagnostics of_it;
    if (read.ok()) {
      add(machine::fragment_of(origin, *read, of_it), of_it);
      if (!of_it.has_errors()) settings_.insert(settings_.end(), read->begin(), read->end());
    } else {
      of_it.error(std::string(machine::origin_name(origin)), "Not readable", read.error().message());
    }
    diagnostics_.append(std::move(of_it));
  }
  void document(const Document& one) {
    hcl::Diagnostics of_it;
    add(machine::fragment_of(one.origin, one.name, one.trust, one.text, of_it), of_it);
    diagnostics_.append(std::move(of_it));
  }

  Configuration finish(bool agent_ok, std::vector<std::string> faults) {
    const bool applied = std::ranges::any_of(fragments_, [](const Fragment& one) { return one.origin == Origin::kApplied && machine::names_machine(one.config); });
    machine::Merged merged = machine::merge(fragments_, diagnostics_);
    Configuration out;
    out.config = std::move(merged.config);
    out.notes = std::move(merged.notes);
    out.settings = std::move(settings_);
    out.problems = std::move(faults);
    const bool unread = !out.problems.empty();
    for (const hcl::Diagnostic& found : diagnostics_.list()) {
      for (std::string_view line : split(trim(found.text()), '\n')) out.problems.emplace_back(line);
    }
    const std::set<Section>& given = out.config.given;
    const bool agent = agent_ok && given.contains(Section::kAgent);
    const bool fault = unread || diagnostics_.has_errors() || agent != given.contains(Section::kAgent);
    const bool standalone = std::ranges::any_of(out.settings, [](const machine::Setting& one) { return one.name == "standalone"; });
    out.complete = standalone || agent || given.contains(Section::kJoin) || (given.contains(Section::kIdentity) && (applied || !fault));
    return out;
  }

 private:
  void add(Fragment fragment, const hcl::Diagnostics& of_it) {
    if (!of_it.has_errors()) fragments_.push_back(std::move(fragment));
  }

  hcl::Diagnostics diagnostics_;
  std::vector<Fragment> fragments_;
  std::vector<machine::Setting> settings_;
};

}  // namespace

Configuration configure(const RawSources& sources, bool agent_ok) {
  Sorter sorter;
  sorter.settings(Origin::kKernelArguments, machine::parse_command_line(trim(sources.command_line)));
  for (const std::string& raw : sources.oem_strings) {
    Result<std::vector<std::string>> strings = machine::parse_oem_strings(as_bytes(raw));
    if (strings.ok()) sorter.settings(Origin::kSmbios, machine::smbios_settings(*strings));
    else sorter.settings(Origin::kSmbios, std::move(strings).error());
  }
  if (sources.fw_cfg) sorter.document({Origin::kFwCfg, machine::trust_of(Origin::kFwCfg), "opt/steppe/config", *sources.fw_cfg});
  for (const Document& document : sources.documents) sorter.document(document);
  return sorter.finish(agent_ok, sources.faults);
}

std::vector<std::string> agent_environment(const machine::MachineConfig& config, std::string_view run) {
  std::vector<std::string> out{std::format("SSL_CERT_FILE={}/trust/ca-certificates.crt", run)};
  const machine::Proxy& proxy = config.proxy;
  if (!proxy.http.empty()) out.push_back("HTTP_PROXY=" + proxy.http);
  if (!proxy.https.empty()) out.push_back("HTTPS_PROXY=" + proxy.https);
  // The machine itself is never behind its proxy.
  if (out.size() > 1) out.push_back("NO_PROXY=localhost,127.0.0.1,::1" + (proxy.except.empty() ? "" : "," + join(proxy.except, ",")));
  return out;
}

std::string trust_bundle(std::string_view of_image, const machine::Ca& own) {
  std::string out(of_image);
  for (const std::string& certificate : own.certificates) {
    if (!out.empty() && out.back() != '\n') out += '\n';
    out += std::string(trim(certificate)) + '\n';
  }
  return out;
}

std::string time_servers(const machine::Time& configured, const std::vector<network::Lease>& leases) {
  std::string out;
  for (const std::string& server : configured.servers) out += "server " + server + "\n";
  std::set<std::string> seen;
  for (const network::Lease& lease : leases) {
    for (const kernel::IpAddress& server : lease.ntp) {
      if (configured.servers.empty() && seen.size() < network::kMaxServers && seen.insert(server.text()).second) out += "server " + server.text() + "\n";
    }
  }
  return out.empty() ? "servers pool.ntp.org\n" : out;
}

std::map<std::string, std::string> agent_files(const machine::MachineConfig& config, std::string_view run, bool agent_ok) {
  std::map<std::string, std::string> out;
  const bool agent = agent_ok && config.given.contains(Section::kAgent);
  out["10-image.hcl"] = std::format(kImageSettings, run);
  if (!agent && config.join.servers.empty()) out["15-alone.hcl"] = kAloneSettings;
  out["20-machine.hcl"] = identity_and_join(config);
  if (agent) out["30-agent.hcl"] = config.agent + "\n";
  return out;
}

}  // namespace steppe::node
