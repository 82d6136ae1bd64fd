#include "init/upgrade/esp/confined_judge.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "init/sys/kernel/descriptor_io.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/self_confine.h"

namespace steppe::esp {

namespace {

class OpenFile final : public verify::ImageBytes {
 public:
  OpenFile(int fd, uint64_t size) : fd_(fd), size_(size) {}
  uint64_t size() const override { return size_; }
  Result<> read(uint64_t offset, ByteSpan into) override {
    while (!into.empty()) {
      const ssize_t got = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Error::from_errno(errno, "read the image");
      if (got == 0) return {Code::kCorrupt, "the image ends at byte " + std::to_string(offset)};
      offset += static_cast<uint64_t>(got);
      into = into.subspan(static_cast<size_t>(got));
    }
    return {};
  }

 private:
  int fd_;
  uint64_t size_;
};

Result<verify::Fit> look(int fd, uint64_t size, const verify::Requirements& wanted) {
  STEPPE_TRY([[maybe_unused]] const kernel::Confined confined, kernel::confine_self({.max_open_files = 16, .max_cpu_seconds = 90}));
  OpenFile bytes(fd, size);
  if (!wanted.keys.trusted.empty()) return verify::check_image(bytes, wanted);
  STEPPE_TRY(verify::Fit fit, verify::describe_image(bytes));
  if (fit.manifest.arch != wanted.arch) return {Code::kUnsupported, "the image is for " + fit.manifest.arch + ", this machine is " + wanted.arch};
  return fit;
}

[[noreturn]] void be_judge(int file, uint64_t size, const verify::Requirements& wanted, int answer) {
  const std::string verdict = verify::encode_verdict(look(file, size, wanted));
  for (size_t at = 0; at < verdict.size();) {
    const ssize_t done = ::write(answer, verdict.data() + at, verdict.size() - at);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) break;
    at += static_cast<size_t>(done);
  }
  ::_exit(0);
}

// All that the child writes until it closes its end, which it does after one write: kMaxPieces bound the waits.
Result<std::string> hear(int fd, Duration limit) {
  static constexpr int kMaxPieces = 32;
  std::string text;
  std::string piece(verify::kMaxVerdict + 1, '\0');
  for (int i = 0; i < kMaxPieces; ++i) {
    pollfd one = {fd, POLLIN, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(limit.count() / 1'000'000));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return {Code::kTimeout, "the check of the image took too long"};
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error::from_errno(errno, "read the verdict");
    if (got == 0) return text;
    if (text.size() + static_cast<size_t>(got) > verify::kMaxVerdict) break;
    text.append(piece, 0, static_cast<size_t>(got));
  }
  return {Code::kCorrupt, "the verdict is too long"};
}

bool is_certificate(std::string_view name) {
  return std::ranges::any_of(std::initializer_list<std::string_view>{".crt", ".pem", ".cer", ".der"}, [&](std::string_view end) { return name.ends_with(end); });
}

}  // namespace

verify::MachineKeys read_keys(const std::vector<std::string>& directories, std::vector<std::string>& problems) {
  verify::MachineKeys keys;
  for (const std::string& directory : directories) {
    std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(directory.c_str()), ::closedir);
    if (!listing) continue;
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(listing.get()))
      if (is_certificate(entry->d_name)) names.emplace_back(entry->d_name);
    std::ranges::sort(names);
    for (const std::string& name : names) {
      const std::string path = directory + "/" + name;
      if (keys.trusted.size() == verify::kMaxTrusted) {
        problems.push_back(path + ": more certificates than " + std::to_string(verify::kMaxTrusted));
        return keys;
      }
      Result<std::string> text = kernel::read_host_file(path, Bytes::kib(64));
      Result<std::string> der = text.ok() ? verify::certificate_der(as_bytes(*text)) : std::move(text);
      if (der.ok()) keys.trusted.push_back(*std::move(der));
      else problems.push_back(path + ": " + der.error().message());
    }
  }
  return keys;
}

Result<> ConfinedJudge::require_keys() const {
  if (!wanted_.keys.trusted.empty()) return {};
  return {Code::kDenied, "this machine has no keys to check images with: build its image with a `sign` block, or name certificates in `keys` of its configuration"};
}

Result<verify::Fit> ConfinedJudge::judge_file(const std::string& path) const {
  STEPPE_TRY(const kernel::Fd file, kernel::open_host(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  struct stat status;
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {Code::kInvalid, path + " is no regular file"};
  STEPPE_TRY(kernel::Pipe pipe, kernel::make_pipe());
  const pid_t child = ::fork();
  if (child < 0) return Error::from_errno(errno, "make a child that checks the image");
  if (child == 0) {
    pipe.read.reset();
    be_judge(file.get(), static_cast<uint64_t>(status.st_size), wanted_, pipe.write.get());
  }
  pipe.write.reset();
  Result<std::string> verdict = hear(pipe.read.get(), kLimit);
  if (!verdict.ok()) (void)::kill(child, SIGKILL);
  int how = 0;
  while (::waitpid(child, &how, 0) < 0 && errno == EINTR) {
  }
  if (!verdict.ok()) return std::move(verdict).error();
  if (verdict->empty()) return {Code::kCorrupt, path + ": the child that checked it crashed (wait status " + std::to_string(how) + ")"};
  return verify::decode_verdict(as_bytes(*verdict));
}

Result<upgrade::Judged> ConfinedJudge::judge(upgrade::SlotDirectory&, const std::string& name, uint64_t) {
  STEPPE_TRY(verify::Fit fit, judge_file(directory_ + "/" + name));
  return upgrade::Judged{.manifest = std::move(fit.manifest), .section = fit.section};
}

}  // namespace steppe::esp
