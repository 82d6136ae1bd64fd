#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "init/base/clock.h"
#include "init/base/error.h"
#include "init/base/ids.h"

namespace steppe::log {

enum class Level : uint8_t { kTrace, kDebug, kInfo, kWarn, kError };

std::string_view level_name(Level level);           // "trace" ...
Result<Level> parse_level(std::string_view text);   // any case; also "warning", "err"

// One key and its value as text.
struct Field {
  Field(std::string_view key, std::string_view value) : key(key), value(value) {}
  Field(std::string_view key, const char* value) : key(key), value(value) {}
  Field(std::string_view key, bool value) : key(key), value(value ? "true" : "false") {}
  Field(std::string_view key, std::integral auto value) : key(key), value(std::to_string(value)) {}
  Field(std::string_view key, double value) : key(key), value(std::to_string(value)) {}
  Field(std::string_view key, const Uuid& value) : key(key), value(value.text()) {}
  Field(std::string_view key, const Error& value) : key(key), value(value.message()) {}
  std::string key;
  std::string value;
};

struct Record {
  WallTime time;
  Level level;
  std::string_view message;
  std::string_view scope;  // rendered fields of the logger's scope, " key=value key=value"
  std::initializer_list<Field> fields;
};

// Where records go. Thread-safe. Never fails: what cannot be written is dropped and counted.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void write(const Record& record) = 0;
};

// "2026-11-21T11:16:05.250Z [INFO]  message: key=value key="with space"\n"
std::string render(const Record& record);

// A handle to a sink plus the fields of its scope. Cheap to copy; handed in, never global.
class Logger {
 public:
  Logger() = default;  // drops everything
  Logger(std::shared_ptr<Sink> sink, const Clock* clock, Level least)
      : sink_(std::move(sink)), clock_(clock), least_(least) {}

  Logger with(std::initializer_list<Field> fields) const;
  bool enabled(Level level) const { return sink_ && level >= least_; }

  void trace(std::string_view message, std::initializer_list<Field> fields = {}) const { write(Level::kTrace, message, fields); }
  void debug(std::string_view message, std::initializer_list<Field> fields = {}) const { write(Level::kDebug, message, fields); }
  void info(std::string_view message, std::initializer_list<Field> fields = {}) const { write(Level::kInfo, message, fields); }
  void warn(std::string_view message, std::initializer_list<Field> fields = {}) const { write(Level::kWarn, message, fields); }
  void error(std::string_view message, std::initializer_list<Field> fields = {}) const { write(Level::kError, message, fields); }

 private:
  void write(Level level, std::string_view message, std::initializer_list<Field> fields) const;

  std::shared_ptr<Sink> sink_;
  const Clock* clock_ = nullptr;
  Level least_ = Level::kInfo;
  std::string scope_;
};

}  // namespace steppe::log
