// One program: `steppe agent` runs a node, everything else talks to one. Called as `nomad` it answers to that name.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "agent/cli/command.h"
#include "agent/client/artifact_fetcher.h"
#include "agent/client/document_child.h"
#include "agent/client/state_recovery.h"
#include "agent/main/agent.h"
#include "agent/main/image_command.h"
#include "agent/main/settings.h"
#include "agent/maintenance/maintenance_command.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_net.h"
#include "init/io/scope.h"

namespace {

using steppe::cli::Environment;

Environment environment_of(char** entries) {
  Environment environment;
  for (; *entries != nullptr; ++entries) {
    const std::string_view entry = *entries;
    const size_t equals = entry.find('=');
    if (equals != std::string_view::npos) environment.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return environment;
}

bool wants_colour(const std::vector<std::string>& words, const Environment& environment) {
  for (const std::string& word : words) {
    if (word == "-no-color" || word == "--no-color") return false;
    if (word == "-force-color" || word == "--force-color") return true;
  }
  if (!steppe::cli::setting(environment, "CLI_NO_COLOR").empty()) return false;
  return isatty(STDOUT_FILENO) == 1;
}

steppe::io::Task<void> run_cli(steppe::cli::Context& context, std::string program, std::vector<std::string> words, int& code) {
  code = co_await steppe::cli::run_command(context, std::move(program), std::move(words));
}

int run_command_line(std::string program, std::vector<std::string> words, const Environment& environment) {
  auto loop = steppe::io::EpollLoop::create(1);
  if (!loop.ok()) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), loop.error().message().c_str());
    return 1;
  }
  auto network = steppe::io::make_posix_network(**loop);
  steppe::cli::Ui ui(stdout, stderr, wants_colour(words, environment));
  steppe::cli::Context context(**loop, *network, steppe::io::system_rng(), ui, environment);
  int code = 1;
  steppe::io::start_root(**loop, run_cli(context, std::move(program), std::move(words), code), [&] { (*loop)->stop(); });
  (*loop)->run();
  return code;
}

int run_agent(const std::string& program, const std::vector<std::string>& words, const Environment& environment) {
  for (const std::string& word : words) {
    if (word != "-h" && word != "-help" && word != "--help") continue;
    std::printf("%s\n", steppe::agent::agent_help(program).c_str());
    return 0;
  }
  auto settings = steppe::agent::read_settings(words, environment);
  if (!settings.ok()) {
    std::fprintf(stderr, "==> %s\n", settings.error().message().c_str());
    return 1;
  }
  auto code = steppe::agent::run_agent(std::move(*settings), environment);
  if (!code.ok()) {
    std::fprintf(stderr, "==> Error starting agent: %s\n", code.error().message().c_str());
    return 1;
  }
  return *code;
}

}  // namespace

int main(int argc, char** argv) {
  std::string program = argc > 0 ? argv[0] : "steppe";
  program.erase(0, program.rfind('/') + 1);
  std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (!words.empty() && words[0] == steppe::client::kArtifactCommand) return steppe::client::run_artifact_command(words);
  if (!words.empty() && words[0] == steppe::client::kStateReadCommand) return steppe::client::run_state_read(words);
  if (!words.empty() && words[0] == steppe::client::kDocumentCommand) return steppe::client::run_document_command(words);
  if (!words.empty() && words[0] == steppe::maintenance::kMaintenanceCommand) return steppe::maintenance::run_maintenance_command(words);
  const Environment environment = environment_of(environ);
  if (!words.empty() && (words[0] == "-v" || words[0] == "-version" || words[0] == "--version")) words[0] = "version";
  if (!words.empty() && (words[0] == "-h" || words[0] == "-help" || words[0] == "--help")) {
    std::printf("%s\n", steppe::cli::help_of_all(program).c_str());
    return 0;
  }
  if (!words.empty() && words[0] == "image")
    return steppe::agent::run_image_command(steppe::agent::directory_of_program(), {words.begin() + 1, words.end()}, environment);
  if (!words.empty() && words[0] == "agent") return run_agent(program, {words.begin() + 1, words.end()}, environment);
  return run_command_line(std::move(program), std::move(words), environment);
}
