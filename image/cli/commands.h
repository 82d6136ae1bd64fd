#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"

namespace steppe::cli {

// Where a command of steppe-image speaks and what it knows of its surroundings.
struct Context {
  std::function<void(std::string_view)> out;    // results
  std::function<void(std::string_view)> error;  // progress, warnings, errors
  bool terminal = false;                        // whether `error` is one
  std::map<std::string, std::string> environment;
  std::string working_directory;
};

// Runs one command: 0 done, 1 failed (said on `error`), 2 wrong words. `verify` and `diff` answer 1 for "no" and for
// "they differ".
int run_command(Context& context, const std::vector<std::string>& words);

struct Command {
  std::string_view name, arguments, what;
  Result<int> (*run)(Context& context, const std::vector<std::string>& words);
};

Result<int> build_command(Context& context, const std::vector<std::string>& words);
Result<int> lock_command(Context& context, const std::vector<std::string>& words);
Result<int> inspect_command(Context& context, const std::vector<std::string>& words);
Result<int> verify_command(Context& context, const std::vector<std::string>& words);
Result<int> diff_command(Context& context, const std::vector<std::string>& words);
Result<int> scan_command(Context& context, const std::vector<std::string>& words);
Result<int> sign_command(Context& context, const std::vector<std::string>& words);
Result<int> write_command(Context& context, const std::vector<std::string>& words);
Result<int> keygen_command(Context& context, const std::vector<std::string>& words);

}  // namespace steppe::cli
