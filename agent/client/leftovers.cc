#include "agent/client/leftovers.h"

#include <algorithm>
#include <format>

#include "agent/client/alloc_dir.h"
#include "init/base/ids.h"
#include "init/base/text.h"

namespace steppe::client {
namespace {

constexpr size_t kUuidLength = 36;

bool orphaned(std::string_view name, const std::set<std::string, std::less<>>& known) {
  std::string_view id = name.substr(0, kUuidLength);
  return Uuid::parse(id).ok() && !known.contains(id);
}

// Drivers share the place where their tasks' leavings are, so a name may be another one's.
void destroy_attempt(drivers::Driver& driver, const std::string& id, Leftovers& out) {
  auto found = driver.recover_attempt(id);
  if (!found.ok()) {
    Code code = found.error().code();
    if (code != Code::kNotFound && code != Code::kInvalid) out.problems.push_back(found.error().message());
    return;
  }
  Result<> gone = (*found)->destroy();
  if (gone.ok()) out.tasks.push_back(id);
  else out.problems.push_back(gone.error().message());
}

}  // namespace

Leftovers clear_leftovers(const DriverTable& drivers, const kernel::Beneath& alloc_root, const std::set<std::string, std::less<>>& known) {
  Leftovers out;
  for (const auto& [name, driver] : drivers) {
    Result<std::vector<std::string>> attempts = driver->attempts();
    if (!attempts.ok()) {
      out.problems.push_back(attempts.error().message());
      continue;
    }
    for (const std::string& id : *attempts) {
      if (orphaned(id, known)) destroy_attempt(*driver, id, out);
    }
  }
  auto entries = alloc_root.list("");
  if (!entries.ok()) out.problems.push_back(entries.error().message());
  if (!entries.ok() || !out.problems.empty()) return out;  // a task that could not be ended keeps its files
  for (const kernel::DirectoryEntry& entry : *entries) {
    if (entry.name.size() != kUuidLength || !orphaned(entry.name, known)) continue;
    Result<> gone = AllocDir::remove(alloc_root, entry.name);
    if (gone.ok()) out.directories.push_back(entry.name);
    else out.problems.push_back(gone.error().message());
  }
  return out;
}

uint64_t last_attempt(drivers::Driver& driver, std::string_view alloc_id, std::string_view task) {
  const std::string prefix = std::format("{}.{}.", alloc_id, task);
  uint64_t last = 0;
  Result<std::vector<std::string>> attempts = driver.attempts();
  if (!attempts.ok()) return 0;
  for (const std::string& id : *attempts) {
    if (!id.starts_with(prefix)) continue;
    auto number = parse_uint(std::string_view(id).substr(prefix.size()));
    if (number.ok()) last = std::max<uint64_t>(last, *number);
  }
  return last;
}

}  // namespace steppe::client
