#include "init/machine/machine_config.h"

#include <algorithm>

#include "init/base/text.h"
#include "init/hcl/parser.h"
#include "init/machine/body_reader.h"

namespace steppe::machine {

namespace {

using kernel::IpAddress;
using kernel::IpPrefix;

constexpr int64_t kMaxMtu = 65536;

bool hex_digits(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); });
}
Error unfit(std::string_view text, std::string_view expected) {
  return {Code::kInvalid, "is \"" + std::string(text.substr(0, 80)) + "\", expected " + std::string(expected)};
}

Result<> check_mac(std::string_view text) {
  bool fit = text.size() == 17;
  for (size_t i = 0; fit && i < text.size(); i++) fit = i % 3 == 2 ? text[i] == ':' : hex_digits(text.substr(i, 1));
  return fit ? Result<>() : Result<>(unfit(text, "a hardware address such as 02:00:5e:10:00:01"));
}
// dev_valid_name() of Linux, without what would be awkward to write.
Result<> check_link_name(std::string_view text) {
  bool fit = !text.empty() && text.size() <= 15 && text != "." && text != ".." &&
             std::ranges::all_of(text, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-'; });
  return fit ? Result<>() : Result<>(unfit(text, "a link's name: at most 15 letters, digits and . _ -"));
}
Result<> check_link_pattern(std::string_view text) {
  std::string plain(text);
  std::ranges::replace_if(plain, [](char c) { return c == '*' || c == '?'; }, 'x');
  return check_link_name(plain).ok() ? Result<>() : Result<>(unfit(text, "a link's name, or a pattern with * and ?"));
}
Result<> check_address(std::string_view text) {
  return IpAddress::parse(text).ok() ? Result<>() : Result<>(unfit(text, "an IPv4 or IPv6 address"));
}
Result<> check_prefix(std::string_view text) {
  bool fit = text.find('/') != text.npos && IpPrefix::parse(text).ok();
  return fit ? Result<>() : Result<>(unfit(text, "an address with its prefix length, such as 10.0.0.7/24"));
}
Result<> check_pem(std::string_view text) {
  text = trim(text);
  bool fit = text.starts_with("-----BEGIN CERTIFICATE-----") && text.ends_with("-----END CERTIFICATE-----") && text.size() < 64 << 10;
  return fit ? Result<>() : Result<>(Code::kInvalid, "is no PEM certificate (-----BEGIN CERTIFICATE-----)");
}
Result<> check_sha256(std::string_view text) {
  return text.size() == 64 && hex_digits(text) ? Result<>() : Result<>(unfit(text, "the 64 hex digits of a SHA-256"));
}
Result<> check_device(std::string_view text) {
  bool fit = text.starts_with("tty") && check_link_name(text).ok();
  return fit ? Result<>() : Result<>(unfit(text, "a terminal such as tty0 or ttyS0"));
}
Result<> check_disk_path(std::string_view text) {
  bool fit = text.starts_with("/dev/") && text.size() <= 256 && text.find("..") == text.npos;
  return fit ? Result<>() : Result<>(unfit(text, "a path below /dev, best below /dev/disk/by-id or /dev/disk/by-path"));
}
Result<> check_word(std::string_view text) {
  bool fit = !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
  return fit ? Result<>() : Result<>(unfit(text, "at most 128 bytes without spaces"));
}

// "64GiB", "512MiB", "1TB".
Result<uint64_t> parse_size(std::string_view text) {
  size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  Result<uint64_t> number = parse_uint(text.substr(0, digits));
  static constexpr std::pair<std::string_view, uint64_t> kUnits[] = {{"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40},
                                                                     {"MB", 1'000'000},   {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000}};
  for (auto [unit, bytes] : kUnits)
    if (number.ok() && text.substr(digits) == unit && *number <= (1ull << 60) / bytes) return *number * bytes;
  return unfit(text, "a size such as 64GiB");
}

void read_match(BodyReader& reader, network::Match& match) {
  reader.text("name", match.name, check_link_pattern);
  reader.text("mac", match.address, check_mac);
  match.address = lower(match.address);
  if (match.name.empty() && match.address.empty()) reader.error("mac", "a device is found by name, mac, or both");
}

void read_addresses(BodyReader& reader, network::LinkSettings& link) {
  reader.flag("dhcp", link.dhcp);
  std::vector<std::string> addresses;
  reader.texts("addresses", addresses, check_prefix);
  for (const std::string& text : addresses) link.addresses.push_back(*IpPrefix::parse(text));
  std::string gateways[2];
  reader.text("gateway", gateways[0], check_address);
  reader.text("gateway6", gateways[1], check_address);
  for (int six : {0, 1}) {
    if (gateways[six].empty()) continue;
    IpAddress gateway = *IpAddress::parse(gateways[six]);
    if (gateway.size != (six ? 16 : 4)) {
      reader.error(six ? "gateway6" : "gateway", six ? "expected an IPv6 address" : "expected an IPv4 address (gateway6 takes the other kind)");
      continue;
    }
    IpPrefix all{.address = {.size = gateway.size}, .length = 0};
    link.routes.push_back({.destination = all, .gateway = gateway});
  }
  int64_t mtu = 0;
  reader.integer("mtu", mtu, 576, kMaxMtu);
  link.mtu = static_cast<uint32_t>(mtu);
  reader.blocks("route", check_prefix, [&](BodyReader& route, const std::string& destination) {
    Result<IpPrefix> to = IpPrefix::parse(destination);
    network::RouteSettings settings{.destination = to.ok() ? *to : IpPrefix{}};
    std::string gateway;
    if (route.text("gateway", gateway, check_address) && !gateway.empty()) settings.gateway = *IpAddress::parse(gateway);
    int64_t metric = 0;
    route.integer("metric", metric, 0, UINT32_MAX);
    settings.metric = static_cast<uint32_t>(metric);
    if (settings.gateway.size && to.ok() && settings.gateway.size != to->address.size)
      route.error("gateway", "is of the other kind of address than its route");
    link.routes.push_back(settings);
  });
}

void read_bond(BodyReader& reader, network::Bond& bond) {
  static constexpr std::string_view kModes[] = {"round-robin", "active-backup", "xor", "broadcast", "lacp", "tlb", "alb"};
  std::string mode = "active-backup";
  reader.text("mode", mode, [](std::string_view text) {
    return std::ranges::find(kModes, text) != std::end(kModes)
               ? Result<>()
               : Result<>(unfit(text, "round-robin, active-backup, xor, broadcast, lacp, tlb or alb"));
  });
  bond.mode = static_cast<kernel::BondMode>(std::ranges::find(kModes, mode) - std::begin(kModes));
  std::vector<std::string> members;
  reader.texts("members", members, [](std::string_view text) {
    return check_mac(text).ok() || check_link_pattern(text).ok() ? Result<>() : Result<>(unfit(text, "a link's name or hardware address"));
  });
  for (const std::string& member : members)
    bond.members.push_back(check_mac(member).ok() ? network::Match{.address = lower(member)} : network::Match{.name = member});
  if (members.empty()) reader.error("members", "a bond needs at least one");
}

void read_network(BodyReader& reader, network::Settings& settings) {
  reader.flag("dhcp_on_others", settings.others_by_dhcp);
  std::vector<std::string> dns;
  reader.texts("dns", dns, check_address);
  for (const std::string& text : dns) settings.dns.push_back(*IpAddress::parse(text));
  reader.texts("search", settings.search, check_hostname);
  if (settings.dns.size() > network::kMaxServers) reader.error("dns", "at most " + std::to_string(network::kMaxServers));
  if (settings.search.size() > network::kMaxServers) reader.error("search", "at most " + std::to_string(network::kMaxServers));
  auto label = [](std::string_view text) { return check_word(text); };
  // A link's label is for people and messages: which device is meant is said inside.
  reader.blocks("link", label, [&](BodyReader& inner, const std::string&) {
    network::LinkSettings link;
    read_match(inner, link.match);
    read_addresses(inner, link);
    settings.links.push_back(std::move(link));
  });
  reader.blocks("vlan", check_link_name, [&](BodyReader& inner, const std::string& name) {
    network::LinkSettings link{.name = name, .vlan = network::Vlan{}};
    int64_t id = 0;
    if (!inner.integer("id", id, 1, 4094)) inner.error("id", "is missing, expected 1 to 4094");
    link.vlan->id = static_cast<uint16_t>(id);
    if (!inner.text("parent", link.vlan->parent, check_link_name)) inner.error("parent", "is missing, expected a link's name");
    read_addresses(inner, link);
    settings.links.push_back(std::move(link));
  });
  reader.blocks("bond", check_link_name, [&](BodyReader& inner, const std::string& name) {
    network::LinkSettings link{.name = name, .bond = network::Bond{}};
    read_bond(inner, *link.bond);
    read_addresses(inner, link);
    settings.links.push_back(std::move(link));
  });
  if (settings.links.size() > network::kMaxLinks) reader.error("link", "at most " + std::to_string(network::kMaxLinks) + " links");
}

void read_disk(BodyReader& reader, std::optional<DiskChoice>& into) {
  DiskChoice choice;
  reader.text("path", choice.by_path, check_disk_path);
  reader.text("serial", choice.serial, check_word);
  std::string size;
  if (reader.text("min_size", size) && !size.empty()) {
    Result<uint64_t> bytes = parse_size(size);
    if (bytes.ok()) choice.min_bytes = *bytes;
    else reader.error("min_size", bytes.error().message());
  }
  reader.flag("wipe", choice.wipe);
  // To destroy what is on "some disk that is large enough" is never meant.
  if (choice.wipe && choice.by_path.empty() && choice.serial.empty()) reader.error("wipe", "needs the disk named by path or serial");
  into = std::move(choice);
}

void read_identity(BodyReader& reader, Identity& identity) {
  reader.text("hostname", identity.hostname, check_hostname);
  reader.text("region", identity.region, check_word);
  reader.text("datacenter", identity.datacenter, check_word);
  reader.text("node_class", identity.node_class, check_word);
  reader.text("node_pool", identity.node_pool, check_word);
  reader.map("meta", identity.meta);
}

void read_rest(BodyReader& reader, MachineConfig& config, const std::function<void(Section, const hcl::Block*)>& given) {
  given(Section::kJoin, reader.block("join", [&](BodyReader& inner) {
    inner.texts("servers", config.join.servers, check_server);
    std::string token;
    inner.text("token", token, check_word);
    config.join.token = Secret(std::move(token));
  }));
  given(Section::kTime, reader.block("time", [&](BodyReader& inner) { inner.texts("servers", config.time.servers, check_server); }));
  given(Section::kDisks, reader.block("disks", [&](BodyReader& inner) {
    inner.block("system", [&](BodyReader& disk) { read_disk(disk, config.disks.system); });
    inner.block("data", [&](BodyReader& disk) { read_disk(disk, config.disks.data); });
  }));
  given(Section::kKeys, reader.block("keys", [&](BodyReader& inner) {
    inner.texts("trusted", config.keys.trusted, check_pem);
    inner.texts("refused", config.keys.refused, check_sha256);
  }));
  given(Section::kCa, reader.block("ca", [&](BodyReader& inner) { inner.texts("certificates", config.ca.certificates, check_pem); }));
  given(Section::kProxy, reader.block("proxy", [&](BodyReader& inner) {
    inner.text("http", config.proxy.http, check_proxy_url);
    inner.text("https", config.proxy.https, check_proxy_url);
    inner.texts("except", config.proxy.except, check_word);
  }));
  given(Section::kConsole, reader.block("console", [&](BodyReader& inner) {
    inner.texts("devices", config.console.devices, check_device);
    inner.flag("quiet", config.console.quiet);
  }));
  given(Section::kSecurity, reader.block("security", [&](BodyReader& inner) {
    int64_t version = 0;
    inner.integer("version", version, 0, INT64_MAX);
    config.security.version = static_cast<uint64_t>(version);
  }));
}

}  // namespace

std::string_view section_name(Section section) {
  static constexpr std::string_view kNames[] = {"identity", "network", "join", "time", "disks", "keys", "ca", "proxy", "console", "security", "agent"};
  return kNames[static_cast<size_t>(section)];
}

Result<> check_hostname(std::string_view text) {
  bool fit = !text.empty() && text.size() <= 253;
  for (std::string_view label : split(text, '.'))
    fit = fit && !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
          std::ranges::all_of(label, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-'; });
  return fit ? Result<>() : Result<>(unfit(text, "a host name (RFC 1123): labels of letters, digits and '-', at most 63 bytes each"));
}

Result<> check_server(std::string_view text) {
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == text.npos) return unfit(text, "a host, host:port or [IPv6]:port");
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!IpAddress::parse(host).ok()) return unfit(text, "an IPv6 address in brackets");
    if (port.empty()) return {};
  } else if (size_t colon = text.find(':'); colon != text.npos && !IpAddress::parse(text).ok()) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  bool fit = IpAddress::parse(host).ok() || check_hostname(host).ok();
  if (!port.empty()) {
    Result<uint64_t> number = port.front() == ':' ? parse_uint(port.substr(1)) : Result<uint64_t>(Code::kInvalid, "");
    fit = fit && number.ok() && *number >= 1 && *number <= 65535;
  }
  return fit ? Result<>() : Result<>(unfit(text, "a host, host:port or [IPv6]:port"));
}

