#include "init/machine/network/lease.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::network {
namespace {

constexpr size_t kMaxText = 256 << 10;
constexpr size_t kMaxLeases = 256;

void take_addresses(std::string_view list, std::vector<kernel::IpAddress>& out) {
  for (std::string_view word : split(list, ' ')) {
    if (out.size() >= kMaxServers) return;
    // A link-local server of a router comes with its zone: the C library needs it, IpAddress does not have it; left out.
    if (auto ip = kernel::IpAddress::parse(word); ip.ok()) out.push_back(*ip);
  }
}

void take_domains(std::string_view list, std::vector<std::string>& out) {
  for (std::string_view word : split(list, ' ')) {
    if (out.size() >= kMaxServers) return;
    if (is_host_name(word)) out.emplace_back(word);
  }
}

void take(Lease& lease, std::string_view key, std::string_view value) {
  if (key == "interface") lease.link = value;
  if (key == "protocol") lease.protocol = value;
  if (key == "domain_name_servers" || key == "dhcp6_name_servers" || key == "nd1_rdnss1_servers") take_addresses(value, lease.dns);
  if (key == "domain_search" || key == "domain_name" || key == "dhcp6_domain_search" || key == "nd1_dnssl1_search") take_domains(value, lease.search);
  if (key == "ntp_servers" || key == "dhcp6_sntp_servers") take_addresses(value, lease.ntp);
}

template <class T>
void add_once(std::vector<T>& to, const std::vector<T>& from, size_t limit) {
  for (const T& item : from) {
    if (to.size() < limit && std::ranges::find(to, item) == to.end()) to.push_back(item);
  }
}

}  // namespace

bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (std::string_view label : split(text, '.')) {
    if (label.empty() || label.size() > 63 || label.starts_with('-') || label.ends_with('-')) return false;
    for (char c : label) {
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-')) return false;
    }
  }
  return true;
}

Result<std::vector<Lease>> read_leases(std::string_view text) {
  if (text.size() > kMaxText) return Error(Code::kInvalid, std::format("leases: {} bytes, at most {}", text.size(), kMaxText));
  std::vector<Lease> out;
  Lease lease;
  auto finish = [&] {
    if (!lease.link.empty() && lease.protocol != "link" && out.size() < kMaxLeases) out.push_back(std::move(lease));
    lease = {};
  };
  for (std::string_view line : split(text, '\n')) {
    if (trim(line).empty()) {
      finish();
      continue;
    }
    const size_t equals = line.find('=');
    if (equals != line.npos) take(lease, line.substr(0, equals), trim(line.substr(equals + 1)));
  }
  finish();
  return out;
}

std::string resolv_conf(const Settings& settings, const std::vector<Lease>& leases) {
  std::vector<kernel::IpAddress> servers;
  std::vector<std::string> domains;
  add_once(servers, settings.dns, 3);
  add_once(domains, settings.search, 6);
  for (const Lease& lease : leases) {
    add_once(servers, lease.dns, 3);
    add_once(domains, lease.search, 6);
  }
  std::string out;
  for (const kernel::IpAddress& server : servers) out += std::format("nameserver {}\n", server.text());
  if (!domains.empty()) out += std::format("search {}\n", join(domains, " "));
  return out;
}

}  // namespace steppe::network
