#include <cstdint>
#include <cstdlib>

#include "agent/config/load.h"

// One or two files (divided by a NUL byte): what loads also compares, is shown, and is the same when loaded again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  std::string text(reinterpret_cast<const char*>(data), size);
  std::vector<config::File> files;
  size_t cut = text.find('\0');
  files.push_back({"a.hcl", text.substr(0, cut)});
  if (cut != text.npos) files.push_back({"b.hcl", text.substr(cut + 1)});
  config::AgentConfig first, second;
  std::vector<std::string> warnings;
  auto loaded = config::load(files, &first, &warnings);
  auto again = config::load(files, &second, &warnings);
  if (loaded.ok() != again.ok()) std::abort();
  if (!loaded.ok()) {
    if (loaded.error().message().empty()) std::abort();
    return 0;
  }
  (void)config::check(first, false);
  if (!config::compare(first, second).empty() || config::flatten(first) != config::flatten(second)) std::abort();
  return 0;
}
