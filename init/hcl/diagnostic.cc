#include "init/hcl/diagnostic.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::hcl {
namespace {

constexpr size_t kMaxExcerptBytes = 160;

bool continues_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::string carets_under(std::string_view line, size_t from, size_t to) {
  std::string carets;
  for (size_t i = 0; i < from; ++i) {
    if (!continues_code_point(line[i])) carets += line[i] == '\t' ? '\t' : ' ';
  }
  size_t width = 0;
  for (size_t i = from; i < to; ++i) width += !continues_code_point(line[i]);
  carets.append(std::max<size_t>(width, 1), '^');
  return carets;
}

// What a terminal would act on, or could not show, as '?', byte for byte: places stay where they are.
std::string without_controls(std::string_view line) {
  std::string out(line);
  for (size_t i = 0; i < line.size();) {
    const auto byte = static_cast<unsigned char>(line[i]);
    const std::string_view point = line.substr(i, byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4);
    const bool whole = is_utf8(point);
    const bool control = (byte < 0x20 && byte != '\t') || byte == 0x7F || (byte == 0xC2 && whole && static_cast<unsigned char>(point[1]) < 0xA0);
    const size_t length = whole ? point.size() : 1;
    if (!whole || control) out.replace(i, length, length, '?');
    i += length;
  }
  return out;
}

std::string excerpt_of(const Source& source, Range range, uint32_t line_number) {
  std::string_view text = source.text;
  size_t at = std::min<size_t>(range.start, text.size());
  size_t begin = at;
  while (begin > 0 && text[begin - 1] != '\n') --begin;
  size_t end = at;
  while (end < text.size() && text[end] != '\n' && text[end] != '\r') ++end;
  // A very long line is cut around the place, at code point borders.
  if (at - begin > kMaxExcerptBytes / 2) {
    begin = at - kMaxExcerptBytes / 2;
    while (begin < at && continues_code_point(text[begin])) ++begin;
  }
  if (end - begin > kMaxExcerptBytes) {
    end = begin + kMaxExcerptBytes;
    while (end > at && continues_code_point(text[end])) --end;
  }
  std::string_view line = text.substr(begin, end - begin);
  std::string number = std::format("{:5} | ", line_number);
  const std::string printable = without_controls(line);
  size_t from = std::min(at - begin, line.size());
  size_t to = std::clamp<size_t>(range.end > begin ? range.end - begin : 0, from, line.size());
  return number + printable + "\n      | " + carets_under(printable, from, to);
}

Diagnostic make(Severity severity, const Source& source, Range range, std::string summary, std::string detail) {
  Diagnostic diagnostic;
  diagnostic.severity = severity;
  diagnostic.file = source.name;
  diagnostic.start = position_at(source, range.start);
  diagnostic.end = range.end > range.start ? position_at(source, range.end) : diagnostic.start;
  diagnostic.summary = std::move(summary);
  diagnostic.detail = std::move(detail);
  diagnostic.excerpt = excerpt_of(source, range, diagnostic.start.line);
  return diagnostic;
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

Position position_at(const Source& source, uint32_t offset) {
  Position position;
  size_t limit = std::min<size_t>(offset, source.text.size());
  for (size_t i = 0; i < limit; ++i) {
    if (source.text[i] == '\n') {
      ++position.line;
      position.column = 1;
    } else if (!continues_code_point(source.text[i])) {
      ++position.column;
    }
  }
  return position;
}

std::string Diagnostic::text() const {
  std::string where = file;
  if (!excerpt.empty()) {
    where += start.line == end.line ? std::format(":{},{}-{}", start.line, start.column, end.column)
                                    : std::format(":{},{}-{},{}", start.line, start.column, end.line, end.column);
  }
  std::string out = where.empty() ? summary : where + ": " + summary;
  if (!detail.empty()) out += "; " + detail;
  if (!excerpt.empty()) out += "\n" + excerpt;
  return out;
}

void Diagnostics::add(Diagnostic diagnostic) {
  if (diagnostic.severity == Severity::kError && ++errors_ > kMaxErrors) return;
  if (list_.size() < 4 * kMaxErrors) list_.push_back(std::move(diagnostic));
}

void Diagnostics::error(const Source& source, Range range, std::string summary, std::string detail) {
  if (errors_ >= kMaxErrors) {
    ++errors_;
    return;
  }
  add(make(Severity::kError, source, range, std::move(summary), std::move(detail)));
}

void Diagnostics::warning(const Source& source, Range range, std::string summary, std::string detail) {
  add(make(Severity::kWarning, source, range, std::move(summary), std::move(detail)));
}

void Diagnostics::error(std::string file, std::string summary, std::string detail) {
  Diagnostic diagnostic;
  diagnostic.file = std::move(file);
  diagnostic.summary = std::move(summary);
  diagnostic.detail = std::move(detail);
  add(std::move(diagnostic));
}

void Diagnostics::append(Diagnostics other) {
  size_t kept = 0;
  for (Diagnostic& diagnostic : other.list_) {
    kept += diagnostic.severity == Severity::kError;
    add(std::move(diagnostic));
  }
  errors_ += other.errors_ - kept;
}

std::string Diagnostics::text() const {
  std::string out;
  for (const Diagnostic& diagnostic : list_) {
    if (!out.empty()) out += '\n';
    if (diagnostic.severity == Severity::kWarning) out += "warning: ";
    out += diagnostic.text();
  }
  if (errors_ > kMaxErrors) out += std::format("\nand {} more errors", errors_ - kMaxErrors);
  return out;
}

Error Diagnostics::to_error() const {
  std::string out;
  for (const Diagnostic& diagnostic : list_) {
    if (diagnostic.severity != Severity::kError) continue;
    if (!out.empty()) out += '\n';
    out += diagnostic.text();
  }
  if (errors_ > kMaxErrors) out += std::format("\nand {} more errors", errors_ - kMaxErrors);
  return Error(Code::kInvalid, std::move(out));
}

std::string_view nearest_name(std::string_view name, const std::vector<std::string_view>& candidates) {
  if (name.size() > 64) return {};
  std::string_view best;
  size_t best_distance = name.size() / 3 + 2;  // longer names may differ in more places
  for (std::string_view candidate : candidates) {
    size_t distance = edit_distance(name, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace steppe::hcl
