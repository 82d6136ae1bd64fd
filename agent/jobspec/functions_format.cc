// format() and formatlist(): printf verbs with HCL's values.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <format>

#include "agent/jobspec/function_families.h"
#include "init/json/writer.h"

namespace steppe::jobspec {
namespace {

using hcl::Kind;
using hcl::Number;
using hcl::Value;

constexpr size_t kMaxWidth = 4096;

struct Verb {
  std::string_view text;  // "%-5.2f"
  size_t offset = 0;
  bool sharp = false, plus = false, minus = false, space = false, zero = false;
  std::optional<size_t> width, precision;
  std::optional<size_t> argument;  // "%[2]s": counted from 1
  char letter = 0;
};

class Formatter {
 public:
  Formatter(std::string_view pattern, Arguments arguments, hcl::Budget& budget)
      : pattern_(pattern), arguments_(arguments), budget_(budget) {}

  Result<std::string> run() {
    for (size_t at = 0; at < pattern_.size();) {
      if (pattern_[at] != '%') {
        out_ += pattern_[at++];
        continue;
      }
      if (pattern_.substr(at, 2) == "%%") {
        out_ += '%';
        at += 2;
        continue;
      }
      Verb verb;
      STEPPE_TRY_VOID(read_verb(at, verb));
      at += verb.text.size();
      STEPPE_TRY_VOID(apply(verb));
    }
    if (!named_ && next_ < arguments_.size()) {
      return invalid(std::format("too many arguments; only {} used by format string", next_));
    }
    return std::move(out_);
  }

 private:
  std::optional<size_t> read_number(size_t& at) {
    size_t begin = at, value = 0;
    while (at < pattern_.size() && pattern_[at] >= '0' && pattern_[at] <= '9')
      value = std::min<size_t>(value * 10 + static_cast<size_t>(pattern_[at++] - '0'), 1 << 20);
    if (at == begin) return std::nullopt;
    return value;
  }

  Result<> read_verb(size_t begin, Verb& verb) {
    size_t at = begin + 1;
    verb.offset = begin;
    auto at_end = [&] {
      return invalid(std::format("unexpected end of the format string in a verb at offset {}", begin));
    };
    for (; at < pattern_.size(); ++at) {
      char c = pattern_[at];
      if (c == '#')
        verb.sharp = true;
      else if (c == '+')
        verb.plus = true;
      else if (c == '-')
        verb.minus = true;
      else if (c == ' ')
        verb.space = true;
      else if (c == '0')
        verb.zero = true;
      else
        break;
    }
    verb.width = read_number(at);
    if (at < pattern_.size() && pattern_[at] == '.') {
      ++at;
      verb.precision = read_number(at).value_or(0);
    }
    if (at < pattern_.size() && pattern_[at] == '[') {
      ++at;
      verb.argument = read_number(at);
      if (!verb.argument || *verb.argument == 0 || at >= pattern_.size() || pattern_[at] != ']') {
        return invalid(std::format("an argument index must be a number from 1 in brackets, at offset {}", begin));
      }
      ++at;
    }
    if (at >= pattern_.size()) return at_end();
    verb.letter = pattern_[at];
    verb.text = pattern_.substr(begin, at + 1 - begin);
    if (!std::string_view("vtbdoxXeEfgGsq").contains(verb.letter)) {
      bool letter = isalpha(static_cast<unsigned char>(verb.letter));
      return letter ? invalid(std::format("unsupported format verb '{}' in \"{}\" at offset {}", verb.letter, verb.text,
                                          begin))
                    : invalid(std::format("unrecognized format character at offset {}", at));
    }
    if (verb.width.value_or(0) > kMaxWidth || verb.precision.value_or(0) > kMaxWidth) {
      return invalid(std::format("a width or precision above {} in \"{}\"", kMaxWidth, verb.text));
    }
    return {};
  }