Result<> check_url(std::string_view text) {
  bool safe = text.starts_with("https://"), plain = text.starts_with("http://");
  std::string_view rest = text.substr(safe ? 8 : plain ? 7 : 0);
  size_t digest = rest.find("#sha256=");
  std::string_view host = rest.substr(0, std::min(rest.find_first_of("/?#"), rest.size()));
  bool fit = (safe || plain) && text.size() <= 2048 && check_server(host).ok() &&
             std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f; });
  if (digest != rest.npos) fit = fit && check_sha256(rest.substr(digest + 8)).ok();
  else if (rest.find('#') != rest.npos) fit = false;
  if (!fit) return unfit(text, "https://HOST/…, or http://HOST/…#sha256=HEX");
  if (plain && digest == rest.npos) return unfit(text, "https, or http with #sha256=HEX at the end: what comes without TLS must be known beforehand");
  return {};
}

Result<> check_proxy_url(std::string_view text) {
  for (std::string_view scheme : {"http://", "https://"})
    if (text.starts_with(scheme)) {
      std::string_view host = text.substr(scheme.size());
      if (host.ends_with('/')) host.remove_suffix(1);
      if (check_server(host).ok()) return {};
    }
  return unfit(text, "http://HOST:PORT or https://HOST:PORT");
}

