#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "init/base/clock.h"
#include "init/base/result.h"

namespace steppe::drivers {

// One value of a task's or plugin's `config` block after interpolation. The client makes it from the job's encoded
// config; drivers see no HCL and no JSON. Numbers keep the form that they were written in.
struct ConfigValue;
using ConfigList = std::vector<ConfigValue>;
using ConfigMap = std::map<std::string, ConfigValue, std::less<>>;

struct ConfigValue {
  std::variant<std::monostate, bool, int64_t, double, std::string, ConfigList, ConfigMap> value;

  ConfigValue() = default;
  ConfigValue(bool v) : value(v) {}
  ConfigValue(int v) : value(static_cast<int64_t>(v)) {}
  ConfigValue(int64_t v) : value(v) {}
  ConfigValue(double v) : value(v) {}
  ConfigValue(const char* v) : value(std::string(v)) {}
  ConfigValue(std::string v) : value(std::move(v)) {}
  ConfigValue(ConfigList v) : value(std::move(v)) {}
  ConfigValue(ConfigMap v) : value(std::move(v)) {}
};

// Reads one config map key by key and finds the keys that nobody asked for. A wrong type or unknown key is remembered
// as the first error, which names the key, what was expected and what stands there; finish() returns it.
//
//   ConfigReader read(config, "exec");
//   std::string command = read.required_text("command");
//   std::vector<std::string> args = read.text_list("args");
//   STEPPE_TRY_VOID(read.finish());
class ConfigReader {
 public:
  // `driver` stands in the messages. The map outlives the reader.
  ConfigReader(const ConfigMap& config, std::string_view driver);

  std::string required_text(std::string_view key);
  std::string text(std::string_view key, std::string_view otherwise = "");
  // One of `allowed`, or `otherwise` when absent.
  std::string choice(std::string_view key, std::initializer_list<std::string_view> allowed, std::string_view otherwise);
  int64_t integer(std::string_view key, int64_t otherwise, int64_t low, int64_t high);
  bool boolean(std::string_view key, bool otherwise);  // true, false, and the strings "true" and "false"
  Duration duration(std::string_view key, Duration otherwise);  // Go's syntax, or integer nanoseconds
  std::vector<std::string> text_list(std::string_view key);
  // Accepted but not acted on by this driver.
  void ignore(std::string_view key);

  // Adds an error of the caller's own about `key`; the first one wins.
  void reject(std::string_view key, std::string_view why);

  Result<> finish();

 private:
  const ConfigValue* find(std::string_view key);
  void wrong_type(std::string_view key, std::string_view expected, const ConfigValue& found);

  const ConfigMap& config_;
  std::string driver_;
  std::vector<std::string> known_;
  Result<> first_error_;
};

}  // namespace steppe::drivers
