#include "agent/machine/slots_child.h"

#include <format>

#include "init/io/wait.h"
#include "init/json/reader.h"
#include "init/sys/kernel/descriptor_io.h"

namespace steppe::machine_api {

using endpoint::Failure;
using endpoint::Outcome;

namespace {

Code code_of(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Code::kIo); ++i)
    if (code_name(static_cast<Code>(i)) == name) return static_cast<Code>(i);
  return Code::kIo;
}

// The slots' words on why not, as HTTP has them: what another state of the machine would allow is a conflict.
int status_of(Code code) {
  switch (code) {
    case Code::kExists:
    case Code::kUnavailable: return 409;
    case Code::kCorrupt: return 400;
    case Code::kExhausted: return 507;
    default: return 0;
  }
}

Failure failure_of(Code code, std::string message) {
  const int status = status_of(code);
  return status == 0 ? Failure(Error(code, std::move(message))) : Failure(status, code, std::move(message));
}

}  // namespace

Outcome<std::string> read_answer(std::string_view output, const io::ExitStatus& status) {
  if (status.ok()) return std::string(output);
  json::Reader reader(output);
  std::string code, message;
  int depth = 0;
  for (json::Kind kind = reader.next(); kind != json::Kind::kEnd && kind != json::Kind::kError; kind = reader.next()) {
    if (kind == json::Kind::kObject) ++depth;
    if (kind != json::Kind::kKey || depth != 2) continue;
    const std::string key(reader.text());
    if (reader.next() != json::Kind::kString) break;
    if (key == "Code") code = reader.text();
    if (key == "Message") message = reader.text();
  }
  if (code.empty() || message.empty()) {
    const std::string how = status.signal != 0 ? std::format("was killed by signal {}", status.signal) : std::format("ended with {}", status.code);
    return Failure(500, Code::kIo, std::format("the program that changes the slots {} and said nothing", how));
  }
  return failure_of(code_of(code), std::move(message));
}

io::Task<Result<std::pair<std::string, io::ExitStatus>>> SlotsChild::output_of(std::vector<std::string> words, io::Deadline deadline) {
  STEPPE_CO_TRY(kernel::Pipe pipe, kernel::make_pipe());
  io::SpawnOptions options;
  options.program = program_;
  options.arguments = {"slots"};
  options.arguments.insert(options.arguments.end(), words.begin(), words.end());
  options.descriptors = {{pipe.write.get(), 1}, {2, 2}};
  STEPPE_CO_TRY(std::unique_ptr<io::Child> child, processes_.spawn(options));
  pipe.write.reset();
  std::string text;
  std::byte buffer[4096];
  for (;;) {
    STEPPE_CO_TRY_VOID(co_await io::wait_ready(loop_, pipe.read.get(), io::Readiness::kReadable, deadline));
    STEPPE_CO_TRY(const size_t got, kernel::read_now(pipe.read.get(), ByteSpan(buffer)));
    if (got == 0) break;
    if (text.size() + got > kMaxOutput) co_return Error(Code::kExhausted, std::format("{} writes more than {} bytes", program_, kMaxOutput));
    text.append(reinterpret_cast<const char*>(buffer), got);
  }
  STEPPE_CO_TRY(const io::ExitStatus status, co_await child->wait(deadline));
  co_return std::pair(std::move(text), status);
}

io::Task<Outcome<std::string>> SlotsChild::run(std::vector<std::string> words, std::stop_token stop) {
  const io::Deadline deadline = io::Deadline::in(loop_, kLimit, stop);
  Result<io::Permits::Held> turn = co_await turn_.take(deadline);
  if (!turn.ok()) co_return Failure(std::move(turn).error());
  Result<std::pair<std::string, io::ExitStatus>> output = co_await output_of(std::move(words), deadline);
  if (!output.ok()) co_return Failure(std::move(output).error().wrap("slots"));
  co_return read_answer(output->first, output->second);
}

}  // namespace steppe::machine_api
