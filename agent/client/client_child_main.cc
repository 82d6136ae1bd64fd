// The client's child processes alone, for the tests of this room; the agent runs the same by its own name.
#include <string>
#include <vector>

#include "agent/client/artifact_child.h"
#include "agent/client/state_recovery.h"

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == steppe::client::kStateReadCommand) return steppe::client::run_state_read(words);
  return steppe::client::artifact_fetch_main(3, 4, 5);
}
