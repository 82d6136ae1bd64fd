#include "init/machine/hardening/table.h"

#include <algorithm>
#include <array>
#include <format>
#include <set>

#include "init/base/text.h"

namespace steppe::hardening {
namespace {

constexpr std::string_view kHeader = "steppe-hardening 1";
constexpr std::array<std::string_view, 4> kKinds = {"sysctl", "argument", "mount", "kernel"};
constexpr size_t kColumns = 8;

// One of two words.
Result<bool> is_second(std::string_view word, std::string_view first, std::string_view second) {
  if (word == second) return true;
  if (word == first) return false;
  return Error(Code::kCorrupt, std::format("\"{}\" where {} or {} belongs", word, first, second));
}

Result<Row> parse_row(std::string_view line) {
  const auto columns = split(line, '\t');
  if (columns.size() != kColumns) return Error(Code::kCorrupt, std::format("{} columns, not {}", columns.size(), kColumns));
  for (const std::string_view column : columns) {
    if (column.size() > kMaxText) return Error(Code::kExhausted, std::format("a column has {} bytes, {} are "
        "allowed", column.size(), kMaxText));
    if (std::ranges::any_of(column, [](char c) { return c < ' ' || c > '~'; }))
      return Error(Code::kCorrupt, "a byte that is not printable");
  }
  Row row;
  const auto kind = std::ranges::find(kKinds, columns[0]);
  if (kind == kKinds.end()) return Error(Code::kCorrupt, std::format("\"{}\" is no kind of row", columns[0]));
  row.kind = static_cast<Kind>(kind - kKinds.begin());
  if (columns[1].empty()) return Error(Code::kCorrupt, "a row without a name");
  row.name = columns[1], row.asked = columns[2], row.since = columns[3];
  STEPPE_TRY(const bool waived, is_second(columns[4], "enforced", "waived"));
  STEPPE_TRY(const bool optional, is_second(columns[5], "required", "optional"));
  row.state = waived ? Row::State::kWaived : Row::State::kEnforced;
  row.need = optional ? Row::Need::kOptional : Row::Need::kRequired;
  row.applied = columns[6].starts_with('=');
  if (!row.applied && columns[6] != "-") return Error(Code::kCorrupt, std::format("\"{}\" where \"-\" or \"=VALUE\" "
      "belongs", columns[6]));
  if (row.applied) row.value = columns[6].substr(1);
  row.reason = columns[7];
  if (waived == row.reason.empty()) return Error(Code::kCorrupt, waived ? "a waived row without a "
      "reason" : "an enforced row with a reason");
  if (!waived && (!row.applied || row.value != row.asked)) return Error(Code::kCorrupt, "an enforced row with "
      "another value than the one asked for");
  return row;
}

}  // namespace

std::string_view kind_name(Kind kind) { return kKinds[static_cast<size_t>(kind)]; }
std::string row_name(const Row& row) { return std::format("{} {}", kind_name(row.kind), row.name); }

const Row* Table::find(Kind kind, std::string_view name) const {
  const auto at = std::ranges::find_if(rows, [&](const Row& row) { return row.kind == kind && row.name == name; });
  return at == rows.end() ? nullptr : &*at;
}

std::string write_table(const Table& table) {
  std::string out = std::format("{}\nkernel {}\n", kHeader, table.kernel);
  for (const Row& row : table.rows) {
    out += std::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", kind_name(row.kind), row.name, row.asked, row.since,
                       row.state == Row::State::kEnforced ? "enforced" : "waived",
                       row.need == Row::Need::kRequired ? "required" : "optional",
                       row.applied ? "=" + row.value : "-", row.reason);
  }
  return out;
}

Result<Table> parse_table(std::string_view text) {
  if (text.size() > kMaxTableFile.count)
    return Error(Code::kExhausted, std::format("the hardening table has {} bytes, {} are "
        "allowed", text.size(), kMaxTableFile.count));
  const auto lines = split(text, '\n');
  if (lines[0] != kHeader) {
    return lines[0].starts_with("steppe-hardening ") ? Error(Code::kUnsupported, std::format("the hardening table "
        "is of another version: \"{}\"", lines[0].substr(0, 64)))
                                                     : Error(Code::kCorrupt, std::format("the hardening table does "
                                                         "not begin with \"{}\"", kHeader));
  }
  Table table;
  std::set<std::pair<Kind, std::string>> names;
  for (size_t i = 1; i < lines.size(); ++i) {
    const auto where = [i] { return std::format("line {} of the hardening table", i + 1); };
    if (i == 1 && lines[i].starts_with("kernel ") && lines[i].size() <= kMaxText) {
      table.kernel = lines[i].substr(7);
      continue;
    }
    if (i == 1) return Error(Code::kCorrupt, where() + ": no \"kernel RELEASE\"");
    if (i + 1 == lines.size() && lines[i].empty()) break;
    if (table.rows.size() == kMaxRows) return Error(Code::kExhausted, std::format("{}: more than {} "
        "rows", where(), kMaxRows));
    STEPPE_TRY(Row row, parse_row(lines[i]).wrap(where()));
    if (!names.emplace(row.kind, row.name).second) return Error(Code::kCorrupt, std::format("{}: {} a second "
        "time", where(), row_name(row)));
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string settings_file(const Table& table) {
  std::vector<std::string> lines;
  for (const Row& row : table.rows) {
    if (row.kind != Kind::kSetting || !row.applied) continue;
    std::string path = row.name;
    std::ranges::replace(path, '.', '/');
    lines.push_back(std::format("{} {}\n", path, row.value));
  }
  std::ranges::sort(lines);
  std::string out;
  for (const std::string& line : lines) out += line;
  return out;
}

}  // namespace steppe::hardening
