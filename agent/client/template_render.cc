#include "agent/client/template_render.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::client {
namespace {

constexpr size_t kMaxOutput = 16u << 20;

size_t line_of(std::string_view text, size_t position) {
  return 1 + static_cast<size_t>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(position), '\n'));
}

// A Go string literal at the start of `text`: "..." with escapes, or `...`.
Result<std::string> take_literal(std::string_view& text) {
  if (text.empty() || (text[0] != '"' && text[0] != '`')) return Error(Code::kUnsupported, "");
  char quote = text[0];
  std::string out;
  for (size_t i = 1; i < text.size(); ++i) {
    char c = text[i];
    if (c == quote) {
      text.remove_prefix(i + 1);
      return out;
    }
    if (quote == '"' && c == '\\' && i + 1 < text.size()) {
      char next = text[++i];
      c = next == 'n' ? '\n' : next == 't' ? '\t' : next;
    }
    out += c;
  }
  return Error(Code::kInvalid, "a string has no end");
}

Result<std::string> evaluate(std::string_view action, const TaskEnv& env, const TemplateSyntax& syntax) {
  std::string_view rest = trim(action);
  if (rest.starts_with("/*") && rest.ends_with("*/")) return std::string();
  if (rest.starts_with('"') || rest.starts_with('`')) {
    STEPPE_TRY(std::string literal, take_literal(rest));
    if (trim(rest).empty()) return literal;
  }
  if (rest.starts_with("env ") || rest.starts_with("env\t")) {
    rest = trim(rest.substr(4));
    auto name = take_literal(rest);
    if (name.ok() && trim(rest).empty()) {
      if (auto value = env.lookup(*name)) return *value;
      if (syntax.missing_is_error) return Error(Code::kInvalid, std::format("env \"{}\": no such variable", *name));
      return std::string();
    }
  }
  std::string_view word = rest.substr(0, std::min<size_t>(rest.size(), 40));
  return Error(Code::kUnsupported,
               std::format("\"{}\" is not supported yet; templates may hold text and env \"NAME\" for now", word));
}

void trim_right(std::string& text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n' || text.back() == '\t' || text.back() == '\r')) text.pop_back();
}

}  // namespace

Result<std::string> render_template(std::string_view text, const TaskEnv& env, const TemplateSyntax& syntax) {
  std::string out;
  size_t at = 0;
  while (at < text.size()) {
    size_t open = text.find(syntax.left, at);
    out += text.substr(at, open == text.npos ? text.npos : open - at);
    if (open == text.npos) break;
    size_t close = text.find(syntax.right, open + syntax.left.size());
    if (close == text.npos) {
      return Error(Code::kInvalid, std::format("line {}: {} without {}", line_of(text, open), syntax.left, syntax.right));
    }
    std::string_view action = text.substr(open + syntax.left.size(), close - open - syntax.left.size());
    if (action.starts_with("- ") || action.starts_with("-\n")) {
      trim_right(out);
      action.remove_prefix(1);
    }
    bool trim_after = action.ends_with(" -");
    if (trim_after) action.remove_suffix(1);
    STEPPE_TRY(std::string value, evaluate(action, env, syntax).wrap(std::format("line {}", line_of(text, open))));
    out += value;
    if (out.size() > kMaxOutput) return Error(Code::kExhausted, "the template renders more than 16 MiB");
    at = close + syntax.right.size();
    while (trim_after && at < text.size() && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r')) ++at;
  }
  return out;
}

namespace {

Result<std::string> unquote_env(std::string_view value) {
  if (value.size() < 2 || (value[0] != '"' && value[0] != '\'')) {
    size_t comment = value.find(" #");
    return std::string(trim(value.substr(0, comment)));
  }
  char quote = value[0];
  std::string out;
  for (size_t i = 1; i < value.size(); ++i) {
    char c = value[i];
    if (c == quote) return out;
    if (quote == '"' && c == '\\' && i + 1 < value.size()) {
      char next = value[++i];
      c = next == 'n' ? '\n' : next == 't' ? '\t' : next;
    }
    out += c;
  }
  return Error(Code::kInvalid, "a quote has no end");
}

}  // namespace

Result<EnvMap> parse_env_file(std::string_view text) {
  EnvMap out;
  size_t number = 0;
  for (std::string_view line : split(text, '\n')) {
    ++number;
    line = trim(line);
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with("export ")) line = trim(line.substr(7));
    size_t equals = line.find('=');
    if (equals == line.npos || equals == 0) {
      return Error(Code::kInvalid, std::format("line {}: expected KEY=VALUE, found \"{}\"", number, line.substr(0, 40)));
    }
    STEPPE_TRY(std::string value, unquote_env(trim(line.substr(equals + 1))).wrap(std::format("line {}", number)));
    out[std::string(trim(line.substr(0, equals)))] = std::move(value);
  }
  return out;
}

}  // namespace steppe::client
