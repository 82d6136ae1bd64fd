#include "init/machine/extensions/checker.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <format>

#include "init/sys/kernel/descriptor_io.h"
#include "init/sys/kernel/self_confine.h"

namespace steppe::extensions {
namespace {

constexpr int kLimitMs = 300'000;  // a big file whose record the image does not name is read as a whole, from a slow stick
constexpr uint64_t kCpuSeconds = 240;

class OpenFile final : public verify::ImageBytes {
 public:
  OpenFile(int fd, uint64_t size) : fd_(fd), size_(size) {}
  uint64_t size() const override { return size_; }
  Result<> read(uint64_t offset, ByteSpan into) override {
    while (!into.empty()) {
      const ssize_t got = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Error::from_errno(errno, "read it");
      if (got == 0) return Error(Code::kCorrupt, std::format("it ends at byte {}", offset));
      offset += static_cast<uint64_t>(got);
      into = into.subspan(static_cast<size_t>(got));
    }
    return {};
  }

 private:
  int fd_;
  uint64_t size_;
};

[[noreturn]] void be_checker(int file, uint64_t size, const verify::ExtensionWanted& wanted, int answer) {
  const auto look = [&]() -> Result<verify::ExtensionFit> {
    STEPPE_TRY([[maybe_unused]] const kernel::Confined confined, kernel::confine_self({.max_open_files = 16, .max_cpu_seconds = kCpuSeconds}));
    OpenFile bytes(file, size);
    return verify::check_extension(bytes, wanted);
  };
  // One write: a pipe takes that many bytes at once, or blocks until it has.
  const std::string verdict = verify::encode_extension_verdict(look());
  for (size_t at = 0; at < verdict.size();) {
    const ssize_t done = ::write(answer, verdict.data() + at, verdict.size() - at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) break;
    at += static_cast<size_t>(done);
  }
  ::_exit(0);
}

// All that the child writes until it closes its end: kMaxPieces bound the waits.
Result<std::string> hear(int fd) {
  static constexpr int kMaxPieces = 32;
  std::string text, piece(verify::kMaxExtensionVerdict + 1, '\0');
  for (int i = 0; i < kMaxPieces; ++i) {
    pollfd one = {fd, POLLIN, 0};
    const int ready = ::poll(&one, 1, kLimitMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return Error(Code::kTimeout, "its check took too long");
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "read the verdict");
    if (got == 0) return text;
    if (text.size() + static_cast<size_t>(got) > verify::kMaxExtensionVerdict) break;
    text.append(piece, 0, static_cast<size_t>(got));
  }
  return Error(Code::kCorrupt, "the verdict is too long");
}

}  // namespace

Result<verify::ExtensionFit> check_confined(const extension::Found& found, const verify::ExtensionWanted& wanted) {
  STEPPE_TRY(kernel::Pipe pipe, kernel::make_pipe());
  const pid_t child = ::fork();
  if (child < 0) return Error::from_errno(errno, "make a child that checks an extension");
  if (child == 0) {
    pipe.read.reset();
    be_checker(found.file.get(), found.size, wanted, pipe.write.get());
  }
  pipe.write.reset();
  Result<std::string> verdict = hear(pipe.read.get());
  if (!verdict.ok()) (void)::kill(child, SIGKILL);
  int how = 0;
  while (::waitpid(child, &how, 0) < 0 && errno == EINTR) {
  }
  if (!verdict.ok()) return std::move(verdict).error();
  if (verdict->empty()) return Error(Code::kCorrupt, std::format("the child that checked it crashed (wait status {})", how));
  return verify::decode_extension_verdict(as_bytes(*verdict));
}

}  // namespace steppe::extensions
