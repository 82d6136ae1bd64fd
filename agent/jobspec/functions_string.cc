#include <re2/re2.h>

#include <algorithm>
#include <format>

#include "agent/jobspec/function_families.h"
#include "init/base/text.h"

namespace steppe::jobspec {
namespace {

using hcl::Kind;
using hcl::Number;
using hcl::Value;

uint32_t decode(std::string_view text, size_t& at) {
  auto lead = static_cast<unsigned char>(text[at]);
  size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  uint32_t code = length == 1 ? lead : lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length && at + i < text.size(); ++i)
    code = code << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3F);
  at = std::min(at + length, text.size());
  return code;
}

void encode(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
    return;
  }
  if (code >= 0x10000) {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3F));
  } else if (code >= 0x800) {
    out += static_cast<char>(0xE0 | code >> 12);
  }
  out += code < 0x800 ? static_cast<char>(0xC0 | code >> 6) : static_cast<char>(0x80 | (code >> 6 & 0x3F));
  out += static_cast<char>(0x80 | (code & 0x3F));
}

// Case of the alphabets that keep their two cases in regular places: Latin, Greek, Cyrillic. Others stay as they are.
uint32_t to_upper(uint32_t c) {
  if (c >= 'a' && c <= 'z') return c - 32;
  if ((c >= 0xE0 && c <= 0xFE && c != 0xF7) || (c >= 0x430 && c <= 0x44F) || (c >= 0x3B1 && c <= 0x3C9 && c != 0x3C2))
    return c - 32;
  if (c == 0xFF) return 0x178;
  if (c >= 0x450 && c <= 0x45F) return c - 80;
  bool odd_is_lower = (c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177) || (c >= 0x460 && c <= 0x481) ||
                      (c >= 0x48A && c <= 0x4BF);
  if (odd_is_lower && c != 0x131) return c & ~1u;
  bool even_is_lower = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E);
  if (even_is_lower && c % 2 == 0) return c - 1;
  return c;
}
uint32_t to_lower(uint32_t c) {
  if (c >= 'A' && c <= 'Z') return c + 32;
  if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x410 && c <= 0x42F) || (c >= 0x391 && c <= 0x3A9 && c != 0x3A2))
    return c + 32;
  if (c == 0x178) return 0xFF;
  if (c >= 0x400 && c <= 0x40F) return c + 80;
  bool odd_is_lower = (c >= 0x100 && c <= 0x137) || (c >= 0x14A && c <= 0x177) || (c >= 0x460 && c <= 0x481) ||
                      (c >= 0x48A && c <= 0x4BF);
  if (odd_is_lower && c != 0x130) return c | 1u;
  bool even_is_lower = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E);
  if (even_is_lower && c % 2 == 1) return c + 1;
  return c;
}

template <uint32_t (*kMap)(uint32_t)>
Result<Value> map_case(Arguments a, hcl::Budget&) {
  const std::string& text = a[0].string();
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) encode(kMap(decode(text, at)), out);
  return Value(std::move(out));
}

