#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "init/base/result.h"
#include "init/supervise/supervisor.h"

namespace steppe::supervise {

// Why a machine went down, as it is kept in its state directory until the next start: /state/log/end. Text of lines,
//
//   steppe-end 1
//   ending reboot                   or power-off, halt
//   reason 3 ctrl-alt-del           the number is never reused, the words are for people
//   why drained for an image        may be empty
//   time 1793491200                 unix seconds of the machine's clock
//   boot 2c1d…                      the kernel's id of the boot that ended
//   crc32c 0badcafe                 of all before
struct EndRecord {
  std::string ending, reason, why, boot;
  unsigned number = 0;
  int64_t time_s = 0;
};
inline constexpr size_t kMaxEndRecord = 1024;

// Values are cut to fit, and what is not printable ASCII becomes '?'.
std::string encode_end(const EndRecord& record);
// kCorrupt for anything that is not whole. Pure.
Result<EndRecord> decode_end(std::string_view text);

std::string_view ending_name(Ending ending);

// The program of the child that PID 1 starts when the machine is to go down: `record ENDING NUMBER REASON WHY`. Writes the record, the clock and the
// random seed into the state directory and makes them durable. A machine without a disk has no such directory: nothing happens. Returns
// an exit status; SIGTERM does not end it.
int run_record(int argc, char** argv, const char* state = "/state");

}  // namespace steppe::supervise
