#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "agent/endpoint/failure.h"
#include "init/base/bytes.h"

namespace steppe::machine_api {

// Images on their way to this machine, in a directory of the agent's: at most one, as DIGEST.part until all of it is here and has that
// digest, then as DIGEST. Another digest takes its place. All calls block; thread-safe. What a restart of the agent leaves goes on.
class Uploads {
 public:
  static constexpr uint64_t kMaxImage = 512u << 20;
  static constexpr uint64_t kLeftFree = 64u << 20;  // bytes that an upload leaves on its file system

  explicit Uploads(std::string directory) : directory_(std::move(directory)) {}

  // The bytes of `digest` from `offset` on. Gives how many of its `size` bytes are here now: a piece that does not begin there is not
  // written. 400 for words that cannot be meant and for a whole that has another digest (it is removed), 507 without room.
  endpoint::Outcome<uint64_t> write(const std::string& digest, uint64_t offset, uint64_t size, ByteView data);
  // The path of an image that is here; 404 when it is not, or not all of it.
  endpoint::Outcome<std::string> find(const std::string& digest);
  void remove(const std::string& digest);

 private:
  std::mutex mutex_;
  const std::string directory_;
};

}  // namespace steppe::machine_api