// The first letter of each word, words being divided by all that is not a letter, digit or '_'.
Result<Value> title(Arguments a, hcl::Budget&) {
  const std::string& text = a[0].string();
  std::string out;
  bool starts = true;
  for (size_t at = 0; at < text.size();) {
    uint32_t code = decode(text, at);
    encode(starts ? to_upper(code) : code, out);
    bool word =
        (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || (code >= '0' && code <= '9') || code == '_';
    starts = code < 0x80 ? !word : code == 0xA0 || code == 0x3000 || (code >= 0x2000 && code <= 0x200A);
  }
  return Value(std::move(out));
}

Result<Value> chomp(Arguments a, hcl::Budget&) {
  std::string text = a[0].string();
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return Value(std::move(text));
}

Result<Value> indent(Arguments a, hcl::Budget& budget) {
  STEPPE_TRY(int64_t spaces, whole(a[0]));
  if (spaces < 0 || spaces > 1024) return invalid("the number of spaces must be between 0 and 1024");
  const std::string& text = a[1].string();
  auto lines = static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
  STEPPE_TRY_VOID(budget.take_bytes(lines * static_cast<uint64_t>(spaces)));
  std::string out;
  for (char c : text) {
    out += c;
    if (c == '\n') out.append(static_cast<size_t>(spaces), ' ');
  }
  return Value(std::move(out));
}

Result<Value> join_lists(Arguments a, hcl::Budget& budget) {
  const std::string& separator = a[0].string();
  if (a.size() == 1) return invalid("at least one list is required");
  std::string out;
  bool first = true;
  for (const Value& list : a.subspan(1)) {
    for (const Value& item : list.sequence()) {
      if (item.is_null()) return invalid("an element of a list is null; cannot concatenate null values");
      STEPPE_TRY_VOID(budget.take_bytes(separator.size() + item.string().size()));
      if (!first) out += separator;
      first = false;
      out += item.string();
    }
  }
  return Value(std::move(out));
}

Result<Value> split_text(Arguments a, hcl::Budget& budget) {
  const std::string &separator = a[0].string(), &text = a[1].string();
  Value::Sequence parts;
  if (separator.empty()) {
    size_t begin = 0;
    for (size_t at = 0; at < text.size(); begin = at) {
      decode(text, at);
      STEPPE_TRY_VOID(budget.take_bytes(64));
      parts.emplace_back(text.substr(begin, at - begin));
    }
    return Value::make_sequence(Kind::kList, std::move(parts));
  }
  for (size_t begin = 0;;) {
    size_t end = text.find(separator, begin);
    STEPPE_TRY_VOID(budget.take_bytes(64));
    parts.emplace_back(text.substr(begin, end == text.npos ? end : end - begin));
    if (end == text.npos) break;
    begin = end + separator.size();
  }
  return Value::make_sequence(Kind::kList, std::move(parts));
}

Result<Value> replace_text(Arguments a, hcl::Budget& budget) {
  const std::string &text = a[0].string(), &what = a[1].string(), &by = a[2].string();
  std::string out;
  // An empty text to look for is found between all characters, and at both ends.
  for (size_t at = 0;;) {
    size_t found = what.empty() ? at : text.find(what, at);
    if (found == text.npos) {
      out.append(text, at);
      break;
    }
    STEPPE_TRY_VOID(budget.take_bytes(by.size() + 8));
    out.append(text, at, found - at);
    out += by;
    at = found + what.size();
    if (!what.empty()) continue;
    if (at >= text.size()) break;
    size_t next = at;
    decode(text, next);
    out.append(text, at, next - at);
    at = next;
  }
  return Value(std::move(out));
}

// Go's template: $1, ${1}, $name, ${name}, $$. A name runs as far as letters, digits and '_' do.
void expand(std::string_view pattern, const std::map<std::string, int>& names,
            const std::vector<re2::StringPiece>& groups, std::string& out) {
  for (size_t at = 0; at < pattern.size();) {
    if (pattern[at] != '$' || at + 1 == pattern.size()) {
      out += pattern[at++];
      continue;
    }
    if (pattern[at + 1] == '$') {
      out += '$';
      at += 2;
      continue;
    }
    bool braces = pattern[at + 1] == '{';
    size_t begin = at + 1 + braces, end = begin;
    while (end < pattern.size() && (isalnum(static_cast<unsigned char>(pattern[end])) || pattern[end] == '_')) ++end;
    if (end == begin || (braces && (end == pattern.size() || pattern[end] != '}'))) {
      out += pattern[at++];
      continue;
    }
    std::string name(pattern.substr(begin, end - begin));
    at = end + braces;
    size_t group = groups.size();
    if (auto number = parse_uint(name); number.ok()) {
      group = *number;
    } else if (auto found = names.find(name); found != names.end()) {
      group = static_cast<size_t>(found->second);
    }
    if (group < groups.size()) out.append(groups[group].data() ? groups[group].data() : "", groups[group].size());
  }
}

Result<Value> regex_replace(Arguments a, hcl::Budget& budget) {
  const std::string &text = a[0].string(), &template_text = a[2].string();
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  RE2 regex(a[1].string(), options);
  if (!regex.ok()) return invalid(std::format("invalid regular expression: {}", regex.error()));
  std::vector<re2::StringPiece> groups(static_cast<size_t>(regex.NumberOfCapturingGroups()) + 1);
  std::string out;
  // Go's rule for empty matches: one right behind another match does not count, and each search moves on by a
  // character.
  size_t at = 0, copied = 0;
  while (at <= text.size() &&
         regex.Match(text, at, text.size(), RE2::UNANCHORED, groups.data(), static_cast<int>(groups.size()))) {
    auto begin = static_cast<size_t>(groups[0].data() - text.data()), end = begin + groups[0].size();
    size_t before = out.size();
    out.append(text, copied, begin - copied);
    if (end > copied || begin == 0) expand(template_text, regex.NamedCapturingGroups(), groups, out);
    STEPPE_TRY_VOID(budget.take_bytes(out.size() - before + 1));
    STEPPE_TRY_VOID(budget.take_steps(1));
    copied = end;
    size_t next = at;
    if (at < text.size()) decode(text, next);
    at = std::max({end, next, at + (at == text.size())});
  }
  out.append(text, copied);
  return Value(std::move(out));
}

Result<Value> length_of_text(Arguments a, hcl::Budget&) {
  return Value(Number(static_cast<int64_t>(grapheme_ends(a[0].string()).size())));
}

Result<Value> reverse(Arguments a, hcl::Budget&) {
  // Lists too, though Nomad's own `reverse` takes texts only.
  if (a[0].is_sequence()) {
    Value::Sequence items(a[0].sequence().rbegin(), a[0].sequence().rend());
    return Value::make_sequence(a[0].kind() == Kind::kSet ? Kind::kList : a[0].kind(), std::move(items));
  }
  STEPPE_TRY(Value text, convert(a[0], hcl::Type::string()));
  std::vector<size_t> ends = grapheme_ends(text.string());
  std::string out;
  for (size_t i = ends.size(); i-- > 0;) {
    size_t begin = i == 0 ? 0 : ends[i - 1];
    out.append(text.string(), begin, ends[i] - begin);
  }
  return Value(std::move(out));
}

Result<Value> substring(Arguments a, hcl::Budget&) {
  const std::string& text = a[0].string();
  STEPPE_TRY(int64_t offset, whole(a[1]));
  STEPPE_TRY(int64_t length, whole(a[2]));
  std::vector<size_t> ends = grapheme_ends(text);
  auto count = static_cast<int64_t>(ends.size());
  if (offset < 0) offset = std::max<int64_t>(offset + count, 0);
  if (offset >= count || length == 0) return Value("");
  int64_t end = length < 0 ? count : std::min(count, offset + std::min(length, count));
  size_t from = offset == 0 ? 0 : ends[static_cast<size_t>(offset - 1)];
  return Value(text.substr(from, ends[static_cast<size_t>(end - 1)] - from));
}

Result<Value> trim_set(Arguments a, hcl::Budget&) {
  const std::string &text = a[0].string(), &set = a[1].string();
  std::vector<std::string_view> points;
  for (size_t at = 0; at < set.size();) {
    size_t begin = at;
    decode(set, at);
    points.push_back(std::string_view(set).substr(begin, at - begin));
  }
  if (points.size() > 256) return invalid("at most 256 characters to trim may be given");
  std::string_view rest = text;
  auto drop = [&](bool front) {
    for (std::string_view point : points) {
      if (front ? !rest.starts_with(point) : !rest.ends_with(point)) continue;
      front ? rest.remove_prefix(point.size()) : rest.remove_suffix(point.size());
      return true;
    }
    return false;
  };
  while (drop(true)) {
  }
  while (drop(false)) {
  }
  return Value(rest);
}

Result<Value> trim_prefix(Arguments a, hcl::Budget&) {
  std::string_view text = a[0].string();
  if (text.starts_with(a[1].string())) text.remove_prefix(a[1].string().size());
  return Value(text);
}
Result<Value> trim_suffix(Arguments a, hcl::Budget&) {
  std::string_view text = a[0].string();
  if (text.ends_with(a[1].string())) text.remove_suffix(a[1].string().size());
  return Value(text);
}
Result<Value> trim_space(Arguments a, hcl::Budget&) { return Value(trim(a[0].string())); }

bool extends_cluster(uint32_t c) {
  return (c >= 0x300 && c <= 0x36F) || (c >= 0x483 && c <= 0x489) || (c >= 0x591 && c <= 0x5BD) ||
         (c >= 0x610 && c <= 0x61A) || (c >= 0x64B && c <= 0x65F) || (c >= 0x93A && c <= 0x94F && c != 0x93D) ||
         (c >= 0xE31 && c <= 0xE3A && c != 0xE32 && c != 0xE33) || (c >= 0xE47 && c <= 0xE4E) ||
         (c >= 0x1AB0 && c <= 0x1AFF) || (c >= 0x1DC0 && c <= 0x1DFF) || c == 0x200C || c == 0x200D ||
         (c >= 0x20D0 && c <= 0x20F0) || (c >= 0x302A && c <= 0x302F) || (c >= 0xFE00 && c <= 0xFE0F) ||
         (c >= 0xFE20 && c <= 0xFE2F) || (c >= 0x1F3FB && c <= 0x1F3FF) || (c >= 0xE0020 && c <= 0xE01EF);
}
bool is_regional(uint32_t c) { return c >= 0x1F1E6 && c <= 0x1F1FF; }

}  // namespace

