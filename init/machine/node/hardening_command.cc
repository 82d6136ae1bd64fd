#include "init/machine/node/hardening_command.h"

#include <algorithm>
#include <cstdio>
#include <format>

#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::node {
namespace {

using hardening::Row;

int cannot(const Error& error) {
  std::fprintf(stderr, "steppe-node hardening: %s\n", error.message().c_str());
  return 2;
}

Result<hardening::Observed> observe(const std::string& root) {
  hardening::Observed out;
  out.setting = [root](const std::string& path) -> std::optional<std::string> {
    auto text = kernel::read_host_file(root + "proc/sys/" + path, Bytes::kib(4));
    if (!text.ok()) return std::nullopt;
    return *std::move(text);
  };
  STEPPE_TRY(out.command_line, kernel::read_host_file(root + "proc/cmdline", Bytes::kib(16)));
  // PID 1's own view: whoever asks may be in a mount namespace of its own.
  STEPPE_TRY(out.mountinfo, kernel::read_host_file(root + "proc/1/mountinfo", Bytes::mib(16)));
  STEPPE_TRY(const std::string release, kernel::read_host_file(root + "proc/sys/kernel/osrelease", Bytes::kib(4)));
  out.release = trim(release);
  return out;
}

}  // namespace

std::string hardening_text(const hardening::Table& table, const hardening::ReadBack& read) {
  size_t width = 0, waived = 0;
  for (const Row& row : table.rows) width = std::max(width, hardening::row_name(row).size());
  std::string out;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const Row &row = table.rows[i], &found = read.found.rows[i];
    const char* verdict = row.applied && found.value != row.value ? "DIFFERS" : row.state == Row::State::kWaived ? "waived" : "holds";
    if (row.state == Row::State::kWaived) ++waived;
    std::string values = row.applied ? std::format("\"{}\"", found.value) : "-";
    if (row.applied && found.value != row.value) values += std::format(", not \"{}\"", row.value);
    out += std::format("{:<7}  {:<{}}  {}{}{}\n", verdict, hardening::row_name(row), width, values, row.reason.empty() ? "" : "  ", row.reason);
  }
  for (const std::string& line : read.differences) out += std::format("DIFFERS  {}\n", line);
  return out + std::format("{} rows, {} waived, {} different\n", table.rows.size(), waived, read.differences.size());
}

int hardening_command(const std::vector<std::string>& words) {
  bool record = false;
  std::string root = "/";
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "-record") {
      record = true;
    } else if (words[i] == "-root" && i + 1 < words.size() && !words[i + 1].empty()) {
      root = words[++i];
      if (!root.ends_with('/')) root += '/';
    } else {
      std::fprintf(stderr, "steppe-node hardening: \"%s\" is no word of it; there are -record and -root DIR\n", words[i].c_str());
      return 2;
    }
  }
  const auto text = kernel::read_host_file(root + std::string(hardening::kTableFile), hardening::kMaxTableFile);
  if (!text.ok()) return cannot(text.error());
  const auto table = hardening::parse_table(*text);
  if (!table.ok()) return cannot(table.error());
  const auto machine = observe(root);
  if (!machine.ok()) return cannot(machine.error());
  const auto read = hardening::read_back(*table, *machine);
  if (!read.ok()) return cannot(read.error());
  const std::string out = record ? hardening::write_table(read->found) : hardening_text(*table, *read);
  std::fwrite(out.data(), 1, out.size(), stdout);
  if (record) {
    for (const std::string& line : read->differences) std::fprintf(stderr, "%s\n", line.c_str());
  }
  return read->found == *table ? 0 : 1;
}

}  // namespace steppe::node
