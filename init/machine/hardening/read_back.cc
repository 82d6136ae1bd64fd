#include "init/machine/hardening/read_back.h"

#include <algorithm>
#include <format>
#include <set>

#include "init/base/text.h"
#include "init/sys/kernel/mounts.h"

namespace steppe::hardening {
namespace {

std::optional<std::string> setting(const Row& row, const Observed& machine) {
  std::string path = row.name;
  std::ranges::replace(path, '.', '/');
  auto text = machine.setting(path);
  if (!text) return std::nullopt;
  return std::string(trim(*text));
}

// A name that is given twice with two values is shown with both: which of them counts is the business of whoever reads it.
std::optional<std::string> argument(const Row& row, const std::vector<std::string>& words) {
  std::vector<std::string> values;
  for (const std::string& word : words) {
    const size_t equals = std::min(word.find('='), word.size());
    if (word.substr(0, equals) != row.name) continue;
    std::string value = equals == word.size() ? "" : word.substr(equals + 1);
    if (std::ranges::find(values, value) == values.end()) values.push_back(std::move(value));
  }
  if (values.empty()) return std::nullopt;
  return join(values, " and ");
}

bool has_option(const kernel::MountEntry& mount, std::string_view option) {
  const auto options = split(mount.options, ',');
  return std::ranges::find(options, option) != options.end();
}

// Of the options that the row wants, those that every mount of it has, and a line for each mount that lacks one.
std::optional<std::string> mounted(const Table& table, const Row& row, const std::vector<kernel::MountEntry>& mounts,
                                   std::vector<std::string>& differences) {
  bool any = false;
  std::set<std::string_view> lacking;
  for (const kernel::MountEntry& mount : mounts) {
    if (mount_row(table, mount.target) != &row) continue;
    any = true;
    std::string missing;
    for (const std::string_view option : split(row.value, ',')) {
      if (has_option(mount, option)) continue;
      lacking.insert(option);
      missing += std::format("{}{}", missing.empty() ? "" : ",", option);
    }
    if (!missing.empty())
      differences.push_back(std::format("{}: {} ({}) lacks {}", row_name(row), mount.target, mount.type, missing));
  }
  if (!any) return std::nullopt;
  std::vector<std::string> left;
  for (const std::string_view option : split(row.value, ',')) {
    if (!lacking.contains(option)) left.emplace_back(option);
  }
  return join(left, ",");
}

// mountinfo shows what is hidden under a later mount of the same place as well: only the last one counts. A namespace that is kept by
// a mount of its file (nsfs) holds no files.
std::vector<kernel::MountEntry> visible(std::vector<kernel::MountEntry> all) {
  std::vector<kernel::MountEntry> out;
  std::set<std::string> seen;
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    if (at->type != "nsfs" && seen.insert(at->target).second) out.push_back(std::move(*at));
  }
  std::ranges::reverse(out);
  return out;
}

}  // namespace

std::vector<std::string> command_words(std::string_view line) {
  std::vector<std::string> out;
  std::string word;
  bool quoted = false, open = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted, open = true;
    } else if (!quoted && (c == ' ' || (c >= '\t' && c <= '\r'))) {
      if (open) out.push_back(std::move(word));
      word.clear(), open = false;
    } else {
      word += c, open = true;
    }
  }
  if (open) out.push_back(std::move(word));
  return out;
}

const Row* mount_row(const Table& table, std::string_view target) {
  const Row* best = nullptr;
  for (const Row& row : table.rows) {
    if (row.kind != Kind::kMount) continue;
    if (row.name == target) return &row;
    if (!row.name.ends_with('*') || !target.starts_with(std::string_view(row.name).substr(0, row.name.size() - 1))) continue;
    if (best == nullptr || best->name.size() < row.name.size()) best = &row;
  }
  return best;
}

Result<ReadBack> read_back(const Table& table, const Observed& machine) {
  STEPPE_TRY(auto mounts, kernel::parse_mountinfo(machine.mountinfo));
  mounts = visible(std::move(mounts));
  const auto words = command_words(machine.command_line);
  ReadBack out{.found = table, .differences = {}};
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const Row& row = table.rows[i];
    if (!row.applied) continue;
    const size_t before = out.differences.size();
    std::optional<std::string> found;
    switch (row.kind) {
      case Kind::kSetting: found = setting(row, machine); break;
      case Kind::kArgument: found = argument(row, words); break;
      case Kind::kMount: found = mounted(table, row, mounts, out.differences); break;
      case Kind::kKernel:
        found = machine.release == table.kernel ? row.value : std::format("unknown: checked for {}, this is "
            "{}", table.kernel, machine.release);
        break;
    }
    const bool pattern = row.kind == Kind::kMount && row.name.ends_with('*');
    if (!found && (row.need == Row::Need::kOptional || pattern)) found = row.value;
    out.found.rows[i].value = found.value_or(std::string(kAbsent));
    if (out.found.rows[i].value != row.value && out.differences.size() == before)
      out.differences.push_back(std::format("{}: \"{}\", not \"{}\"", row_name(row), out.found.rows[i].value, row.value));
  }
  return out;
}

}  // namespace steppe::hardening
