#include <cstdio>
#include <string>
#include <vector>

#include "init/machine/extensions/extensions_command.h"
#include "init/machine/node/agent_command.h"
#include "init/machine/node/hardening_command.h"
#include "init/machine/node/install_command.h"
#include "init/machine/node/machine_command.h"
#include "init/machine/node/storage_command.h"
#include "init/machine/node/time_command.h"
#include "init/upgrade/esp/slots_command.h"

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const std::string command = words.empty() ? "" : words.front();
  if (!words.empty()) words.erase(words.begin());
  if (command == "machine") return steppe::node::machine_command(words);
  if (command == "storage") return steppe::node::storage_command(words);
  if (command == "time") return steppe::node::time_command(words);
  if (command == "agent") return steppe::node::agent_command(words);
  if (command == "extensions") return steppe::extensions::extensions_command(words);
  if (command == "install") return steppe::node::install_command(words);
  if (command == "reset") return steppe::node::reset_command(words);
  if (command == "slots") return steppe::esp::slots_command(words);
  if (command == "hardening") return steppe::node::hardening_command(words);
  std::fprintf(stderr, "steppe-node: \"%s\" is no command of it; there are: storage, extensions, machine, time, agent (PID 1 runs them), slots, hardening, install, reset.\n", command.c_str());
  return 2;
}
