#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace steppe::cli {

// What a command prints. Colour only where `colour` says so (a terminal, and no -no-color).
class Ui {
 public:
  Ui(std::FILE* out, std::FILE* err, bool colour) : out_(out), err_(err), colour_(colour) {}

  void line(std::string_view text = "");      // to standard output, with a newline
  void raw(std::string_view bytes);           // as they are, flushed
  void raw_error(std::string_view bytes);
  void error(std::string_view text);          // to standard error
  void warn(std::string_view text);

  std::string bold(std::string_view text) const;
  std::string green(std::string_view text) const { return paint("32", text); }
  std::string red(std::string_view text) const { return paint("31", text); }
  std::string yellow(std::string_view text) const { return paint("33", text); }

 private:
  std::string paint(std::string_view code, std::string_view text) const;

  std::FILE* out_;
  std::FILE* err_;
  bool colour_;
};

using Row = std::vector<std::string>;

// Names come from whoever made a file or a job: control characters are shown as escapes, never sent to the terminal.
std::string printable(std::string_view text);

// Columns aligned, two spaces apart; an empty cell reads "<none>"; cells are made printable. No newline at the end.
std::string table(const std::vector<Row>& rows);
// "Key   = value" with the equal signs aligned. No newline at the end.
std::string key_values(const std::vector<Row>& rows);

// What is printed of an id: 8 characters, or all with -verbose.
std::string short_id(std::string_view id, bool verbose);
// "5m20s ago"; with verbose the RFC 3339 time. 0 is "<none>"-like empty text.
std::string age(int64_t unix_ns, int64_t now_unix_ns, bool verbose);
std::string date(int64_t unix_ns);         // "2026-11-21T11:16:05Z", seconds only
std::string size_text(uint64_t bytes);     // "300 MiB", "1.2 GiB", "17 B"

}  // namespace steppe::cli
