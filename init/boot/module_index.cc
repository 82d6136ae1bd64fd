#include "init/boot/module_index.h"

#include <algorithm>
#include <string>

namespace steppe::boot {
namespace {

constexpr size_t kMaxMatched = 1'024;
constexpr size_t kMaxFound = 16;
constexpr size_t kMaxFiles = 64;

// One element of a pattern at `at`: does it take the byte, and where does the next one begin?
struct Element {
  bool takes;
  size_t next;
};

Element set_element(std::string_view pattern, size_t at, char byte) {
  size_t i = at + 1;
  bool negated = i < pattern.size() && pattern[i] == '!';
  if (negated) ++i;
  bool inside = false;
  for (size_t first = i; i < pattern.size(); ++i) {
    if (pattern[i] == ']' && i > first) return {inside != negated, i + 1};
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
      inside = inside || (pattern[i] <= byte && byte <= pattern[i + 2]);
      i += 2;
    } else {
      inside = inside || pattern[i] == byte;
    }
  }
  return {byte == '[', at + 1};  // never closed
}

Element element(std::string_view pattern, size_t at, char byte) {
  if (pattern[at] == '?') return {true, at + 1};
  if (pattern[at] == '[') return set_element(pattern, at, byte);
  return {pattern[at] == byte, at + 1};
}

char plain(char c) { return c == '-' ? '_' : c; }

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return plain(x) == plain(y); });
}

std::string_view first_word(std::string_view line) { return line.substr(0, line.find(' ')); }

std::string_view after_word(std::string_view line) {
  size_t space = line.find(' ');
  return space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
}

bool plain_relative(std::string_view path) {
  if (path.empty() || path.front() == '/') return false;
  for (size_t at = 0; at <= path.size();) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

Error corrupt(size_t line, std::string_view what) {
  return {Code::kCorrupt, "modules.index: line " + std::to_string(line) + ": " + std::string(what)};
}

}  // namespace

bool alias_matches(std::string_view pattern, std::string_view text) {
  if (pattern.size() > kMaxMatched || text.size() > kMaxMatched) return false;
  // Only the last '*' ever needs another try: an earlier one taking more could not help what follows.
  size_t p = 0, t = 0, star = std::string_view::npos, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
      continue;
    }
    if (p < pattern.size()) {
      if (Element at = element(pattern, p, text[t]); at.takes) {
        p = at.next;
        ++t;
        continue;
      }
    }
    if (star == std::string_view::npos) return false;
    p = star + 1;
    t = ++star_text;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<ModuleIndex> ModuleIndex::parse(std::string text) {
  if (text.size() > kMaxBytes) return {Code::kExhausted, "modules.index is longer than 16 MiB"};
  ModuleIndex index;
  index.text_ = std::move(text);
  std::string_view all = index.text_;
  size_t number = 0;
  std::string_view before;
  for (size_t at = 0; at < all.size();) {
    size_t end = std::min(all.find('\n', at), all.size());
    std::string_view line = all.substr(at, end - at);
    if (++number > kMaxLines) return corrupt(number, "more than 200,000 lines");
    if (line.size() > kMaxLine) return corrupt(number, "longer than 1,024 bytes");
    if (number == 1) {
      if (line != "steppe-modules 1") return corrupt(1, "not \"steppe-modules 1\": made by another version of the builder?");
    } else {
      std::string_view kind = first_word(line), rest = after_word(line);
      bool file = kind == "file";
      if (!file && kind != "alias") return corrupt(number, "neither a file nor an alias");
      if (file && !index.aliases_.empty()) return corrupt(number, "a file after the aliases");
      std::vector<Line>& lines = file ? index.files_ : index.aliases_;
      if (lines.empty()) before = {};
      // With the same first word the whole lines compare as their rest does.
      if (rest < before) return corrupt(number, "out of order");
      if (first_word(rest).empty() || first_word(after_word(rest)).empty()) return corrupt(number, "a column is missing");
      if (file && !plain_relative(first_word(after_word(rest)))) return corrupt(number, "the path leaves the index's directory");
      lines.push_back({static_cast<uint32_t>(rest.data() - all.data()), static_cast<uint16_t>(rest.size())});
      before = rest;
    }
    at = end + 1;
  }
  if (number == 0) return corrupt(1, "the file is empty");
  return index;
}

// Narrows the lines to those that begin as the modalias does, one byte at a time. Lines whose pattern goes on with a
// wildcard at that place leave the walk there and are matched one by one.
std::vector<std::string_view> ModuleIndex::find(std::string_view modalias) const {
  std::vector<std::string_view> out;
  if (modalias.empty() || modalias.size() > kMaxMatched) return out;
  size_t from = 0, to = aliases_.size();
  auto byte_at = [this](size_t line, size_t depth) {
    std::string_view pattern = text(aliases_[line]);
    return depth < pattern.size() ? static_cast<unsigned char>(pattern[depth]) : 0;
  };
  auto border = [&](size_t low, size_t high, size_t depth, int byte) {  // the first line whose byte is not less
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (byte_at(middle, depth) < byte) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  for (size_t depth = 0; from < to && out.size() < kMaxFound; ++depth) {
    for (char wildcard : {'*', '?', '['}) {
      int byte = static_cast<unsigned char>(wildcard);
      match_range(border(from, to, depth, byte), border(from, to, depth, byte + 1), modalias, out);
    }
    if (depth == modalias.size()) {  // the pattern ends here: a space follows it
      match_range(border(from, to, depth, ' '), border(from, to, depth, ' ' + 1), modalias, out);
      break;
    }
    int byte = static_cast<unsigned char>(modalias[depth]);
    // A byte that is itself a wildcard sign was matched above.
    if (byte == '*' || byte == '?' || byte == '[') break;
    size_t low = border(from, to, depth, byte);
    to = border(low, to, depth, byte + 1);
    from = low;
  }
  return out;
}

void ModuleIndex::match_range(size_t from, size_t to, std::string_view modalias, std::vector<std::string_view>& out) const {
  for (size_t i = from; i < to && out.size() < kMaxFound; ++i) {
    std::string_view line = text(aliases_[i]);
    if (!alias_matches(first_word(line), modalias)) continue;
    std::string_view name = first_word(after_word(line));
    if (std::ranges::none_of(out, [name](std::string_view known) { return same_name(known, name); })) out.push_back(name);
  }
}

std::string_view ModuleIndex::file_line(std::string_view name) const {
  auto exact = std::ranges::lower_bound(files_, name, {}, [this](Line line) { return first_word(text(line)); });
  if (exact != files_.end() && first_word(text(*exact)) == name) return text(*exact);
  // Asked for with the other sign between words; rare, so looked for from the start.
  for (Line line : files_) {
    if (same_name(first_word(text(line)), name)) return text(line);
  }
  return {};
}

std::vector<std::string_view> ModuleIndex::files(std::string_view name) const {
  std::string_view line = file_line(name);
  if (line.empty()) return {};
  std::string_view path_on = after_word(line);
  std::vector<std::string_view> out;
  std::string_view dependencies = after_word(path_on);
  while (!dependencies.empty() && out.size() + 1 < kMaxFiles) {
    std::string_view one = dependencies.substr(0, dependencies.find(','));
    dependencies.remove_prefix(one.size() + (one.size() < dependencies.size() ? 1 : 0));
    // One that the index does not have is built into the kernel.
    if (std::string_view found = file_line(one); !found.empty()) out.push_back(first_word(after_word(found)));
  }
  out.push_back(first_word(path_on));
  return out;
}

}  // namespace steppe::boot
