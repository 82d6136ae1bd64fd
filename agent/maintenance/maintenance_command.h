#pragma once

#include <string>
#include <vector>

namespace steppe::maintenance {

// steppe maintenance [-root DIR] [-run DIR] [-port N]: what steppe-node runs while a machine has no configuration. Serves MaintenanceApi over TLS
// on all addresses with a key and a code made now, which it writes to standard output, `pin sha256//…` and `code …`, one a line; a line
// `wrong code from ADDRESS` follows for each wrong one. Takes one document, keeps it where steppe-node looks for it
// (state/config/steppe.hcl below DIR, else run/steppe/applied/steppe.hcl), and ends with 0. What /v1/machine/status shows is
// RUN/maintenance/status (RUN: /run/steppe), line by line.
//
// It parses what anybody on the network sends: no capability, no file but these (kernel::confine_self). SIGTERM ends it with 3;
// 1: it could not serve, 2: words that it does not know.
inline constexpr const char* kMaintenanceCommand = "maintenance";
int run_maintenance_command(const std::vector<std::string>& words);

}  // namespace steppe::maintenance
