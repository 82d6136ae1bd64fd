#include "init/upgrade/extension/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <format>

#include "init/base/text.h"
#include "init/sys/kernel/file_access.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::extension {
namespace {

constexpr size_t kChunk = 64 << 10;

Result<upgrade::Digest> digest_of(const Found& found) {
  upgrade::Sha256 sha;
  std::vector<std::byte> chunk(kChunk);
  for (uint64_t at = 0; at < found.size;) {
    STEPPE_TRY(const size_t got, kernel::read_at(found.file, at, ByteSpan(chunk).first(static_cast<size_t>(std::min<uint64_t>(kChunk, found.size - at)))));
    if (got == 0) return Error(Code::kCorrupt, std::format("{} ends at byte {}", found.path, at));
    sha.add(ByteView(chunk).first(got));
    at += got;
  }
  return sha.finish();
}

}  // namespace

std::vector<Found> find_files(const std::vector<std::string>& directories, const upgrade::Extension& named) {
  std::vector<Found> out;
  for (const std::string& directory : directories) {
    for (const std::string& name : {hex(named.digest) + ".ext", named.name + ".ext"}) {
      Found found{.path = directory + "/" + name, .file = {}};
      auto file = kernel::open_host(found.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      struct stat status;
      if (!file.ok() || ::fstat(file->get(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
      found.file = *std::move(file);
      found.size = static_cast<uint64_t>(status.st_size);
      out.push_back(std::move(found));
    }
  }
  return out;
}

Result<> find_whole(const std::vector<std::string>& directories, const upgrade::Extension& named) {
  std::string others;
  for (const Found& found : find_files(directories, named)) {
    const Result<upgrade::Digest> digest = found.size == named.size ? digest_of(found) : Result<upgrade::Digest>(Code::kCorrupt, "another size");
    if (digest.ok() && *digest == named.digest) return {};
    others += std::format("{}{}", others.empty() ? "" : ", ", found.path);
  }
  const std::string wanted = std::format("extension {} ({}…)", named.name, hex(named.digest).substr(0, 16));
  if (!others.empty()) return Error(Code::kCorrupt, std::format("{}: {} has other bytes", wanted, others));
  return Error(Code::kNotFound, std::format("{} is not in {}", wanted, join(directories, " or ")));
}

}  // namespace steppe::extension
