#include "init/machine/sources.h"

#include <algorithm>

#include "init/base/text.h"

namespace steppe::machine {

namespace {

using kernel::IpAddress;
using kernel::IpPrefix;

// "eth0:dhcp", "eth0:10.0.0.7/24:10.0.0.1", "eth0:[fd00::7/64]:[fd00::1]".
Result<network::LinkSettings> parse_link(std::string_view text) {
  Error wrong(Code::kInvalid, "is \"" + std::string(text.substr(0, 80)) + "\", expected DEVICE:dhcp or DEVICE:ADDRESS/LEN[:GATEWAY]");
  network::LinkSettings link;
  size_t colon = text.find(':');
  if (colon == 0 || colon > 15) return wrong;
  link.match.name = text.substr(0, colon);
  text.remove_prefix(colon + 1);
  if (text == "dhcp") return link;
  link.dhcp = false;
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    bool bracket = text.front() == '[';
    size_t end = bracket ? text.find(']') : text.find(':');
    if (bracket && end == text.npos) return wrong;
    end = std::min(end, text.size());
    parts.push_back(text.substr(bracket, end - bracket));
    text.remove_prefix(std::min(end + bracket, text.size()));
    if (text.empty()) break;
    if (text.front() != ':' || text.size() == 1) return wrong;
    text.remove_prefix(1);
  }
  if (parts.empty() || parts.size() > 2 || parts[0].find('/') == parts[0].npos) return wrong;
  Result<IpPrefix> address = IpPrefix::parse(parts[0]);
  if (!address.ok()) return wrong;
  link.addresses.push_back(*address);
  if (parts.size() == 2) {
    Result<IpAddress> gateway = IpAddress::parse(parts[1]);
    if (!gateway.ok() || gateway->size != address->address.size) return wrong;
    link.routes.push_back({.destination = {.address = {.size = gateway->size}, .length = 0}, .gateway = *gateway});
  }
  return link;
}

Result<> add_list(std::string_view value, std::vector<std::string>& into, Result<> (*check)(std::string_view)) {
  for (std::string_view item : split(value, ',')) {
    STEPPE_TRY_VOID(check(item));
    if (into.size() == kMaxItems) return {Code::kExhausted, "has more than " + std::to_string(kMaxItems) + " items"};
    into.emplace_back(item);
  }
  return {};
}

Result<> check_address(std::string_view text) {
  return IpAddress::parse(text).ok() ? Result<>() : Result<>(Code::kInvalid, "is no address: \"" + std::string(text.substr(0, 80)) + "\"");
}
Result<> check_any(std::string_view text) {
  return !text.empty() && text.size() <= 128 && text.find(' ') == text.npos ? Result<>() : Result<>(Code::kInvalid, "is empty, too long or has spaces");
}

Result<> set_text(std::string_view value, std::string& into, Result<> (*check)(std::string_view)) {
  STEPPE_TRY_VOID(check(value));
  into = value;
  return {};
}

// Takes one setting; nullopt when the name is none of ours.
std::optional<Result<>> take(const Setting& setting, MachineConfig& config) {
  const std::string& name = setting.name;
  auto in = [&](Section section, Result<> result) {
    config.given.insert(section);
    return std::optional(std::move(result));
  };
  Identity& identity = config.identity;
  if (name == "hostname") return in(Section::kIdentity, set_text(setting.value, identity.hostname, check_hostname));
  if (name == "region") return in(Section::kIdentity, set_text(setting.value, identity.region, check_any));
  if (name == "datacenter") return in(Section::kIdentity, set_text(setting.value, identity.datacenter, check_any));
  if (name == "node_class") return in(Section::kIdentity, set_text(setting.value, identity.node_class, check_any));
  if (name == "node_pool") return in(Section::kIdentity, set_text(setting.value, identity.node_pool, check_any));
  if (name == "retry_join") return in(Section::kJoin, add_list(setting.value, config.join.servers, check_server));
  if (name == "join_token") {
    config.join.token = Secret(setting.value);
    return in(Section::kJoin, check_any(setting.value));
  }
  if (name == "ntp") return in(Section::kTime, add_list(setting.value, config.time.servers, check_server));
  if (name == "console") return in(Section::kConsole, add_list(setting.value, config.console.devices, check_any));
  if (name == "dns") {
    std::vector<std::string> servers;
    Result<> result = add_list(setting.value, servers, check_address);
    for (const std::string& server : servers) config.network.dns.push_back(*IpAddress::parse(server));
    return in(Section::kNetwork, std::move(result));
  }
  if (name == "ip") {
    Result<network::LinkSettings> link = parse_link(setting.value);
    if (!link.ok()) return in(Section::kNetwork, std::move(link).error());
    if (config.network.links.size() == network::kMaxLinks) return in(Section::kNetwork, Error(Code::kExhausted, "stands too often"));
    config.network.links.push_back(*std::move(link));
    return in(Section::kNetwork, {});
  }
  if (name == "agent") {
    config.agent = setting.value;
    config.agent_line = 1;
    return in(Section::kAgent, {});
  }
  return std::nullopt;
}

// Settings that others act on.
constexpr std::string_view kElsewhere[] = {"config", "config_server", "config_sha256", "metadata", "standalone", "maintenance", "install", "debug", "root", "state", "data"};

void take_section(Section section, const MachineConfig& from, MachineConfig& into) {
  switch (section) {
    case Section::kIdentity: into.identity = from.identity; break;
    case Section::kNetwork: into.network = from.network; break;
    case Section::kJoin: into.join = from.join; break;
    case Section::kTime: into.time = from.time; break;
    case Section::kDisks: into.disks = from.disks; break;
    case Section::kKeys: into.keys = from.keys; break;
    case Section::kCa: into.ca = from.ca; break;
    case Section::kProxy: into.proxy = from.proxy; break;
    case Section::kConsole: into.console = from.console; break;
    case Section::kSecurity: into.security = from.security; break;
    case Section::kAgent:
      into.agent = from.agent;
      into.agent_line = from.agent_line;
      break;
  }
  into.given.insert(section);
}

bool wipes(const Disks& disks) { return (disks.system && disks.system->wipe) || (disks.data && disks.data->wipe); }

}  // namespace