  Result<> apply(const Verb& verb) {
    size_t index = verb.argument ? *verb.argument - 1 : next_;
    named_ = named_ || verb.argument;
    if (index >= arguments_.size()) {
      return invalid(std::format("not enough arguments for \"{}\" at {}: need index {} but have {} total", verb.text,
                                 verb.offset, index + 1, arguments_.size()));
    }
    next_ = index + 1;
    auto shown = show(verb, arguments_[index]);
    if (!shown.ok())
      return invalid(
          std::format("unsupported value for \"{}\" at {}: {}", verb.text, verb.offset, shown.error().message()));
    STEPPE_TRY_VOID(budget_.take_bytes(shown->size() + verb.width.value_or(0)));
    out_ += pad(verb, *std::move(shown));
    return {};
  }

  std::string pad(const Verb& verb, std::string text) {
    size_t length = grapheme_ends(text).size();
    if (length >= verb.width.value_or(0)) return text;
    size_t missing = *verb.width - length;
    if (verb.minus) return text.append(missing, ' ');
    bool numeric = std::string_view("bdoxXeEfgG").contains(verb.letter);
    if (!verb.zero || !numeric) return std::string(missing, ' ') + text;
    size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+' || text[0] == ' ');
    return text.insert(sign, missing, '0');
  }

  Result<std::string> show(const Verb& verb, const Value& value) {
    switch (verb.letter) {
      case 'v': return show_default(verb, value);
      case 't': {
        STEPPE_TRY(Value decided, non_null(value, hcl::Type::boolean()));
        return std::string(decided.boolean() ? "true" : "false");
      }
      case 's': return show_text(verb, value);
      case 'q': {
        STEPPE_TRY(Value text, non_null(value, hcl::Type::string()));
        std::string quoted;
        json::Writer(&quoted).text(text.string());
        return quoted;
      }
      case 'b':
      case 'd':
      case 'o':
      case 'x':
      case 'X': return show_integer(verb, value);
      default: return show_real(verb, value);
    }
  }

  static Result<Value> non_null(const Value& value, const hcl::Type& type) {
    if (value.is_null()) return invalid("null value cannot be formatted");
    return convert(value, type);
  }

  Result<std::string> show_default(const Verb& verb, const Value& value) {
    if (verb.sharp || value.is_sequence() || value.is_mapping() || value.is_null()) return encode_json(value);
    if (value.kind() == Kind::kString) return show_text(verb, value);
    if (value.kind() == Kind::kBool) return std::string(value.boolean() ? "true" : "false");
    Verb general = verb;
    general.letter = 'g';
    return show_real(general, value);
  }

  Result<std::string> show_text(const Verb& verb, const Value& value) {
    STEPPE_TRY(Value text, non_null(value, hcl::Type::string()));
    if (!verb.precision) return text.string();
    std::vector<size_t> ends = grapheme_ends(text.string());
    size_t count = std::min(*verb.precision, ends.size());
    return text.string().substr(0, count == 0 ? 0 : ends[count - 1]);
  }

  static std::string with_sign(const Verb& verb, bool negative, std::string digits) {
    return (negative ? "-" : verb.plus ? "+" : verb.space ? " " : "") + std::move(digits);
  }

  Result<std::string> show_integer(const Verb& verb, const Value& value) {
    STEPPE_TRY(Value number, non_null(value, hcl::Type::number()));
    if (!number.number().is_whole()) return invalid("an integer is required");
    int64_t integer = number.number().integer();
    uint64_t magnitude = integer < 0 ? 0 - static_cast<uint64_t>(integer) : static_cast<uint64_t>(integer);
    int base = verb.letter == 'b' ? 2 : verb.letter == 'o' ? 8 : verb.letter == 'd' ? 10 : 16;
    char digits[72];
    auto [end, fault] = std::to_chars(digits, digits + sizeof digits, magnitude, base);
    std::string text(digits, end);
    if (verb.letter == 'X')
      std::transform(text.begin(), text.end(), text.begin(),
                     [](char c) { return c >= 'a' ? static_cast<char>(c - 32) : c; });
    if (verb.precision && text.size() < *verb.precision) text.insert(0, *verb.precision - text.size(), '0');
    if (verb.sharp)
      text.insert(0, verb.letter == 'b'   ? "0b"
                     : verb.letter == 'o' ? "0"
                     : verb.letter == 'x' ? "0x"
                     : verb.letter == 'X' ? "0X"
                                          : "");
    return with_sign(verb, integer < 0, std::move(text));
  }

