#include <format>

#include "agent/cli/commands.h"
#include "agent/cli/config_files.h"
#include "init/base/text.h"
#include "init/io/path_file.h"

namespace steppe::cli {

namespace {

constexpr Bytes kLongestConfigFile = Bytes::mib(1);

Result<> add_file(const std::string& path, std::vector<config::File>& files) {
  STEPPE_TRY(std::string text, io::read_path(path, kLongestConfigFile));
  files.push_back({path, std::move(text)});
  return {};
}

}  // namespace

Result<std::vector<config::File>> read_config_files(const std::vector<std::string>& paths) {
  std::vector<config::File> files;
  for (const std::string& path : paths) {
    if (io::kind_of_path(path) != io::PathKind::kDirectory) {
      STEPPE_TRY_VOID(add_file(path, files));
      continue;
    }
    STEPPE_TRY(std::vector<std::string> names, io::list_path(path));
    for (const std::string& name : config::config_files_of(std::move(names))) STEPPE_TRY_VOID(add_file(path + "/" + name, files));
  }
  return files;
}

// What the agent would say of these files at its start, without one.
io::Task<int> config_validate(Context& context, const Flags& flags) {
  if (flags.words().empty()) co_return usage(context, "Must specify at least one config file or directory");
  Result<std::vector<config::File>> files = read_config_files(flags.words());
  if (!files.ok()) co_return fail(context, "reading configuration", files.error());
  if (files->empty()) co_return usage(context, std::format("No configuration files (*.hcl, *.json) found in {}", join(flags.words(), ", ")));
  config::AgentConfig config;
  std::vector<std::string> ignored;
  if (Result<> loaded = config::load(*files, &config, &ignored); !loaded.ok()) co_return fail(context, "parsing configuration", loaded.error());
  if (Result<> checked = config::check(config, false); !checked.ok()) co_return usage(context, "Configuration is not valid:\n" + checked.error().message());
  if (!ignored.empty()) context.ui().warn(printable("Not acted on by this version: " + join(ignored, ", ")));
  context.ui().line(context.ui().green("Configuration is valid!"));
  co_return 0;
}

}  // namespace steppe::cli