MachineConfig read_machine_config(std::string name, std::string text, hcl::Diagnostics& diagnostics) {
  MachineConfig config;
  if (text.size() > kMaxConfigBytes) {
    diagnostics.error(name, "Too long", "A machine's configuration has " + std::to_string(kMaxConfigBytes) + " bytes at most.");
    return config;
  }
  if (!is_utf8(text)) {
    diagnostics.error(name, "Not a text", "A machine's configuration is UTF-8.");
    return config;
  }
  hcl::Source source{std::move(name), std::move(text)};
  hcl::Body body = hcl::parse_body(source, diagnostics);
  if (diagnostics.has_errors()) return config;
  hcl::Budget budget(100'000, 16u << 20);
  BodyReader reader(source, body, diagnostics, budget);
  int64_t version = 0;
  if (!reader.integer("version", version, kConfigVersion, kConfigVersion)) reader.error("version", "is missing, expected version = 1");
  auto given = [&](Section section, const hcl::Block* block) {
    if (block) config.given.insert(section);
  };
  given(Section::kIdentity, reader.block("identity", [&](BodyReader& inner) { read_identity(inner, config.identity); }));
  given(Section::kNetwork, reader.block("network", [&](BodyReader& inner) { read_network(inner, config.network); }));
  read_rest(reader, config, given);
  if (const hcl::Block* agent = reader.raw_block("agent")) {
    given(Section::kAgent, agent);
    config.agent = source.slice(agent->body.range);
    config.agent_line = hcl::position_at(source, agent->body.range.start).line;
  }
  reader.finish();
  return config;
}

Result<MachineConfig> validate_machine_config(std::string name, std::string text, AgentCheck agent) {
  hcl::Diagnostics diagnostics;
  MachineConfig config = read_machine_config(name, std::move(text), diagnostics);
  if (diagnostics.has_errors()) return diagnostics.to_error();
  if (agent && config.given.contains(Section::kAgent))
    STEPPE_TRY_VOID(agent(name, std::string(config.agent_line - 1, '\n') + config.agent));
  return config;
}

}  // namespace steppe::machine
