#include "agent/client/artifact_child.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <format>
#include <map>

#include "agent/client/http_get.h"
#include "agent/client/resolving_connector.h"
#include "init/base/text.h"
#include "init/frame/frame.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_net.h"
#include "init/io/scope.h"
#include "init/sys/kernel/file_access.h"
#include "init/sys/kernel/host_file.h"
#include "init/sys/kernel/self_confine.h"

namespace steppe::client {
namespace {

constexpr const char* kPartName = ".steppe-artifact-part";

enum Tag : uint16_t { kSource = 1, kDestination, kMode, kOptions, kHeaders, kInsecure, kMaxBytes, kMaxFiles, kMaxDownload, kTimeLimit, kReadable };

std::string encode_list(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& one : list) out += one + '\0';
  return out;
}

std::vector<std::string> decode_list(std::string_view text) {
  std::vector<std::string> out;
  for (std::string_view one : split(text, '\0')) {
    if (!one.empty()) out.emplace_back(one);
  }
  return out;
}

std::string encode_map(const std::map<std::string, std::string>& map) {
  std::string out;
  for (const auto& [key, value] : map) out += key + '\0' + value + '\0';
  return out;
}

std::map<std::string, std::string> decode_map(std::string_view text) {
  std::map<std::string, std::string> out;
  std::vector<std::string_view> parts = split(text, '\0');
  for (size_t i = 0; i + 1 < parts.size(); i += 2) out[std::string(parts[i])] = parts[i + 1];
  return out;
}

class Digest {
 public:
  explicit Digest(const std::string& type) : context_(EVP_MD_CTX_new()) {
    const EVP_MD* kind = type == "md5" ? EVP_md5() : type == "sha1" ? EVP_sha1() : type == "sha512" ? EVP_sha512() : EVP_sha256();
    ok_ = context_ != nullptr && EVP_DigestInit_ex(context_, kind, nullptr) == 1;
  }
  ~Digest() { EVP_MD_CTX_free(context_); }
  Digest(const Digest&) = delete;
  void add(ByteView bytes) { ok_ = ok_ && EVP_DigestUpdate(context_, bytes.data(), bytes.size()) == 1; }
  Result<std::string> finish() {
    unsigned char value[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (!ok_ || EVP_DigestFinal_ex(context_, value, &size) != 1) return Error(Code::kUnsupported, "this checksum cannot be computed here");
    return hex(std::as_bytes(std::span(value, size)));
  }

 private:
  EVP_MD_CTX* context_;
  bool ok_ = false;
};

class FdSource final : public ByteSource, public RandomSource {
 public:
  FdSource(const kernel::Fd& fd, uint64_t size) : fd_(fd), size_(size) {}
  Result<size_t> read(ByteSpan into) override {
    STEPPE_TRY(size_t n, kernel::read_at(fd_, at_, into));
    at_ += n;
    return n;
  }
  uint64_t size() const override { return size_; }
  Result<size_t> read_at(uint64_t offset, ByteSpan into) override { return kernel::read_at(fd_, offset, into); }

 private:
  const kernel::Fd& fd_;
  uint64_t size_, at_ = 0;
};

// The first pass: what DirectorySink would refuse in the middle is refused before anything is written.
class RehearsalSink final : public ArchiveSink {
 public:
  explicit RehearsalSink(Bytes limit) : limit_(limit), left_(limit) {}
  Result<> directory(const std::string&, uint32_t) override { return {}; }
  Result<> begin_file(const std::string& path, uint32_t) override {
    current_ = &(files_[path] = 0);
    return {};
  }
  Result<> data(ByteView bytes) override { return take(bytes.size()); }
  Result<> end_file() override { return {}; }
  Result<> symlink(const std::string& path, const std::string&) override {
    files_.erase(path);
    return {};
  }
  Result<> hard_link(const std::string& path, const std::string& existing) override {
    auto found = files_.find(existing);
    if (found == files_.end()) return Error(Code::kCorrupt, std::format("archive entry {}: a hard link to {}, which is no file before it", path.substr(0, 200), existing.substr(0, 200)));
    uint64_t size = found->second;
    current_ = &(files_[path] = 0);
    return take(size);
  }

