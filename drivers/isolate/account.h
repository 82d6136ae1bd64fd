#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::isolate {

struct Account {
  uint32_t uid = 65534, gid = 65534;
  std::vector<uint32_t> groups;  // supplementary, sorted
  std::string name, home;
};

// Resolves "name", "uid", "name:group" or "uid:gid" by passwd(5) and group(5) in `etc` (the /etc that the task will
// see). A numeric id needs no entry. kInvalid names what is unknown. Ids above 2^31-2 are refused: they wrap to root in
// programs that hold them in an int (CVE-2024-40635). Files past 4 MiB are refused.
Result<Account> resolve_account(const kernel::Beneath& etc, std::string_view user);

// The same, read anew only when passwd or group is another file than last time (device, inode, size, time of change).
// For an /etc that many tasks share. Thread-safe.
class AccountCache {
 public:
  Result<Account> resolve(const kernel::Beneath& etc, std::string_view user);

 private:
  struct Seen {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t modified_ns = 0;
    bool operator==(const Seen&) const = default;
  };
  static std::optional<Seen> look(const kernel::Beneath& etc, std::string_view file);
  std::mutex mutex_;
  std::array<Seen, 2> seen_;
  std::map<std::string, Account, std::less<>> known_;
};

// A "1000-2000,65534" list from a plugin's denied_host_uids; empty: nothing is denied.
Result<bool> id_is_listed(std::string_view ranges, uint32_t id);

}  // namespace steppe::isolate
