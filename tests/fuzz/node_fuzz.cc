#include <cstdint>
#include <cstdlib>
#include <string>

#include "init/machine/kernel_arguments.h"
#include "init/machine/node/agent_command.h"
#include "init/machine/node/configure.h"
#include "init/machine/node/console_line.h"
#include "init/machine/node/time_command.h"

// The first byte says what the rest is: a line typed on a console, ntpd's servers, the agent's environment, a command line whose links
// are followed, two sources and what they make together.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  if (size == 0) return 0;
  const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: {
      Result<node::ConsoleLine> line = node::read_console_line(rest);
      if (line.ok() && line->kind == node::ConsoleLine::Kind::kAddress && line->link.addresses.size() != 1) std::abort();
      return 0;
    }
    case 1: {
      const std::string config = node::ntpd_config(rest);
      if (config.find('"') != config.npos || node::ntpd_config(config) != config) std::abort();
      return 0;
    }
    case 2: {
      for (const std::string& line : node::read_environment(rest)) {
        if (line.starts_with("LD_") || line.starts_with("PATH=")) std::abort();
      }
      return 0;
    }
    case 3: {
      Result<std::vector<machine::Setting>> settings = machine::parse_command_line(rest);
      if (!settings.ok()) return 0;
      const machine::MachineFacts facts{{"02:00:5e:10:00:01", "02:00:5e:10:00:02"}, "12345678-abcd-0000-0000-0123456789ab", "Google"};
      Result<std::vector<machine::RemoteSource>> sources = machine::remote_sources(*settings, facts);
      for (const machine::RemoteSource& source : sources.ok() ? *sources : std::vector<machine::RemoteSource>()) {
        const bool safe = source.kind != machine::RemoteSource::Kind::kUrl || source.url.starts_with("https://") || source.sha256.size() == 64;
        if (!safe || (source.trust != machine::Trust::kRemote && source.sha256.empty())) std::abort();
      }
      return 0;
    }
    default: {
      node::RawSources sources;
      const size_t half = rest.find('\0');
      sources.command_line = rest.substr(0, half);
      if (half != rest.npos) sources.documents.push_back({machine::Origin::kHttpByMac, machine::Trust::kRemote, "x", rest.substr(half + 1)});
      const node::Configuration found = node::configure(sources);
      if (found.complete && !machine::names_machine(found.config) && rest.find("standalone") == rest.npos) std::abort();
      (void)node::agent_files(found.config, "/run/steppe", true);
      return 0;
    }
  }
}
