#include "agent/cli/commands.h"
#include "agent/config/load.h"
#include "init/io/path_file.h"
#include "init/machine/machine_config.h"

namespace steppe::cli {

// What a node would say of this configuration, by the same code, without one.
io::Task<int> machine_validate(Context& context, const Flags& flags) {
  if (flags.words().size() != 1) co_return usage(context, "This command takes one argument: <path>");
  std::string path = flags.words()[0];
  Result<std::string> text = io::read_path(path, Bytes{machine::kMaxConfigBytes});
  if (!text.ok()) co_return fail(context, "reading configuration", text.error());
  Result<machine::MachineConfig> config = machine::validate_machine_config(path, *std::move(text), config::check_text);
  if (!config.ok()) co_return fail(context, "parsing configuration", config.error());
  context.ui().line(context.ui().green("Configuration is valid!"));
  co_return 0;
}

}  // namespace steppe::cli
