#include "agent/client/artifact_fetcher.h"

#include <fcntl.h>

#include <array>
#include <format>

#include "init/io/posix_child.h"
#include "init/sys/kernel/descriptor_io.h"
#include "init/sys/kernel/process.h"

namespace steppe::client {

ChildArtifactFetcher::ChildArtifactFetcher(io::Loop& loop, io::Processes& processes, std::string program,
                                           std::vector<std::string> arguments, ArchiveLimits limits, Bytes max_download)
    : processes_(processes), program_(std::move(program)), arguments_(std::move(arguments)), limits_(limits),
      max_download_(max_download), freed_(loop) {}

namespace {

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
  ArtifactOrder order{std::move(request), limits_, max_download_, 1800};
  STEPPE_CO_TRY(kernel::Fd sealed, kernel::sealed_memfd("artifact-order", as_bytes(order.encode()), kernel::Executable::kNo));
  STEPPE_CO_TRY(kernel::Pipe answer, kernel::make_pipe());
  io::SpawnOptions options;
  options.program = program_;
  options.arguments = arguments_;
  options.environment = {"PATH=/usr/bin:/bin"};
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
  OwnProcessFetcher(io::Loop& loop, const std::string& program)
      : processes_(io::make_posix_processes(loop)),
        fetcher_(loop, *processes_, program, {kArtifactCommand}, ArchiveLimits{}, Bytes::gib(100)) {}
  io::Task<Result<>> fetch(const kernel::Beneath& task_dir, Request request, io::Deadline deadline) override {
    return fetcher_.fetch(task_dir, std::move(request), std::move(deadline));
  }

 private:
  std::unique_ptr<io::Processes> processes_;
  ChildArtifactFetcher fetcher_;
};

}  // namespace

int run_artifact_command(const std::vector<std::string>&) { return artifact_fetch_main(3, 4, 5); }

std::unique_ptr<ArtifactFetcher> make_artifact_fetcher(io::Loop& loop, const std::string& program) {
  return std::make_unique<OwnProcessFetcher>(loop, program);
}

}  // namespace steppe::client
