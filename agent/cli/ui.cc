#include "agent/cli/ui.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::cli {

void Ui::line(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fputc('\n', out_);
  std::fflush(out_);
}

void Ui::raw(std::string_view bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), out_);
  std::fflush(out_);
}

void Ui::raw_error(std::string_view bytes) {
  std::fwrite(bytes.data(), 1, bytes.size(), err_);
  std::fflush(err_);
}

void Ui::error(std::string_view text) {
  std::fprintf(err_, "%s\n", red(text).c_str());
}

void Ui::warn(std::string_view text) {
  std::fprintf(err_, "%s\n", yellow(text).c_str());
}

std::string Ui::bold(std::string_view text) const { return paint("1", text); }

std::string Ui::paint(std::string_view code, std::string_view text) const {
  return colour_ ? std::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

namespace {

// Columns on a terminal of UTF-8 text: every code point counts one.
size_t width(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string align(std::vector<Row> rows, std::string_view glue, bool last_padded) {
  std::vector<size_t> widths;
  for (Row& row : rows) {
    for (std::string& cell : row) cell = printable(cell);
  }
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i].empty() ? "<none>" : row[i]));
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (r > 0) out.push_back('\n');
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const std::string& cell = rows[r][i].empty() ? std::string("<none>") : rows[r][i];
      out.append(cell);
      if (i + 1 < rows[r].size()) {
        out.append(widths[i] - width(cell), ' ').append(glue);
      } else if (last_padded) {
        out.append(widths[i] - width(cell), ' ');
      }
    }
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    const std::string_view point = text.substr(i, length);
    // U+0080 to U+009F are controls too, and so is a lone byte of theirs to terminals of eight bits.
    const bool control = byte < 0x20 || byte == 0x7f || !is_utf8(point) || (byte == 0xc2 && static_cast<unsigned char>(point[1]) < 0xa0);
    if (byte == '\n') out += "\\n", ++i;
    else if (control) out += std::format("\\x{:02x}", byte), ++i;
    else out += point, i += point.size();
  }
  return out;
}

std::string table(const std::vector<Row>& rows) { return align(rows, "  ", false); }
std::string key_values(const std::vector<Row>& rows) { return align(rows, " = ", false); }

std::string short_id(std::string_view id, bool verbose) { return std::string(verbose ? id : id.substr(0, 8)); }

std::string date(int64_t unix_ns) {
  if (unix_ns == 0) return "";
  return format_rfc3339(WallTime{unix_ns / 1'000'000'000 * 1'000'000'000});
}

std::string age(int64_t unix_ns, int64_t now_unix_ns, bool verbose) {
  if (unix_ns == 0) return "";
  if (verbose) return date(unix_ns);
  int64_t seconds = std::max<int64_t>(0, (now_unix_ns - unix_ns) / 1'000'000'000);
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  static constexpr Unit kUnits[] = {{365 * 86'400, "y"}, {30 * 86'400, "mo"}, {86'400, "d"}, {3'600, "h"}, {60, "m"}, {1, "s"}};
  std::string out;
  int parts = 0;
  for (const Unit& unit : kUnits) {
    const int64_t count = seconds / unit.seconds;
    if (count == 0 && !(unit.seconds == 1 && parts == 0)) continue;
    out += std::format("{}{}", count, unit.name);
    seconds %= unit.seconds;
    if (++parts == 2) break;
  }
  return out + " ago";
}

std::string size_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return std::format("{} B", bytes);
  return value < 10 ? std::format("{:.1f} {}", value, kUnits[unit]) : std::format("{:.0f} {}", value, kUnits[unit]);
}

}  // namespace steppe::cli
