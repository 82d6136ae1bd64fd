#include "init/base/log.h"

#include <format>

#include "init/base/text.h"

namespace steppe::log {

std::string_view level_name(Level level) {
  switch (level) {
    case Level::kTrace: return "trace";
    case Level::kDebug: return "debug";
    case Level::kInfo: return "info";
    case Level::kWarn: return "warn";
    case Level::kError: return "error";
  }
  return "unknown";
}

Result<Level> parse_level(std::string_view text) {
  const std::string name = lower(text);
  for (const Level level : {Level::kTrace, Level::kDebug, Level::kInfo, Level::kWarn, Level::kError}) {
    if (name == level_name(level)) return level;
  }
  if (name == "warning") return Level::kWarn;
  if (name == "err") return Level::kError;
  return Error(Code::kInvalid, std::format("unknown log level \"{}\" (expected trace, debug, info, warn or error)", text));
}

namespace {

// Control characters and quotes would let a logged value forge a line or a field.
void append_field(std::string& out, const Field& field) {
  out.append(" ").append(field.key).append("=");
  const bool plain = !field.value.empty() && field.value.find_first_of(" \"=\\\n\r\t") == std::string::npos &&
                     field.value.find_first_of(std::string_view("\0\x1b\x7f", 3)) == std::string::npos;
  if (plain) {
    out.append(field.value);
    return;
  }
  out.push_back('"');
  for (const char c : field.value) {
    if (c == '"' || c == '\\') out.push_back('\\');
    if (c == '\n') out.append("\\n");
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) out.append(std::format("\\x{:02x}", static_cast<unsigned char>(c)));
    else out.push_back(c);
  }
  out.push_back('"');
}

}  // namespace

std::string render(const Record& record) {
  std::string name(level_name(record.level));
  for (char& c : name) c = static_cast<char>(c - 'a' + 'A');
  const std::chrono::sys_time<std::chrono::milliseconds> at{std::chrono::milliseconds(record.time.unix_ns / 1'000'000)};
  std::string out = std::format("{:%FT%T}Z [{}]{} {}", at, name, name.size() < 5 ? " " : "", record.message);
  if (!record.scope.empty() || record.fields.size() > 0) out.push_back(':');
  out.append(record.scope);
  for (const Field& field : record.fields) append_field(out, field);
  out.push_back('\n');
  return out;
}

Logger Logger::with(std::initializer_list<Field> fields) const {
  Logger child = *this;
  for (const Field& field : fields) append_field(child.scope_, field);
  return child;
}

void Logger::write(Level level, std::string_view message, std::initializer_list<Field> fields) const {
  if (!enabled(level)) return;
  sink_->write(Record{clock_->wall(), level, message, scope_, fields});
}

}  // namespace steppe::log
