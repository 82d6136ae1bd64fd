#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace steppe::network {

// The configuration file of dhcpcd(8) for exactly these links, which it serves side by side. It sets addresses and routes
// itself; no script of anybody's runs, what else a lease says is asked for with `dhcpcd -U` (lease.h). `host_name` is told to
// the servers; "": none. Names that hold more than letters, digits, '.', '-' and '_' are left out: they would be another
// setting of the file.
std::string dhcp_config(const std::vector<std::string>& links, std::string_view host_name);

}  // namespace steppe::network
