#include "init/machine/network/dhcp_config.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"
#include "init/machine/network/lease.h"

namespace steppe::network {
namespace {

bool is_plain(std::string_view name) {
  return !name.empty() && name.size() < 16 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}

}  // namespace

std::string dhcp_config(const std::vector<std::string>& links, std::string_view host_name) {
  std::vector<std::string> plain;
  std::ranges::copy_if(links, std::back_inserter(plain), is_plain);
  std::string out = "script \"\"\n";
  out += plain.empty() ? "denyinterfaces *\n" : std::format("allowinterfaces {}\n", join(plain, " "));
  if (is_host_name(host_name)) out += std::format("hostname {}\n", host_name);
  out +=
      "nodev\n"                         // no device manager is waited for: what is named here is there
      "duid\n"                          // RFC 4361: the same client under each slot and kernel
      "persistent\n"                    // addresses stay when it is started anew
      "nodelay\n"                       // no wait of up to a second before the first question
      "noarp\n"                         // nor five to see whether the address is taken: servers look before they offer
      "timeout 0\n"                     // it never gives up: cables are plugged in later
      "slaac hwaddr\n"
      "require dhcp_server_identifier\n"
      "option domain_name_servers, domain_name, domain_search, classless_static_routes, interface_mtu, ntp_servers\n";
  return out;
}

}  // namespace steppe::network
