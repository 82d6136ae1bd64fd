#include "init/supervise/end_record.h"

#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "init/base/bytes.h"
#include "init/base/text.h"
#include "init/boot/kernel_log.h"
#include "init/boot/machine_clock.h"
#include "init/boot/random_seed.h"
#include "init/sys/kernel/fd.h"

namespace steppe::supervise {
namespace {

constexpr std::string_view kHead = "steppe-end 1\n";
constexpr size_t kMaxValue = 160;

std::string plain(std::string_view text) {
  std::string out(std::min(text.size(), kMaxValue), '\0');
  (void)boot::printable(text.substr(0, kMaxValue), out.data(), out.size());
  return out;
}

std::string sum_line(std::string_view text) {
  char line[32];
  (void)std::snprintf(line, sizeof line, "crc32c %08x\n", crc32c(as_bytes(text)));
  return line;
}

std::string boot_id() {
  char text[64];
  kernel::Fd file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  const ssize_t size = file.valid() ? ::read(file.get(), text, sizeof text) : -1;
  std::string_view id(text, size > 0 ? static_cast<size_t>(size) : 0);
  return std::string(trim(id));
}

Result<> write_record(int log, std::string_view text) {
  kernel::Fd file(::openat(log, "end.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640));
  if (!file.valid()) return Error::from_errno(errno, "make the record of this end");
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(file.get()) != 0) return Error::from_errno(errno, "write the record of this end");
  if (::renameat(log, "end.new", log, "end") != 0 || ::fsync(log) != 0) return Error::from_errno(errno, "put the record of this end in place");
  return {};
}

}  // namespace

std::string_view ending_name(Ending ending) { return ending == Ending::kReboot ? "reboot" : ending == Ending::kPowerOff ? "power-off" : "halt"; }

std::string encode_end(const EndRecord& record) {
  std::string out(kHead);
  out += "ending " + plain(record.ending) + "\nreason " + std::to_string(record.number) + " " + plain(record.reason) + "\nwhy " + plain(record.why) +
         "\ntime " + std::to_string(record.time_s) + "\nboot " + plain(record.boot) + "\n";
  return out + sum_line(out);
}

Result<EndRecord> decode_end(std::string_view text) {
  const Error damaged(Code::kCorrupt, "the record of the last end is damaged");
  if (text.size() > kMaxEndRecord || !text.starts_with(kHead)) return damaged;
  const size_t sum = text.rfind("crc32c ");
  if (sum == std::string_view::npos || text.substr(sum) != sum_line(text.substr(0, sum))) return damaged;
  std::string_view rest = text.substr(kHead.size(), sum - kHead.size());
  std::array<std::string_view, 5> values;
  constexpr std::array<std::string_view, 5> kNames = {"ending ", "reason ", "why ", "time ", "boot "};
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos || !rest.starts_with(kNames[i])) return damaged;
    values[i] = rest.substr(kNames[i].size(), end - kNames[i].size());
    rest.remove_prefix(end + 1);
  }
  const size_t space = values[1].find(' ');
  Result<uint64_t> number = parse_uint(values[1].substr(0, space));
  Result<int64_t> time = parse_int(values[3]);
  if (!number.ok() || *number > UINT8_MAX || !time.ok() || space == std::string_view::npos) return damaged;
  return EndRecord{.ending = std::string(values[0]), .reason = std::string(values[1].substr(space + 1)), .why = std::string(values[2]), .boot = std::string(values[4]),
                   .number = static_cast<unsigned>(*number), .time_s = *time};
}

int run_record(int argc, char** argv, const char* state_path) {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  boot::KernelLog console;
  console.open();
  kernel::Fd state(::open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  kernel::Fd log(state.valid() ? ::openat(state.get(), "log", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1);
  if (!log.valid()) return 0;
  auto word = [&](int i) { return std::string_view(i < argc ? argv[i] : ""); };
  Result<uint64_t> number = parse_uint(word(3));
  timespec now = {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  Result<> written = write_record(log.get(), encode_end({.ending = std::string(word(2)), .reason = std::string(word(4)), .why = std::string(word(5)), .boot = boot_id(),
                                                         .number = number.ok() ? static_cast<unsigned>(*number) : 0, .time_s = now.tv_sec}));
  boot::keep_clock(state.get());
  Result<> seeded = boot::leave_seed(state.get(), boot::machine_mark(), boot::kernel_pool());
  for (const Result<>* one : {&written, &seeded}) {
    if (!one->ok()) console.status(one->error().message());
  }
  return written.ok() && seeded.ok() ? 0 : 1;
}

}  // namespace steppe::supervise