std::vector<size_t> grapheme_ends(std::string_view text) {
  std::vector<size_t> ends;
  uint32_t before = 0;
  size_t regionals = 0;
  for (size_t at = 0; at < text.size();) {
    uint32_t code = decode(text, at);
    bool pictograph_joined = before == 0x200D && code >= 0x2190;
    bool flag = is_regional(code) && regionals % 2 == 1;
    bool joins =
        !ends.empty() && (extends_cluster(code) || pictograph_joined || flag || (before == '\r' && code == '\n'));
    regionals = is_regional(code) ? regionals + 1 : 0;
    before = code;
    if (joins) {
      ends.back() = at;
    } else {
      ends.push_back(at);
    }
  }
  return ends;
}

void add_strings(hcl::FunctionTable& table) {
  auto text = text_parameter("str");
  auto texts = hcl::Function::Parameter{"lists", hcl::Type::list(hcl::Type::string())};
  add(table, "chomp", {text}, chomp);
  add(table, "indent", {number_parameter("spaces"), text}, indent);
  add_variadic(table, "join", {text_parameter("separator")}, texts, join_lists);
  add(table, "lower", {text}, map_case<to_lower>);
  add(table, "upper", {text}, map_case<to_upper>);
  add(table, "regex_replace", {text, text_parameter("pattern"), text_parameter("replace")}, regex_replace);
  add(table, "replace", {text, text_parameter("substr"), text_parameter("replace")}, replace_text);
  add(table, "split", {text_parameter("separator"), text}, split_text);
  add(table, "strlen", {text}, length_of_text);
  add(table, "strrev", {any_parameter("str")}, reverse);
  add(table, "reverse", {any_parameter("str")}, reverse);
  add(table, "substr", {text, number_parameter("offset"), number_parameter("length")}, substring);
  add(table, "title", {text}, title);
  add(table, "trim", {text, text_parameter("cutset")}, trim_set);
  add(table, "trimprefix", {text, text_parameter("prefix")}, trim_prefix);
  add(table, "trimspace", {text}, trim_space);
  add(table, "trimsuffix", {text, text_parameter("suffix")}, trim_suffix);
}

}  // namespace steppe::jobspec
