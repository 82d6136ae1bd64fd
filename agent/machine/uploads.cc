#include "agent/machine/uploads.h"

#include <fcntl.h>

#include <algorithm>
#include <format>

#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/file_access.h"
#include "init/sys/kernel/host_file.h"
#include "init/upgrade/sha256.h"

namespace steppe::machine_api {

using endpoint::bad_request;
using endpoint::Failure;
using endpoint::Outcome;
using kernel::Beneath;

namespace {

bool is_digest(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<Beneath> open_directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  STEPPE_TRY(const Beneath parent, Beneath::at(path.substr(0, slash)));
  STEPPE_TRY_VOID(parent.make_directories(path.substr(slash + 1), 0700));
  return Beneath::at(path);
}

Result<uint64_t> size_of(const Beneath& directory, const std::string& name) {
  Result<kernel::FileInfo> info = directory.stat(name);
  if (!info.ok() && info.error().code() == Code::kNotFound) return uint64_t{0};
  if (!info.ok()) return std::move(info).error();
  return info->size.count;
}

// All but what belongs to `digest`.
Result<> remove_others(const Beneath& directory, std::string_view digest) {
  STEPPE_TRY(const std::vector<kernel::DirectoryEntry> entries, directory.list(""));
  for (const kernel::DirectoryEntry& entry : entries)
    if (!entry.name.starts_with(digest)) STEPPE_TRY_VOID(directory.remove_tree(entry.name));
  return {};
}

Result<std::string> digest_of(const Beneath& directory, const std::string& name) {
  STEPPE_TRY(const kernel::Fd file, directory.open_file(name));
  upgrade::Sha256 hash;
  std::string piece(256 << 10, '\0');
  for (uint64_t at = 0;;) {
    STEPPE_TRY(const size_t got, kernel::read_at(file, at, std::as_writable_bytes(std::span(piece))));
    if (got == 0) break;
    hash.add(as_bytes(std::string_view(piece).substr(0, got)));
    at += got;
  }
  STEPPE_TRY(const upgrade::Digest digest, hash.finish());
  return hex(digest);
}

Outcome<> check_room(const std::string& directory, uint64_t size) {
  STEPPE_TRY(const kernel::Fd opened, kernel::open_host(directory, O_PATH | O_DIRECTORY));
  STEPPE_TRY(const kernel::FileSystemUsage usage, kernel::file_system_usage(opened));
  if (usage.available >= size + Uploads::kLeftFree) return {};
  return Failure(507, Code::kExhausted, std::format("no room for the image: {} bytes and {} to spare are needed where the agent keeps its data, {} are free", size, Uploads::kLeftFree, usage.available));
}

}  // namespace

Outcome<uint64_t> Uploads::write(const std::string& digest, uint64_t offset, uint64_t size, ByteView data) {
  if (!is_digest(digest)) return bad_request("an image is named by its SHA-256: 64 hexadecimal digits in lower case");
  if (size == 0 || size > kMaxImage) return bad_request(std::format("size {}: an image has 1 to {} bytes", size, kMaxImage));
  if (offset > size || data.size() > size - offset) return bad_request(std::format("{} bytes from {} on reach past the image's {}", data.size(), offset, size));
  const std::lock_guard lock(mutex_);
  STEPPE_TRY(const Beneath directory, open_directory(directory_));
  STEPPE_TRY(const uint64_t whole, size_of(directory, digest));
  if (whole == size) return size;
  STEPPE_TRY_VOID(remove_others(directory, digest));
  const std::string part = digest + ".part";
  STEPPE_TRY(uint64_t have, size_of(directory, part));
  if (have > size) {  // begun with another size
    STEPPE_TRY_VOID(directory.remove_tree(part));
    have = 0;
  }
  if (offset != have || data.empty()) return have;
  if (have == 0) STEPPE_TRY_VOID(check_room(directory_, size));
  STEPPE_TRY(kernel::Fd file, directory.open(part, O_WRONLY | O_CREAT | O_APPEND, 0600));
  STEPPE_TRY_VOID(kernel::write_all(file, part, data));
  STEPPE_TRY_VOID(file.close());
  have += data.size();
  if (have < size) return have;
  STEPPE_TRY(const std::string found, digest_of(directory, part));
  if (found != digest) {
    STEPPE_TRY_VOID(directory.remove_tree(part));
    return bad_request(std::format("the bytes that arrived have the digest {}, not {}: begin again", found, digest));
  }
  STEPPE_TRY_VOID(directory.move(part, directory, digest));
  return have;
}

Outcome<std::string> Uploads::find(const std::string& digest) {
  if (!is_digest(digest)) return bad_request("an image is named by its SHA-256: 64 hexadecimal digits in lower case");
  const std::lock_guard lock(mutex_);
  STEPPE_TRY(const Beneath directory, open_directory(directory_));
  if (!directory.stat(digest).ok()) return Failure(404, Code::kNotFound, std::format("no image {} was uploaded to this machine", digest));
  return directory_ + "/" + digest;
}

void Uploads::remove(const std::string& digest) {
  if (!is_digest(digest)) return;
  const std::lock_guard lock(mutex_);
  // What stays is taken away by the next upload.
  if (Result<Beneath> directory = Beneath::at(directory_); directory.ok()) (void)directory->remove_tree(digest);
}

}  // namespace steppe::machine_api
