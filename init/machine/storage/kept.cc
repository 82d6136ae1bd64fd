#include "init/machine/storage/kept.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"
#include "init/boot/machine_clock.h"
#include "init/supervise/end_record.h"
#include "init/sys/kernel/file_access.h"

namespace steppe::storage {
namespace {

using Sync = kernel::Beneath::Sync;

constexpr const char* kBallastFile = "ballast";

class TakeUp {
 public:
  TakeUp(const KeptPlaces& places, const Clock& clock, boot::EntropyPool& pool, const Speech& speech) : places_(places), clock_(clock), pool_(pool), speech_(speech) {}

  void run() {
    make_room();
    for (const char* name : {"log", "log/pstore"}) tell(state().make_directories(name, 0750));
    if (boot::raise_clock_to_kept(state().fd())) speech_.say("the clock was older than at the last end and is set to it");
    show_last_end();
    take_seed();
    if (places_.crashes != nullptr) harvest();
    boot::keep_clock(state().fd());
    tell(places_.run.write("state", {}, 0644));
  }

 private:
  const kernel::Beneath& state() const { return places_.state; }

  void tell(const Result<>& done) {
    if (!done.ok()) speech_.wrong(done.error().message());
  }

  Result<uint64_t> free_bytes() {
    STEPPE_TRY(const kernel::Fd directory, state().open_directory(""));
    STEPPE_TRY(const kernel::FileSystemUsage usage, kernel::file_system_usage(directory));
    return usage.available;
  }

  void make_room() {
    Result<uint64_t> free = free_bytes();
    if (!free.ok()) return speech_.wrong(free.error().message());
    for (const char* name : {kBallastFile, "log/services.log.1"}) {
      if (*free >= kFullBelow.count) break;
      if (!state().stat(name).ok()) continue;
      tell(state().remove_tree(name));
      free = free_bytes();
      if (!free.ok()) return;
      speech_.wrong(std::format("the state partition is full: {} is given up, {} MiB are free now", name, *free >> 20));
    }
    if (*free < kFullBelow.count) return speech_.wrong(std::format("the state partition is full: {} KiB are free; what the machine should keep may be lost", *free >> 10));
    if (*free < 4 * kBallast.count || state().stat(kBallastFile).ok()) return;
    // Real blocks, which zeros on this file system are.
    tell(state().write(kBallastFile, as_bytes(std::string(kBallast.count, '\0')), 0600));
  }

  void show_last_end() {
    Result<std::string> text = state().read("log/end", Bytes(supervise::kMaxEndRecord));
    const bool before = state().stat("log/boot").ok();
    std::string line, known = "orderly no\n";
    if (text.ok()) {
      Result<supervise::EndRecord> end = supervise::decode_end(*text);
      if (end.ok()) {
        const std::string why = end->reason + (end->why.empty() ? "" : ": " + end->why);
        speech_.say(std::format("the last end: {}, {}", end->ending, why));
        line = std::format("{} {} {}", format_rfc3339({end->time_s * 1'000'000'000}), end->ending, why);
        known = "orderly yes\n" + *text;
      } else {
        speech_.wrong(line = end.error().message());
      }
    } else if (text.error().code() != Code::kNotFound) {
      speech_.wrong(line = text.error().message());
    } else if (before) {
      speech_.wrong(line = "the last end was not orderly: power, a reset or a crash");
    }
    tell(places_.run.write("last-end", as_bytes(before || text.ok() ? known : "orderly unknown\n"), 0644));
    if (!line.empty()) note_end(line);
    // Not before it is noted: else a power cut now would lose it.
    if (text.ok()) tell(state().remove_tree("log/end"));
    tell(state().write("log/boot", as_bytes(places_.boot + "\n"), 0640, Sync::kYes));
  }

  void note_end(const std::string& line) {
    Result<std::string> all = state().read("log/ends", kMaxEnds);
    std::string kept = all.ok() ? std::move(*all) : "steppe-ends 1\n";
    if (kept.size() + line.size() + 1 > kMaxEnds.count) {
      const size_t from = kept.find('\n', kMaxEnds.count / 2);
      kept = "steppe-ends 1\n" + kept.substr(from == std::string::npos ? kept.size() : from + 1);
    }
    tell(state().write("log/ends", as_bytes(kept + line + "\n"), 0640, Sync::kYes));
  }

  void take_seed() {
    Result<boot::SeedUse> use = boot::take_seed(state().fd(), places_.machine, pool_);
    if (!use.ok()) speech_.wrong(use.error().message());
  }

  // The kernel's last messages, one file each, before they are overwritten by those of the next crash.
  void harvest() {
    Result<std::vector<kernel::DirectoryEntry>> found = places_.crashes->list("", 4096);
    if (!found.ok()) return speech_.wrong(found.error().message());
    const std::string stamp = std::format("{:012}", clock_.wall().unix_ns / 1'000'000'000);
    size_t kept = 0;
    for (const kernel::DirectoryEntry& entry : *found) {
      if (entry.type != kernel::FileType::kFile || kept == kMaxCrashRecords) continue;
      Result<> done = keep_crash(entry.name, "log/pstore/" + stamp + "-" + entry.name);
      if (done.ok()) ++kept;
      else speech_.wrong(done.error().message());
    }
    if (kept == 0) return;
    speech_.say(std::format("{} records of a crash of the kernel are kept in {}/log/pstore", kept, kStateAt));
    thin_out();
  }

  Result<> keep_crash(const std::string& name, const std::string& as) {
    STEPPE_TRY(const std::string text, places_.crashes->read(name, kMaxCrashRecord));
    STEPPE_TRY_VOID(state().write(as, as_bytes(text), 0640, Sync::kYes));
    return places_.crashes->remove_tree(name);
  }

  // Their names begin with the time.
  void thin_out() {
    Result<std::vector<kernel::DirectoryEntry>> all = state().list("log/pstore", 100'000);
    if (!all.ok()) return speech_.wrong(all.error().message());
    uint64_t total = 0;
    for (auto entry = all->rbegin(); entry != all->rend(); ++entry) {
      Result<kernel::FileInfo> info = state().stat("log/pstore/" + entry->name);
      if (info.ok()) total += info->size.count;
      if (total > kMaxCrashDirectory.count) tell(state().remove_tree("log/pstore/" + entry->name));
    }
  }

  const KeptPlaces& places_;
  const Clock& clock_;
  boot::EntropyPool& pool_;
  const Speech& speech_;
};

}  // namespace

void take_up(const KeptPlaces& places, const Clock& clock, boot::EntropyPool& pool, const Speech& speech) { TakeUp(places, clock, pool, speech).run(); }

}  // namespace steppe::storage
