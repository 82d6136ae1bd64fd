#include "tests/sim/slots/loader_model.h"

#include <algorithm>
#include <vector>

#include "init/base/text.h"
#include "init/upgrade/version.h"

namespace steppe::sim {

namespace {

struct Entry {
  std::string file, id, version, content;
  int left = -1, done = -1;
};

// The loader's own reading of a name, not ours: a '+', digits, perhaps '-' and digits, then the suffix.
void read_counter(Entry& entry) {
  std::string stem = entry.file.substr(0, entry.file.size() - 4);
  size_t plus = stem.rfind('+');
  entry.id = entry.file;
  if (plus == stem.npos) return;
  size_t dash = stem.find('-', plus);
  auto left = parse_int(stem.substr(plus + 1, dash == stem.npos ? stem.npos : dash - plus - 1));
  auto done = dash == stem.npos ? Result<int64_t>(int64_t{0}) : parse_int(stem.substr(dash + 1));
  if (!left.ok() || !done.ok()) return;
  entry.left = static_cast<int>(*left);
  entry.done = static_cast<int>(*done);
  entry.id = stem.substr(0, plus) + ".efi";
}

bool before(const Entry& a, const Entry& b, bool names_counters) {
  if ((a.left == 0) != (b.left == 0)) return b.left == 0;
  auto order = upgrade::compare_versions(a.version, b.version);
  if (order != 0) return order > 0;
  order = upgrade::compare_versions(names_counters ? a.file : a.id, names_counters ? b.file : b.id);
  if (order != 0) return order > 0;
  if (a.left < 0 || b.left < 0) return false;
  if (a.left != b.left) return a.left > b.left;
  return a.done < b.done;
}

std::optional<Entry> choose(FatDisk& disk, const Loader& loader, const LoaderVariables& variables) {
  std::vector<Entry> entries;
  for (const upgrade::DirectoryEntry& there : *disk.list()) {
    if (!lower(there.name).ends_with(".efi")) continue;
    Result<std::string> content = disk.content(there.name);
    if (!content.ok()) continue;
    std::optional<std::string> version = loader.version_of(*content);
    if (!version) continue;
    Entry entry{.file = there.name, .version = *version, .content = *content};
    read_counter(entry);
    entries.push_back(std::move(entry));
  }
  std::ranges::stable_sort(entries, [&](const Entry& a, const Entry& b) { return before(a, b, loader.names_counters); });
  if (variables.entry_default)
    for (const Entry& entry : entries)
      if (entry.id == *variables.entry_default) return entry;  // whatever its counter says
  if (entries.empty()) return std::nullopt;
  return entries.front();
}

}  // namespace

std::optional<Started> boot(FatDisk& disk, const Loader& loader, LoaderVariables& variables) {
  for (int pass = 0; pass < loader.boot_entries; pass++) {
    std::optional<Entry> entry = choose(disk, loader, variables);
    if (!entry) return std::nullopt;
    variables.entry_selected = loader.names_counters ? entry->file : entry->id;
    std::string file = entry->file;
    if (entry->left > 0) {
      std::string stem = entry->id.substr(0, entry->id.size() - 4);
      std::string next = stem + "+" + std::to_string(entry->left - 1) + "-" + std::to_string(entry->done + 1) + ".efi";
      if (disk.firmware_rename(file, next).ok()) file = next;
      if (disk.off()) return std::nullopt;
      variables.count_path = "\\EFI\\Linux\\" + file;
    }
    if (loader.loads(entry->content)) return Started{file, entry->content};
  }
  return std::nullopt;
}

}  // namespace steppe::sim
