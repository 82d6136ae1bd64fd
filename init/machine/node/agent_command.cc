#include "init/machine/node/agent_command.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "init/base/text.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::node {
namespace {

constexpr const char* kFile = "/run/steppe/agent.env";
constexpr std::string_view kNames[] = {"SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"};
constexpr size_t kMaxLines = 16;

}  // namespace

std::vector<std::string> read_environment(const std::string& text) {
  std::vector<std::string> out;
  for (std::string_view line : split(text, '\n')) {
    const size_t equals = std::min(line.find('='), line.size());
    if (equals == line.size()) continue;
    if (std::ranges::find(kNames, line.substr(0, equals)) != std::end(kNames) && out.size() < kMaxLines) out.emplace_back(line);
  }
  return out;
}

int agent_command(const std::vector<std::string>& words) {
  if (words.empty() || !words[0].starts_with('/')) {
    std::fprintf(stderr, "steppe-node: agent: expected the agent's program and its arguments\n");
    return 2;
  }
  Result<std::string> text = kernel::read_host_file(kFile, Bytes::kib(64));
  for (const std::string& line : text.ok() ? read_environment(*text) : std::vector<std::string>()) {
    const size_t equals = line.find('=');
    ::setenv(line.substr(0, equals).c_str(), line.substr(equals + 1).c_str(), 1);
  }
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execv(argv[0], argv.data());
  std::fprintf(stderr, "steppe-node: agent: %s: %s\n", argv[0], std::strerror(errno));
  return 1;
}

}  // namespace steppe::node