std::string_view origin_name(Origin origin) {
  static constexpr std::string_view kNames[] = {
      "applied configuration", "ESP",         "kernel arguments", "SMBIOS", "QEMU fw_cfg", "cloud metadata",
      "config partition",      "HTTP by MAC", "HTTP by UUID"};
  return kNames[static_cast<size_t>(origin)];
}

Trust trust_of(Origin origin) {
  switch (origin) {
    case Origin::kApplied: return Trust::kSigned;
    case Origin::kEspFile:
    case Origin::kKernelArguments:
    case Origin::kSmbios:
    case Origin::kFwCfg:
    case Origin::kConfigPartition: return Trust::kLocal;
    case Origin::kCloudMetadata:
    case Origin::kHttpByMac:
    case Origin::kHttpByUuid: return Trust::kRemote;
  }
  return Trust::kRemote;
}

bool names_machine(const MachineConfig& config) {
  return config.given.contains(Section::kIdentity) || config.given.contains(Section::kJoin) || config.given.contains(Section::kAgent);
}

bool may_set(Trust trust, Section section) {
  switch (section) {
    case Section::kIdentity:
    case Section::kNetwork:
    case Section::kJoin: return true;
    case Section::kTime:
    case Section::kProxy:
    case Section::kConsole:
    case Section::kAgent:
    case Section::kDisks: return trust != Trust::kRemote;
    case Section::kKeys:
    case Section::kCa:
    case Section::kSecurity: return trust == Trust::kSigned;
  }
  return false;
}

Fragment fragment_of(Origin origin, std::string name, Trust trust, std::string text, hcl::Diagnostics& diagnostics) {
  Fragment fragment{.origin = origin, .name = name, .trust = trust};
  fragment.config = read_machine_config(std::move(name), std::move(text), diagnostics);
  return fragment;
}

Fragment fragment_of(Origin origin, const std::vector<Setting>& settings, hcl::Diagnostics& diagnostics) {
  Fragment fragment{.origin = origin, .name = std::string(origin_name(origin)), .trust = trust_of(origin)};
  for (const Setting& setting : settings) {
    std::optional<Result<>> taken = take(setting, fragment.config);
    if (taken && !taken->ok()) {
      diagnostics.error(fragment.name, "Unfit value", setting.name + ": " + taken->error().message() + ".");
    } else if (!taken && std::ranges::find(kElsewhere, setting.name) == std::end(kElsewhere)) {
      diagnostics.error(fragment.name, "Unknown name",
                        "\"" + setting.name +
                            "\" is not known; there are: agent, config, config_server, config_sha256, console, datacenter, dns, hostname, ip, join_token, "
                            "maintenance, metadata, node_class, node_pool, ntp, region, retry_join, standalone");
    }
  }
  return fragment;
}

Result<ConfigLinks> config_links(const std::vector<Setting>& settings) {
  ConfigLinks links;
  std::string digest;
  for (const Setting& setting : settings) {
    std::string* into = setting.name == "config"          ? &links.config
                        : setting.name == "config_server" ? &links.config_server
                        : setting.name == "config_sha256" ? &digest
                                                          : nullptr;
    if (into && into->empty()) *into = setting.value;
  }
  if (!digest.empty() && links.config.empty()) return {Code::kInvalid, "steppe.config_sha256 stands without steppe.config=URL"};
  if (!digest.empty() && links.config.find('#') != links.config.npos) return {Code::kInvalid, "steppe.config has a digest of its own beside steppe.config_sha256"};
  if (!digest.empty()) links.config += "#sha256=" + digest;
  if (!links.config.empty()) STEPPE_TRY_VOID(check_url(links.config).wrap("steppe.config"));
  if (!links.config_server.empty()) STEPPE_TRY_VOID(check_url(links.config_server).wrap("steppe.config_server"));
  if (links.config_server.find('#') != links.config_server.npos)
    return {Code::kInvalid, "steppe.config_server has a digest, but stands for several documents: use https"};
  return links;
}

Merged merge(const std::vector<Fragment>& fragments, hcl::Diagnostics& diagnostics) {
  std::vector<const Fragment*> order;
  for (const Fragment& fragment : fragments) order.push_back(&fragment);
  std::ranges::stable_sort(order, {}, [](const Fragment* fragment) { return fragment->origin; });
  Merged merged;
  for (const Fragment* fragment : order) {
    for (Section section : kSections) {
      if (!fragment->config.given.contains(section)) continue;
      std::string name(section_name(section));
      bool wipe = section == Section::kDisks && wipes(fragment->config.disks);
      if (!may_set(fragment->trust, section) || (wipe && fragment->trust != Trust::kSigned)) {
        diagnostics.error(fragment->name, "Not allowed here",
                          "\"" + std::string(wipe ? "wipe" : name) + "\" is not taken from an unsigned source (" +
                              std::string(origin_name(fragment->origin)) +
                              "): sign the document with a key of this machine, or apply it over its API");
        continue;
      }
      if (auto earlier = merged.from.find(section); earlier != merged.from.end()) {
        merged.notes.push_back(name + " of " + fragment->name + " is hidden by that of " + earlier->second);
        continue;
      }
      take_section(section, fragment->config, merged.config);
      merged.from[section] = fragment->name;
    }
  }
  return merged;
}

}  // namespace steppe::machine
