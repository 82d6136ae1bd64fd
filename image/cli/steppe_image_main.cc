// steppe-image: the builder of images. It stays off the nodes.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "image/cli/commands.h"
#include "init/io/path_file.h"

int main(int argc, char** argv) {
  steppe::cli::Context context;
  context.out = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  context.error = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); };
  context.terminal = isatty(STDERR_FILENO) == 1;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (const size_t equals = text.find('='); equals != text.npos)
      context.environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  auto directory = steppe::io::working_directory();
  if (!directory.ok()) {
    std::fprintf(stderr, "steppe-image: %s\n", directory.error().message().c_str());
    return 1;
  }
  context.working_directory = *directory;
  return steppe::cli::run_command(context, std::vector<std::string>(argv + 1, argv + argc));
}
