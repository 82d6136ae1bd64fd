#include <format>

#include "agent/jobspec/function_families.h"
#include "init/base/bytes.h"
#include "init/base/text.h"

namespace steppe::jobspec {
namespace {

using hcl::Kind;
using hcl::Value;

constexpr size_t kMaxFileBytes = 8u << 20;

// "a//b/./c/../d" -> "a/b/d"; ".." may lead out at the front of a relative path only. "" -> ".".
std::string clean(std::string_view path) {
  bool absolute = path.starts_with('/');
  std::vector<std::string_view> kept;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == ".." && !kept.empty() && kept.back() != "..") {
      kept.pop_back();
    } else if (part != ".." || !absolute) {
      kept.push_back(part);
    }
  }
  std::string out = absolute ? "/" : "";
  for (std::string_view part : kept) {
    if (!out.empty() && !out.ends_with('/')) out += '/';
    out += part;
  }
  return out.empty() ? "." : out;
}

std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path.empty()) return ".";
  if (path == "/") return "/";
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string directory_name(std::string_view path) {
  size_t slash = path.rfind('/');
  return slash == path.npos ? "." : clean(path.substr(0, slash + 1));
}

// doublestar's patterns, one part of a path at a time: "**" is any number of parts, '*' and '?' stay inside one,
// "[a-z]" and "{x,y}" as in a shell.
class PathPattern {
 public:
  PathPattern(const std::string& pattern, hcl::Budget& budget) : budget_(budget) {
    for (std::string_view part : split(pattern, '/')) pattern_.emplace_back(part);
  }
  Result<bool> matches(std::string_view path) {
    auto parts = split(path, '/');
    // reach[j]: the first i pattern parts match the first j path parts.
    std::vector<bool> reach(parts.size() + 1, false);
    reach[0] = true;
    for (const std::string& part : pattern_) {
      std::vector<bool> next(parts.size() + 1, false);
      for (size_t j = 0; j <= parts.size(); ++j) {
        if (part == "**") {
          next[j] = reach[j] || (j > 0 && next[j - 1]);
        } else if (j > 0 && reach[j - 1]) {
          STEPPE_TRY(bool fits, part_matches(part, parts[j - 1], 0));
          next[j] = fits;
        }
      }
      reach = std::move(next);
    }
    return bool(reach[parts.size()]);
  }

 private:
  Result<bool> part_matches(std::string_view pattern, std::string_view name, int depth) {
    STEPPE_TRY_VOID(budget_.take_steps(1 + name.size() / 16));
    if (size_t open = pattern.find('{'); open != pattern.npos) {
      size_t close = pattern.find('}', open);
      if (close == pattern.npos || depth > 8)
        return invalid("failed to glob pattern: a brace is not closed, or there are too many");
      for (std::string_view choice : split(pattern.substr(open + 1, close - open - 1), ',')) {
        STEPPE_TRY(bool fits, part_matches(std::string(pattern.substr(0, open)) + std::string(choice) +
                                               std::string(pattern.substr(close + 1)),
                                           name, depth + 1));
        if (fits) return true;
      }
      return false;
    }
    return shell_match(pattern, name);
  }

  // Backtracks to the last '*' only: linear enough, and never exponential.
  static bool shell_match(std::string_view pattern, std::string_view name) {
    size_t p = 0, n = 0, star = pattern.npos, mark = 0;
    while (n < name.size()) {
      size_t after = p;
      if (p < pattern.size() && pattern[p] == '*') {
        star = p++;
        mark = n;
      } else if (p < pattern.size() && one_matches(pattern, after, name[n])) {
        p = after;
        ++n;
      } else if (star != pattern.npos) {
        p = star + 1;
        n = ++mark;
      } else {
        return false;
      }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
  }

  static bool one_matches(std::string_view pattern, size_t& at, char c) {
    if (pattern[at] == '?') return ++at, true;
    if (pattern[at] != '[') return pattern[at++] == c;
    size_t close = pattern.find(']', at + 2);
    if (close == pattern.npos) return pattern[at++] == c;
    bool negated = pattern[at + 1] == '!' || pattern[at + 1] == '^', found = false;
    for (size_t i = at + 1 + negated; i < close; ++i) {
      if (i + 2 < close && pattern[i + 1] == '-') {
        found = found || (pattern[i] <= c && c <= pattern[i + 2]);
        i += 2;
      } else {
        found = found || pattern[i] == c;
      }
    }
    at = close + 1;
    return found != negated;
  }

  std::vector<std::string> pattern_;
  hcl::Budget& budget_;
};

class Files {
 public:
  Files(FileReader& reader, std::string base) : reader_(reader), base_(std::move(base)) {}