 private:
  Result<> take(uint64_t size) {
    if (size > left_.count) return Error(Code::kExhausted, std::format("the archive unpacks to more than {} bytes", limit_.count));
    left_.count -= size;
    *current_ += size;
    return {};
  }
  Bytes limit_, left_;
  std::map<std::string, uint64_t> files_;  // as many as the archive may have entries
  uint64_t* current_ = nullptr;
};

Result<> unpack(const ArtifactPlan& plan, const kernel::Fd& from, uint64_t size, ArchiveSink& sink, const ArchiveLimits& limits) {
  FdSource source(from, size);
  if (plan.archive == ArchiveKind::kZip) return unpack_zip(source, sink, limits);
  std::unique_ptr<ByteSource> plain = decompress(source, plan.compression);
  return unpack_tar(*plain, sink, limits);
}

// A file that is not unpacked, or one compressed file.
Result<> store_file(const ArtifactPlan& plan, const kernel::Fd& from, uint64_t size, const kernel::Beneath& into, const ArchiveLimits& limits) {
  FdSource source(from, size);
  std::unique_ptr<ByteSource> plain = decompress(source, plan.compression);
  DirectorySink sink(into, limits.bytes);
  // Executable, because a fetched program is started by its path.
  STEPPE_TRY_VOID(sink.begin_file(plan.file_name, 0755));
  std::array<std::byte, 64 << 10> buffer;
  uint64_t total = 0;
  Result<> done;
  while (done.ok()) {
    Result<size_t> n = plain->read(buffer);
    if (!n.ok()) {
      done = n.error();
    } else if (*n == 0) {
      break;
    } else if ((total += *n) > limits.bytes.count) {
      done = Error(Code::kExhausted, std::format("the file unpacks to more than {} bytes", limits.bytes.count));
    } else {
      done = sink.data({buffer.data(), *n});
    }
  }
  if (done.ok()) done = sink.end_file();
  if (!done.ok()) (void)into.remove_tree(plan.file_name);
  return done;
}

// Opened with the rights of nobody: a job must not read what only root may.
Result<kernel::Fd> open_public_file(const std::string& path) {
  constexpr uid_t kNobody = 65534;
  bool root = ::geteuid() == 0;
  if (root && (::setegid(kNobody) != 0 || ::seteuid(kNobody) != 0)) return Error::from_errno(errno, "become nobody");
  auto fd = kernel::open_host(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (root && (::seteuid(0) != 0 || ::setegid(0) != 0)) return Error::from_errno(errno, "become ourselves again");
  if (!fd.ok()) return std::move(fd).error();
  STEPPE_TRY(kernel::FileInfo info, kernel::stat_fd(*fd, path));
  if (info.type != kernel::FileType::kFile) return Error(Code::kInvalid, path + " is not a regular file");
  return fd;
}

Result<> check_digest(const ArtifactPlan& plan, const kernel::Fd& file) {
  if (plan.checksum.empty()) return {};
  Digest digest(plan.checksum_type);
  std::array<std::byte, 64 << 10> buffer;
  for (uint64_t at = 0;;) {
    STEPPE_TRY(size_t n, kernel::read_at(file, at, buffer));
    if (n == 0) break;
    digest.add({buffer.data(), n});
    at += n;
  }
  STEPPE_TRY(std::string found, digest.finish());
  if (found == plan.checksum) return {};
  return Error(Code::kInvalid, std::format("{}: checksum does not match: expected {}:{}, found {}", plan.url.shown(), plan.checksum_type, plan.checksum, found));
}

io::Task<void> download(io::Loop& loop, const ArtifactPlan& plan, const ArtifactOrder& order, const kernel::Fd& into, Result<>& result) {
  auto network = io::make_posix_network(loop);
  ResolvingConnector connector(*network, proxies_of_environment());
  HttpGetRequest request{plan.url, plan.headers, plan.insecure, order.max_download, 10};
  auto take = [&into](ByteView bytes) { return kernel::write_all(into, "artifact", bytes); };
  result = co_await http_get(connector, std::move(request), take, io::Deadline::in(loop, std::chrono::seconds(order.time_limit_s)));
}

Result<> work(int order_fd, int directory_fd) {
  ::signal(SIGPIPE, SIG_IGN);
  STEPPE_TRY(std::string text, kernel::read_all(kernel::Fd(order_fd), "order", Bytes::mib(1)));
  STEPPE_TRY(ArtifactOrder order, ArtifactOrder::decode(as_bytes(text)));
  STEPPE_TRY(ArtifactPlan plan, ArtifactPlan::make(order.request));
  kernel::Beneath task_dir(kernel::Fd(directory_fd), "task directory");
  kernel::Fd source;
  if (plan.url.scheme == "file") {
    STEPPE_TRY(source, open_public_file(plan.url.target));
  }
  kernel::Confinement wanted;
  wanted.readable = {"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/ssl", "/etc/ca-certificates",
                     "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache"};
  wanted.readable.insert(wanted.readable.end(), order.readable.begin(), order.readable.end());
  wanted.writable = {task_dir.fd()};
  STEPPE_TRY_VOID(kernel::confine_self(wanted));
  if (!plan.directory.empty()) STEPPE_TRY_VOID(task_dir.make_directories(plan.directory, 0777));
  STEPPE_TRY(kernel::Beneath into, task_dir.sub(plan.directory.empty() ? "." : plan.directory));
  if (plan.url.scheme != "file") {
    STEPPE_TRY_VOID(task_dir.remove_tree(kPartName));
    STEPPE_TRY(source, task_dir.open(kPartName, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    STEPPE_TRY_VOID(task_dir.remove_tree(kPartName));  // it lives as long as we hold it
    STEPPE_TRY(auto loop, io::EpollLoop::create(1));
    Result<> fetched;
    io::start_root(*loop, download(*loop, plan, order, source, fetched), [&] { loop->stop(); });
    loop->run();
    STEPPE_TRY_VOID(std::move(fetched));
  }
  STEPPE_TRY_VOID(check_digest(plan, source));
  return place_artifact(plan, source, into, order.limits).wrap(plan.url.shown());
}

}  // namespace

Result<> place_artifact(const ArtifactPlan& plan, const kernel::Fd& from, const kernel::Beneath& directory, const ArchiveLimits& limits) {
  STEPPE_TRY(kernel::FileInfo info, kernel::stat_fd(from, "artifact"));
  if (plan.archive == ArchiveKind::kNone || plan.archive == ArchiveKind::kSingle) {
    return store_file(plan, from, info.size.count, directory, limits);
  }
  RehearsalSink rehearsal(limits.bytes);
  STEPPE_TRY_VOID(unpack(plan, from, info.size.count, rehearsal, limits));
  DirectorySink sink(directory, limits.bytes);
  // What the first pass could not know: no room, or something of the task's in the way.
  Result<> done = unpack(plan, from, info.size.count, sink, limits);
  if (!done.ok()) sink.undo();
  return done;
}

std::string ArtifactOrder::encode() const {
  return frame::Builder(frame::kArtifactRequest, 1)
      .text(kSource, request.source)
      .text(kDestination, request.destination)
      .text(kMode, request.mode)
      .text(kOptions, encode_map(request.options))
      .text(kHeaders, encode_map(request.headers))
      .integer(kInsecure, request.insecure)
      .integer(kMaxBytes, static_cast<int64_t>(limits.bytes.count))
      .integer(kMaxFiles, static_cast<int64_t>(limits.files))
      .integer(kMaxDownload, static_cast<int64_t>(max_download.count))
      .integer(kTimeLimit, time_limit_s)
      .text(kReadable, encode_list(readable))
      .finish();
}

Result<ArtifactOrder> ArtifactOrder::decode(ByteView bytes) {
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kArtifactRequest, 1));
  ArtifactOrder out;
  out.request.source = message.text(kSource);
  out.request.destination = message.text(kDestination);
  out.request.mode = message.text(kMode);
  out.request.options = decode_map(message.text(kOptions));
  out.request.headers = decode_map(message.text(kHeaders));
  out.request.insecure = message.integer(kInsecure) != 0;
  out.limits.bytes = {static_cast<uint64_t>(message.integer(kMaxBytes))};
  out.limits.files = static_cast<uint64_t>(message.integer(kMaxFiles));
  out.max_download = {static_cast<uint64_t>(message.integer(kMaxDownload))};
  out.time_limit_s = message.integer(kTimeLimit, 1800);
  out.readable = decode_list(message.text(kReadable));
  return out;
}

std::string encode_answer(const Result<>& result) {
  if (result.ok()) return "ok";
  return std::format("{}\n{}", code_name(result.error().code()), result.error().message().substr(0, 2000));
}

Result<> decode_answer(std::string_view text) {
  if (text == "ok") return {};
  size_t line = text.find('\n');
  if (line == text.npos) return Error(Code::kUnavailable, "the artifact process said nothing");
  for (int code = 0; code <= static_cast<int>(Code::kIo); ++code) {
    if (code_name(static_cast<Code>(code)) == text.substr(0, line)) return Error(static_cast<Code>(code), std::string(text.substr(line + 1)));
  }
  return Error(Code::kUnavailable, std::string(text.substr(line + 1)));
}

int artifact_fetch_main(int order_fd, int directory_fd, int answer_fd) {
  Result<> result = work(order_fd, directory_fd);
  kernel::Fd answer(answer_fd);
  Result<> told = kernel::write_all(answer, "answer", as_bytes(encode_answer(result)));
  return result.ok() && told.ok() ? 0 : 1;
}

}  // namespace steppe::client
