#pragma once

#include <string>
#include <vector>

#include "agent/client/artifact_plan.h"
#include "agent/client/client_context.h"

namespace steppe::client {

// The process that fetches and unpacks one artifact: what comes from outside is parsed here, without capabilities, under
// Landlock and seccomp, and its crash is an error message.

struct ArtifactOrder {
  ArtifactFetcher::Request request;
  ArchiveLimits limits;
  Bytes max_download = Bytes::gib(100);
  int64_t time_limit_s = 1800;
  std::vector<std::string> readable;  // paths of the host that it may read besides what resolving and TLS always need

  std::string encode() const;
  static Result<ArtifactOrder> decode(ByteView bytes);
};

// The child's main(): reads an order from `order_fd`, works beneath `directory_fd`, writes its answer to `answer_fd`.
int artifact_fetch_main(int order_fd, int directory_fd, int answer_fd);

// "ok", or a code name and a message.
std::string encode_answer(const Result<>& result);
Result<> decode_answer(std::string_view text);

// Unpacks or stores what was downloaded; `from` is read twice, so that a bad archive leaves nothing behind.
Result<> place_artifact(const ArtifactPlan& plan, const kernel::Fd& from, const kernel::Beneath& directory, const ArchiveLimits& limits);

}  // namespace steppe::client
