#pragma once

#include <string>
#include <vector>

#include "agent/client/artifact_child.h"
#include "agent/client/client_context.h"
#include "init/io/child.h"

namespace steppe::client {

// Runs `program` with `arguments` for each artifact; that must end in artifact_fetch_main(3, 4, 5). At most
// `kMaxConcurrent` at once; the others wait.
class ChildArtifactFetcher final : public ArtifactFetcher {
 public:
  static constexpr int kMaxConcurrent = 8;
  // Both outlive it.
  ChildArtifactFetcher(io::Loop& loop, io::Processes& processes, std::string program, std::vector<std::string> arguments,
                       ArchiveLimits limits, Bytes max_download);

  io::Task<Result<>> fetch(const kernel::Beneath& task_dir, Request request, io::Deadline deadline) override;

 private:
  io::Processes& processes_;
  std::string program_;
  std::vector<std::string> arguments_;
  ArchiveLimits limits_;
  Bytes max_download_;
  int running_ = 0;
  io::Event freed_;
};

// The agent runs itself for each artifact: `program artifact-fetch`, whose main() calls run_artifact_command().
inline constexpr const char* kArtifactCommand = "artifact-fetch";
int run_artifact_command(const std::vector<std::string>& arguments);
// With the default limits (100 GB, 4,096 files). `loop` outlives it; `program` is the agent's own absolute path.
std::unique_ptr<ArtifactFetcher> make_artifact_fetcher(io::Loop& loop, const std::string& program);

}  // namespace steppe::client
