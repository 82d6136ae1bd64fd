#include "init/machine/network/program_output.h"

#include <format>
#include <memory>

#include "init/sys/kernel/descriptor_io.h"

namespace steppe::network {
io::Task<Result<ProgramOutput>> output_of(io::Loop& loop, io::Processes& processes, std::string program, std::vector<std::string> arguments,
                                          io::Deadline deadline, std::vector<std::string> environment, size_t most) {
  STEPPE_CO_TRY(kernel::Pipe pipe, kernel::make_pipe());
  io::SpawnOptions options;
  options.program = std::move(program);
  options.arguments = std::move(arguments);
  options.environment = std::move(environment);
  for (int number : {1, 2}) options.descriptors.emplace_back(pipe.write.get(), number);
  STEPPE_CO_TRY(std::unique_ptr<io::Child> child, processes.spawn(options));
  pipe.write.reset();
  ProgramOutput out;
  std::byte buffer[4096];
  for (;;) {
    STEPPE_CO_TRY_VOID(co_await io::wait_ready(loop, pipe.read.get(), io::Readiness::kReadable, deadline));
    STEPPE_CO_TRY(size_t n, kernel::read_now(pipe.read.get(), ByteSpan(buffer)));
    if (n == 0) break;
    if (out.text.size() + n > most) co_return Error(Code::kExhausted, std::format("{}: more than {} bytes of output", options.program, most));
    out.text.append(reinterpret_cast<const char*>(buffer), n);
  }
  STEPPE_CO_TRY(out.status, co_await child->wait(deadline));
  co_return out;
}

}  // namespace steppe::network
