#include "image/disk/device_write.h"

#include <algorithm>
#include <format>
#include <span>
#include <vector>

#include "init/base/assert.h"
#include "init/upgrade/sha256.h"

namespace steppe::disk {
namespace {

constexpr uint64_t kPiece = Bytes::mib(4).count;

constexpr std::string_view kUnchanged = "nothing was written: the device is as it was";
constexpr std::string_view kCleared =
    "the device holds no whole image and no partition table: nothing starts from it, and what was on it is lost; write "
    "it again, or take another device";
constexpr std::string_view kUnknown =
    "the device's first MiB may hold a partition table of the image or be damaged: do not start a machine from it; "
    "write it again, or take another device";

constexpr std::string_view kDamaged =
    "what was on the device is damaged or lost, and nothing of the image is on it; take another device";

ByteSpan writable(std::string& text) { return std::as_writable_bytes(std::span(text)); }

Error in_state(Error error, std::string_view state) {
  return Error(error.code(), std::format("{}. State: {}", error.message(), state));
}

// Its parts in the order in which they are written; one piece in memory.
class Writing {
 public:
  Writing(Source& image, Target& device, const std::function<void(const Progress&)>& progress)
      : image_(image), device_(device), progress_(progress), digests_((image.bytes() + kPiece - 1) / kPiece) {}

  Result<std::string> run() {
    if (Result<> cleared = clear(); !cleared.ok())
      return in_state(std::move(cleared).error(), wrote_ ? kDamaged : kUnchanged);
    if (Result<> body = write_body(); !body.ok()) return in_state(std::move(body).error(), kCleared);
    if (Result<> head = write_head(); !head.ok()) return spoil(std::move(head).error());
    Result<std::string> digest = read_back();
    if (!digest.ok()) return spoil(std::move(digest).error());
    return digest;
  }

 private:
  Result<> put(uint64_t offset, ByteView from) {
    wrote_ = true;
    return device_.write(offset, from);
  }

  Result<> zero(uint64_t from, uint64_t to) {
    const std::string zeros(kHead.count, '\0');
    for (uint64_t at = from; at < to; at += zeros.size())
      STEPPE_TRY_VOID(put(at, as_bytes(zeros).first(std::min<uint64_t>(zeros.size(), to - at))));
    return {};
  }

  Result<> clear() {
    // The image is read once before anything is lost: a file that cannot be read costs nothing.
    std::string first(std::min<uint64_t>(kPiece, image_.bytes()), '\0');
    STEPPE_TRY_VOID(image_.read(0, writable(first)));
    STEPPE_TRY_VOID(zero(0, kHead.count));
    const uint64_t end = device_.bytes();
    STEPPE_TRY_VOID(zero(std::max(image_.bytes(), end - kHead.count), end));
    return device_.flush();
  }

  Result<> write_body() {
    std::string piece;
    for (uint64_t index = 0; index < digests_.size(); ++index) {
      const uint64_t offset = index * kPiece;
      piece.resize(std::min(kPiece, image_.bytes() - offset));
      STEPPE_TRY_VOID(image_.read(offset, writable(piece)));
      digests_[index] = upgrade::sha256(as_bytes(piece));
      whole_.add(as_bytes(piece));
      if (index == 0) head_ = piece.substr(0, kHead.count);
      const uint64_t skip = index == 0 ? kHead.count : 0;
      if (skip < piece.size()) STEPPE_TRY_VOID(put(offset + skip, as_bytes(piece).subspan(skip)));
      progress_({Progress::Phase::kWrite, offset + piece.size(), image_.bytes()});
    }
    return device_.flush();
  }

  Result<> write_head() {
    STEPPE_TRY_VOID(put(0, as_bytes(head_)));
    return device_.flush();
  }

  Result<std::string> read_back() {
    std::string piece;
    for (uint64_t index = 0; index < digests_.size(); ++index) {
      const uint64_t offset = index * kPiece;
      piece.resize(std::min(kPiece, image_.bytes() - offset));
      STEPPE_TRY_VOID(device_.read(offset, writable(piece)).wrap("read back"));
      if (upgrade::sha256(as_bytes(piece)) != digests_[index])
        return Error(Code::kCorrupt,
                     std::format("read back: the device does not hold what was written, in the {} bytes from byte {} "
                                 "on: it is broken, or smaller than it says",
                                 piece.size(), offset));
      progress_({Progress::Phase::kReadBack, offset + piece.size(), image_.bytes()});
    }
    STEPPE_TRY(const upgrade::Digest whole, whole_.finish());
    return hex(whole);
  }

  // After the head was written: takes it away again, so that nothing starts from what is not whole.
  Error spoil(Error error) {
    Result<> cleared = zero(0, kHead.count);
    if (cleared.ok()) cleared = device_.flush();
    return in_state(std::move(error), cleared.ok() ? kCleared : kUnknown);
  }

  Source& image_;
  Target& device_;
  const std::function<void(const Progress&)>& progress_;
  std::vector<upgrade::Digest> digests_;  // of the pieces
  upgrade::Sha256 whole_;
  std::string head_;
  bool wrote_ = false;
};

}  // namespace

Result<std::string> write_device(Source& image, Target& device, const std::function<void(const Progress&)>& progress) {
  STEPPE_ASSERT(image.bytes() >= kHead.count && image.bytes() <= device.bytes());
  return Writing(image, device, progress).run();
}

}  // namespace steppe::disk
