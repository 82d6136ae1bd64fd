#pragma once

#include <string>
#include <vector>

#include "agent/endpoint/failure.h"
#include "init/io/child.h"
#include "init/io/loop.h"

namespace steppe::machine_api {

// What `steppe-node slots` answered: its JSON, or the failure that it tells, with the status that a client shall see. Exposed for tests.
endpoint::Outcome<std::string> read_answer(std::string_view output, const io::ExitStatus& status);

// Runs the program that alone changes the slots, one at a time. Loop thread.
class SlotsChild {
 public:
  static constexpr size_t kMaxOutput = 256 << 10;
  static constexpr Duration kLimit = std::chrono::minutes(10);  // of one run: it may read every image through, on a slow disk

  // `program` takes "slots" and the words. All outlive it.
  SlotsChild(io::Loop& loop, io::Processes& processes, std::string program)
      : loop_(loop), processes_(processes), program_(std::move(program)), turn_(loop, 1) {}

  // 409 while the slots are being changed by somebody else, 500 when the program cannot run.
  io::Task<endpoint::Outcome<std::string>> run(std::vector<std::string> words, std::stop_token stop);

 private:
  io::Task<Result<std::pair<std::string, io::ExitStatus>>> output_of(std::vector<std::string> words, io::Deadline deadline);

  io::Loop& loop_;
  io::Processes& processes_;
  const std::string program_;
  io::Permits turn_;
};

}  // namespace steppe::machine_api
