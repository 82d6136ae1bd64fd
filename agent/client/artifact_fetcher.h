#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/client/artifact_child.h"
#include "agent/client/client_context.h"
#include "init/io/child.h"

namespace steppe::client {

// What the node's owner decides for all artifacts: `client { artifact { ... } }`.
struct ArtifactSettings {
  ArchiveLimits limits;
  Bytes max_download = Bytes::gib(100);
  int64_t time_limit_s = 1800;
  // For the process that fetches, which gets nothing else of the agent's: KEY=value. What SSL_CERT_FILE and SSL_CERT_DIR
  // name may be read there.
  std::vector<std::string> environment;
};

// Of the agent's environment: where OpenSSL finds whom to trust, and the variables that `names` lists, by commas.
std::vector<std::string> artifact_environment(const std::map<std::string, std::string, std::less<>>& environment, std::string_view names);

// Runs `program` with `arguments` for each artifact; that must end in artifact_fetch_main(3, 4, 5). At most
// `kMaxConcurrent` at once; the others wait.
class ChildArtifactFetcher final : public ArtifactFetcher {
 public:
  static constexpr int kMaxConcurrent = 8;
  // Both outlive it.
  ChildArtifactFetcher(io::Loop& loop, io::Processes& processes, std::string program, std::vector<std::string> arguments, ArtifactSettings settings);

  io::Task<Result<>> fetch(const kernel::Beneath& task_dir, Request request, io::Deadline deadline) override;

 private:
  io::Processes& processes_;
  std::string program_;
  std::vector<std::string> arguments_;
  ArtifactSettings settings_;
  int running_ = 0;
  io::Event freed_;
};

// The agent runs itself for each artifact: `program artifact-fetch`, whose main() calls run_artifact_command().
inline constexpr const char* kArtifactCommand = "artifact-fetch";
int run_artifact_command(const std::vector<std::string>& arguments);
// `loop` outlives it; `program` is the agent's own absolute path.
std::unique_ptr<ArtifactFetcher> make_artifact_fetcher(io::Loop& loop, const std::string& program, ArtifactSettings settings);

}  // namespace steppe::client
