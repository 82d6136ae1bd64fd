#include "init/machine/extensions/extensions_command.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "init/boot/parent_notice.h"
#include "init/machine/extensions/bring_up.h"
#include "init/sys/kernel/host_file.h"
#include "init/upgrade/esp/confined_judge.h"

namespace steppe::extensions {
namespace {

constexpr const char* kManifest = "/run/steppe/manifest";  // PID 1 keeps the running image's there

void say(const char* level, const std::string& text) {
  // One write a line: PID 1's log takes them from several programs.
  const std::string line = std::string("[") + level + "] extensions: " + text + "\n";
  (void)!::write(2, line.data(), line.size());
}

ThisMachine this_machine() {
  utsname names;
  ::uname(&names);
  std::vector<std::string> problems;
  ThisMachine out{.arch = std::string_view(names.machine) == "x86_64" ? "x86-64" : "arm64", .kernel = names.release, .keys = {}};
  out.keys = esp::read_keys({"/usr/share/steppe/keys", "/usr/share/steppe/extension-keys"}, problems);
  for (const std::string& problem : problems) say("WARN", problem);
  return out;
}

Result<Places> read_words(const std::vector<std::string>& words) {
  Places out;
  std::vector<std::string> from;
  for (size_t i = 0; i < words.size(); i += 2) {
    if (words[i] != "-run" && words[i] != "-from") return Error(Code::kInvalid, "\"" + words[i] + "\" is no option: there are -run and -from");
    if (i + 1 == words.size() || !words[i + 1].starts_with('/')) return Error(Code::kInvalid, words[i] + " wants an absolute path");
    if (words[i] == "-run") out.run = words[i + 1];
    else from.push_back(words[i + 1]);
  }
  if (!from.empty()) out.from = from;
  return out;
}

Result<> run(const Places& places) {
  Result<std::string> bytes = kernel::read_host_file(kManifest, Bytes(2 * upgrade::kMaxManifest));
  if (!bytes.ok() && bytes.error().code() == Code::kNotFound) return {};  // a root that the builder did not make
  if (!bytes.ok()) return std::move(bytes).error();
  STEPPE_TRY(const upgrade::Manifest manifest, upgrade::decode_manifest(as_bytes(*bytes)));
  if (manifest.extensions.empty()) return {};
  KernelMounts mounts;
  STEPPE_TRY(const std::vector<extension::State> states, bring_up(manifest, this_machine(), places, mounts));
  for (const extension::State& state : states) {
    const bool mounted = state.condition == extension::Condition::kMounted;
    say(mounted ? "INFO" : "ERROR", state.name + " " + std::string(extension::condition_name(state.condition)) + ": " + state.detail);
  }
  const std::string wrong = extension::faults(states);
  boot::tell_parent("STATUS=" + (wrong.empty() ? std::to_string(states.size()) + " mounted" : wrong));
  return {};
}

}  // namespace

int extensions_command(const std::vector<std::string>& words) {
  const Result<Places> places = read_words(words);
  if (!places.ok()) {
    std::fprintf(stderr, "steppe-node extensions: %s\n", places.error().message().c_str());
    return 2;
  }
  if (Result<> done = run(*places); !done.ok()) {
    say("ERROR", done.error().message());
    boot::tell_parent("STATUS=" + done.error().message());
    return 1;
  }
  return 0;
}

}  // namespace steppe::extensions