  Result<std::string> path_of(const Value& value) {
    STEPPE_TRY(std::string path, expand_home(value.string()));
    if (!path.starts_with('/')) path = base_ + "/" + path;
    return clean(path);
  }

  Result<std::string> expand_home(std::string path) {
    if (path != "~" && !path.starts_with("~/")) return path;
    STEPPE_TRY(std::string home, reader_.home_directory());
    return home + path.substr(1);
  }

  Result<Value> absolute(const Value& value) {
    STEPPE_TRY(std::string path, expand_home(value.string()));
    if (path.starts_with('/')) return Value(clean(path));
    STEPPE_TRY(std::string here, reader_.working_directory());
    return Value(clean(here + "/" + path));
  }

  Result<std::string> contents(const Value& value, hcl::Budget& budget) {
    STEPPE_TRY(std::string path, path_of(value));
    auto text = reader_.read(path);
    if (!text.ok()) return std::move(text).wrap("read " + path).error();
    if (text->size() > kMaxFileBytes)
      return Error(Code::kExhausted,
                   std::format("{} has {} bytes; at most {} are read", path, text->size(), kMaxFileBytes));
    STEPPE_TRY_VOID(budget.take_bytes(2 * text->size()));
    return text;
  }

  Result<Value> matching(const Value& directory, const Value& pattern, hcl::Budget& budget) {
    STEPPE_TRY(std::string path, path_of(directory));
    auto names = reader_.list(path);
    if (!names.ok()) return std::move(names).wrap("list " + path).error();
    PathPattern wanted(clean(pattern.string()), budget);
    Value::Sequence out;
    for (std::string& name : *names) {
      STEPPE_TRY_VOID(budget.take_bytes(name.size() + 64));
      STEPPE_TRY(bool fits, wanted.matches(name));
      if (fits) out.emplace_back(std::move(name));
    }
    return Value::make_sequence(Kind::kSet, std::move(out));
  }

  Result<Value> exists(const Value& value) {
    STEPPE_TRY(std::string path, path_of(value));
    STEPPE_TRY(bool found, reader_.exists(path));
    return Value(found);
  }

 private:
  FileReader& reader_;
  std::string base_;
};

}  // namespace

void add_files(hcl::FunctionTable& table, const ParseOptions& options) {
  auto add_one = [&](std::string name, std::vector<hcl::Function::Parameter> parameters,
                     std::function<Result<Value>(Files&, Arguments, hcl::Budget&)> body) {
    hcl::Function function;
    function.parameters = std::move(parameters);
    function.call = [reader = options.files, base = options.base_directory, body = std::move(body)](
                        Arguments a, hcl::Budget& budget) -> Result<Value> {
      if (!reader) return Error(Code::kDenied, "filesystem functions are disabled here");
      Files files(*reader, base);
      return body(files, a, budget);
    };
    table.emplace(std::move(name), std::move(function));
  };
  auto path = text_parameter("path");
  add_one("abspath", {path}, [](Files& files, Arguments a, hcl::Budget&) { return files.absolute(a[0]); });
  add_one("basename", {path},
          [](Files&, Arguments a, hcl::Budget&) -> Result<Value> { return Value(base_name(a[0].string())); });
  add_one("dirname", {path},
          [](Files&, Arguments a, hcl::Budget&) -> Result<Value> { return Value(directory_name(a[0].string())); });
  add_one("pathexpand", {path}, [](Files& files, Arguments a, hcl::Budget&) -> Result<Value> {
    STEPPE_TRY(std::string expanded, files.expand_home(a[0].string()));
    return Value(std::move(expanded));
  });
  add_one("file", {path}, [](Files& files, Arguments a, hcl::Budget& budget) -> Result<Value> {
    STEPPE_TRY(std::string text, files.contents(a[0], budget));
    if (!is_utf8(text)) return invalid("contents are not valid UTF-8; use filebase64 to read them as base64");
    return Value(std::move(text));
  });
  add_one("filebase64", {path}, [](Files& files, Arguments a, hcl::Budget& budget) -> Result<Value> {
    STEPPE_TRY(std::string text, files.contents(a[0], budget));
    return Value(base64(as_bytes(text)));
  });
  add_one("fileexists", {path}, [](Files& files, Arguments a, hcl::Budget&) { return files.exists(a[0]); });
  add_one("fileset", {path, text_parameter("pattern")},
          [](Files& files, Arguments a, hcl::Budget& budget) { return files.matching(a[0], a[1], budget); });
}

}  // namespace steppe::jobspec