  // All digits of an integer, which a double could not hold: "1.234567e+06".
  static std::string whole_with_exponent(Number number) {
    std::string digits = number.text();
    if (digits.starts_with('-')) digits.erase(0, 1);
    size_t exponent = digits.size() - 1;
    digits.erase(digits.find_last_not_of('0') + 1);
    if (digits.size() > 1) digits.insert(1, ".");
    return std::format("{}e+{:02}", digits, exponent);
  }

  Result<std::string> show_real(const Verb& verb, const Value& value) {
    STEPPE_TRY(Value number, non_null(value, hcl::Type::number()));
    double real = std::fabs(number.number().as_double());
    bool negative = number.number() < Number(0);
    bool general = verb.letter == 'g' || verb.letter == 'G';
    char text[kMaxWidth + 400];
    std::to_chars_result end;
    if (general && !verb.precision) {
      // The shortest digits that say it all, with an exponent outside of 0.0001 to 999999.
      bool exponent = real != 0 && (real < 1e-4 || real >= 1e6);
      if (exponent && number.number().is_whole())
        return with_sign(verb, negative, whole_with_exponent(number.number()));
      end = std::to_chars(text, text + sizeof text, real,
                          exponent ? std::chars_format::scientific : std::chars_format::fixed);
    } else {
      auto form = general              ? std::chars_format::general
                  : verb.letter == 'f' ? std::chars_format::fixed
                                       : std::chars_format::scientific;
      end = std::to_chars(text, text + sizeof text, real, form, static_cast<int>(verb.precision.value_or(6)));
    }
    if (end.ec != std::errc()) return invalid("the number is too long to format");
    std::string digits(text, end.ptr);
    if (verb.letter == 'E' || verb.letter == 'G') std::replace(digits.begin(), digits.end(), 'e', 'E');
    return with_sign(verb, negative, std::move(digits));
  }

  std::string_view pattern_;
  Arguments arguments_;
  hcl::Budget& budget_;
  std::string out_;
  size_t next_ = 0;
  bool named_ = false;
};

Result<Value> format_one(Arguments a, hcl::Budget& budget) {
  STEPPE_TRY(std::string text, Formatter(a[0].string(), a.subspan(1), budget).run());
  return Value(std::move(text));
}

// The format once for each item: lists give one item each time, all of one length; other values are the same each time.
Result<Value> format_list(Arguments a, hcl::Budget& budget) {
  std::optional<size_t> count;
  for (size_t i = 1; i < a.size(); ++i) {
    if (!a[i].is_sequence()) continue;
    if (count && *count != a[i].size()) {
      return invalid(std::format("argument {} has length {}, which is inconsistent with the other lists of length {}",
                                 i, a[i].size(), *count));
    }
    count = a[i].size();
  }
  size_t rows = count.value_or(1);
  STEPPE_TRY_VOID(budget.take_steps(rows * a.size()));
  Value::Sequence out;
  for (size_t row = 0; row < rows; ++row) {
    std::vector<Value> arguments;
    for (const Value& argument : a.subspan(1))
      arguments.push_back(argument.is_sequence() ? argument.sequence()[row] : argument);
    auto text = Formatter(a[0].string(), arguments, budget).run();
    if (!text.ok()) return std::move(text).wrap(std::format("error on format iteration {}", row)).error();
    out.emplace_back(*std::move(text));
  }
  return Value::make_sequence(Kind::kList, std::move(out));
}

}  // namespace

void add_formatting(hcl::FunctionTable& table) {
  add_variadic(table, "format", {text_parameter("format")}, nullable_parameter("args"), format_one);
  add_variadic(table, "formatlist", {text_parameter("format")}, nullable_parameter("args"), format_list);
}

}  // namespace steppe::jobspec
