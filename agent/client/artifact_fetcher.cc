#include "agent/client/artifact_fetcher.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <format>
#include <set>

#include "init/base/text.h"
#include "init/io/posix_child.h"
#include "init/sys/kernel/descriptor_io.h"
#include "init/sys/kernel/process.h"

namespace steppe::client {

ChildArtifactFetcher::ChildArtifactFetcher(io::Loop& loop, io::Processes& processes, std::string program,
                                           std::vector<std::string> arguments, ArtifactSettings settings)
    : processes_(processes), program_(std::move(program)), arguments_(std::move(arguments)), settings_(std::move(settings)), freed_(loop) {}

namespace {

constexpr std::string_view kTrustFile = "SSL_CERT_FILE=", kTrustDirectories = "SSL_CERT_DIR=";

// What OpenSSL reads for these variables, to be granted before the process is shut in.
std::vector<std::string> trusted_paths(const std::vector<std::string>& environment) {
  std::vector<std::string> out;
  for (std::string_view entry : environment) {
    if (entry.starts_with(kTrustFile)) out.emplace_back(entry.substr(kTrustFile.size()));
    if (!entry.starts_with(kTrustDirectories)) continue;
    for (std::string_view path : split(entry.substr(kTrustDirectories.size()), ':')) out.emplace_back(path);
  }
  return out;
}

// Gives the place back when the fetch ends, however it does.
struct Place {
  int& running;
  io::Event& freed;
  ~Place() {
    --running;
    freed.pulse();
  }
};

}  // namespace

io::Task<Result<>> ChildArtifactFetcher::fetch(const kernel::Beneath& task_dir, Request request, io::Deadline deadline) {
  // What is plainly wrong is said without a process.
  STEPPE_CO_TRY([[maybe_unused]] ArtifactPlan plan, ArtifactPlan::make(request));
  STEPPE_CO_TRY(kernel::Fd directory, task_dir.open(".", O_RDONLY | O_DIRECTORY));
  while (running_ >= kMaxConcurrent) STEPPE_CO_TRY_VOID(co_await freed_.wait(deadline));
  ++running_;
  Place place{running_, freed_};
  ArchiveLimits limits = settings_.limits;
  Bytes max_download = settings_.max_download;
  if (request.max_bytes.count != 0) {
    limits.bytes = std::min(limits.bytes, request.max_bytes);
    max_download = std::min(max_download, request.max_bytes);
  }
  ArtifactOrder order{std::move(request), limits, max_download, settings_.time_limit_s, trusted_paths(settings_.environment)};
  STEPPE_CO_TRY(kernel::Fd sealed, kernel::sealed_memfd("artifact-order", as_bytes(order.encode()), kernel::Executable::kNo));
  STEPPE_CO_TRY(kernel::Pipe answer, kernel::make_pipe());
  io::SpawnOptions options;
  options.program = program_;
  options.arguments = arguments_;
  options.environment = {"PATH=/usr/bin:/bin"};
  options.environment.insert(options.environment.end(), settings_.environment.begin(), settings_.environment.end());
  options.descriptors = {{sealed.get(), 3}, {directory.get(), 4}, {answer.write.get(), 5}};
  STEPPE_CO_TRY(std::unique_ptr<io::Child> child, processes_.spawn(options));
  STEPPE_CO_TRY_VOID(answer.write.close());
  Result<io::ExitStatus> exit = co_await child->wait(deadline);
  if (!exit.ok()) co_return std::move(exit).error().wrap("artifact");  // the child dies with its object
  std::array<std::byte, 4096> text;
  Result<size_t> n = kernel::read_now(answer.read.get(), text);
  if (n.ok() && *n > 0) co_return decode_answer(as_text({text.data(), *n}));
  co_return Error(Code::kUnavailable, std::format("the artifact process ended without an answer (exit code {}, signal {})", exit->code, exit->signal));
}

namespace {

class OwnProcessFetcher final : public ArtifactFetcher {
 public:
  OwnProcessFetcher(io::Loop& loop, const std::string& program, ArtifactSettings settings)
      : processes_(io::make_posix_processes(loop)), fetcher_(loop, *processes_, program, {kArtifactCommand}, std::move(settings)) {}
  io::Task<Result<>> fetch(const kernel::Beneath& task_dir, Request request, io::Deadline deadline) override {
    return fetcher_.fetch(task_dir, std::move(request), std::move(deadline));
  }

 private:
  std::unique_ptr<io::Processes> processes_;
  ChildArtifactFetcher fetcher_;
};

}  // namespace

int run_artifact_command(const std::vector<std::string>&) { return artifact_fetch_main(3, 4, 5); }

std::unique_ptr<ArtifactFetcher> make_artifact_fetcher(io::Loop& loop, const std::string& program, ArtifactSettings settings) {
  return std::make_unique<OwnProcessFetcher>(loop, program, std::move(settings));
}

std::vector<std::string> artifact_environment(const std::map<std::string, std::string, std::less<>>& environment, std::string_view names) {
  std::set<std::string, std::less<>> wanted{"SSL_CERT_DIR", "SSL_CERT_FILE"};
  for (std::string_view name : split(names, ',')) wanted.emplace(trim(name));
  std::vector<std::string> out;
  for (const std::string& name : wanted) {
    if (auto found = environment.find(name); found != environment.end() && name != "PATH") out.push_back(name + "=" + found->second);
  }
  return out;
}

}  // namespace steppe::client
