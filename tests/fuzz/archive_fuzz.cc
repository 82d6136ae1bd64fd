#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "agent/client/archive.h"
#include "agent/client/artifact_child.h"
#include "agent/client/artifact_plan.h"

namespace {

using namespace steppe;
namespace fs = std::filesystem;

constexpr client::ArchiveLimits kLimits{Bytes::kib(256), 64};

// Takes an archive's entries and checks what every sink relies on: names inside, files opened and closed in pairs, no
// more than the limits say.
class CheckingSink final : public client::ArchiveSink {
 public:
  Result<> directory(const std::string& path, uint32_t) override { return check(path); }
  Result<> begin_file(const std::string& path, uint32_t mode) override {
    if (open_ || mode > 0777) std::abort();
    open_ = true;
    return check(path);
  }
  Result<> data(ByteView bytes) override {
    if (!open_) std::abort();
    total_ += bytes.size();
    if (total_ > kLimits.bytes.count) std::abort();
    return {};
  }
  Result<> end_file() override {
    if (!open_) std::abort();
    open_ = false;
    return {};
  }
  Result<> symlink(const std::string& path, const std::string& target) override {
    if (target.starts_with('/')) std::abort();
    return check(path);
  }
  Result<> hard_link(const std::string& path, const std::string& existing) override {
    Result<> first = check(path);
    return first.ok() ? check(existing) : first;
  }

 private:
  Result<> check(const std::string& path) {
    if (path.empty() || path.starts_with('/') || ("/" + path + "/").find("/../") != std::string::npos) std::abort();
    if (path.find('\0') != std::string::npos) std::abort();
    if (++entries_ > kLimits.files) std::abort();
    return {};
  }
  uint64_t total_ = 0, entries_ = 0;
  bool open_ = false;
};

class Memory final : public client::RandomSource {
 public:
  explicit Memory(std::string_view bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<size_t> read_at(uint64_t offset, ByteSpan into) override {
    if (offset >= bytes_.size()) return size_t{0};
    size_t n = std::min<size_t>(into.size(), bytes_.size() - offset);
    std::memcpy(into.data(), bytes_.data() + offset, n);
    return n;
  }

 private:
  std::string_view bytes_;
};

// A directory to unpack into, beside one that nothing may touch.
class Place {
 public:
  Place() : base_(fs::temp_directory_path() / ("steppe-fuzz-" + std::to_string(::getpid()))) {
    fs::remove_all(base_);
    fs::create_directories(base_ / "beside");
    std::FILE* canary = std::fopen((base_ / "beside/canary").c_str(), "w");
    if (canary == nullptr || std::fputs("alive", canary) < 0 || std::fclose(canary) != 0) std::abort();
    memory_ = kernel::Fd(::memfd_create("archive", MFD_CLOEXEC));
  }
  ~Place() { fs::remove_all(base_); }

  void unpack(const client::ArtifactPlan& plan, std::string_view bytes) {
    fs::remove_all(base_ / "into");
    fs::create_directory(base_ / "into");
    if (::ftruncate(memory_.get(), 0) != 0 || ::pwrite(memory_.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
    auto into = kernel::Beneath::at((base_ / "into").string());
    if (!into.ok()) std::abort();
    (void)client::place_artifact(plan, memory_, *into, kLimits);
    check();
  }

 private:
  void check() {
    for (const char* outside : {".", "beside"}) {
      for (const auto& entry : fs::directory_iterator(base_ / outside)) {
        std::string name = entry.path().filename();
        if (name != "into" && name != "beside" && name != "canary") std::abort();
      }
    }
    if (fs::file_size(base_ / "beside/canary") != 5) std::abort();
    uint64_t bytes = 0, entries = 0;
    for (const auto& entry : fs::recursive_directory_iterator(base_ / "into")) {
      ++entries;
      if (entry.is_symlink()) {
        fs::path target = fs::read_symlink(entry.path());
        if (target.is_absolute()) std::abort();
        std::string lexical = (entry.path().parent_path() / target).lexically_normal().lexically_relative((base_ / "into").lexically_normal());
        if (lexical.starts_with("..")) std::abort();
      } else if (entry.is_regular_file()) {
        bytes += entry.file_size();
        if ((entry.status().permissions() & (fs::perms::set_uid | fs::perms::set_gid)) != fs::perms::none) std::abort();
      } else if (!entry.is_directory()) {
        std::abort();
      }
    }
    if (bytes > kLimits.bytes.count || entries > 2 * kLimits.files) std::abort();
  }

  fs::path base_;
  kernel::Fd memory_;
};

// Every block that says "ustar" gets the checksum that it should have: chance seldom finds one.
std::string with_checksums(std::string_view bytes) {
  std::string out(bytes.substr(0, 256 << 10));
  for (size_t at = 0; at + 512 <= out.size(); at += 512) {
    if (out.compare(at + 257, 5, "ustar") != 0) continue;
    out.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (size_t i = at; i < at + 512; ++i) sum += static_cast<unsigned char>(out[i]);
    char digits[8];
    std::snprintf(digits, sizeof digits, "%06o", sum);
    out.replace(at + 148, 7, std::string(digits, 7));
  }
  return out;
}

client::ArtifactPlan plan_for(std::string_view bytes) {
  client::ArtifactPlan plan;
  plan.archive = bytes.starts_with("PK") ? client::ArchiveKind::kZip : client::ArchiveKind::kTar;
  plan.compression = client::detect_compression(bytes);
  plan.file_name = "file";
  return plan;
}

}  // namespace

// Any bytes as a tar archive, compressed or not, as a zip archive, and as an artifact's source; and the archive placed as
// an artifact in a directory that it must not leave.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Place place;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  {
    client::MemorySource raw(text);
    auto plain = client::decompress(raw, client::detect_compression(text));
    CheckingSink sink;
    (void)client::unpack_tar(*plain, sink, kLimits);
  }
  {
    Memory raw(text);
    CheckingSink sink;
    (void)client::unpack_zip(raw, sink, kLimits);
  }
  const std::string mended = with_checksums(text);
  place.unpack(plan_for(mended), mended);
  auto plan = client::ArtifactPlan::make({std::string(text.substr(0, 512)), "local/", "any", {}, {}, false, {}});
  if (plan.ok() && (plan->file_name.empty() || plan->file_name.find('/') != std::string::npos)) std::abort();
  return 0;
}
