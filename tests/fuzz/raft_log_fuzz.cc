#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "agent/raft/engine.h"
#include "agent/raft/log.h"
#include "agent/raft/snapshot.h"
#include "init/io/scope.h"
#include "tests/sim/sim_disk.h"

namespace {

using namespace steppe;
using namespace steppe::raft;

// Knows every record for good, so that the fuzzer gets past the seal to what lies behind it.
uint32_t open_seal(uint64_t, uint64_t, std::string_view) { return 0; }

struct World {
  SeededRng rng{1};
  sim::SimLoop loop{rng};
  sim::SimDisk disk{loop, rng};
  std::unique_ptr<io::Directory> directory = disk.mount();

  void put(const std::string& name, std::string content) {
    auto inode = std::make_shared<sim::SimInode>();
    inode->content = inode->durable = std::move(content);
    disk.files()[name] = inode;
  }
  template <class T>
  T run(io::Task<T> task) {
    std::optional<T> value;
    auto wrap = [](io::Task<T> inner, std::optional<T>& out) -> io::Task<void> { out.emplace(co_await std::move(inner)); };
    io::start_root(loop, wrap(std::move(task), value), [] {});
    while (!value.has_value() && loop.turn()) {
    }
    if (!value) std::abort();
    return *std::move(value);
  }
};

void require(bool condition) {
  if (!condition) std::abort();
}

// Whatever opens is a log that takes a write and gives back both after another start.
void open_and_extend(World& world, const SnapshotPoint& point, SealFn seal) {
  const DiskLog::Settings settings{.segment = {8192}, .max_entry = {4096}, .seal = seal};
  auto opened = world.run(DiskLog::open(*world.directory, settings, point, {}));
  if (!opened.ok()) return;
  const Saved& saved = opened->saved;
  Index last = saved.snapshot.index;
  for (const Entry& entry : saved.entries) require(entry.index == ++last);
  require(saved.hard.commit <= last);
  const Term highest = std::max(saved.hard.term, saved.entries.empty() ? saved.snapshot.term : saved.entries.back().term);
  if (last > UINT64_MAX - 8 || highest > UINT64_MAX - 8) return;
  const Term term = highest + 1;
  LogBatch batch;
  batch.entries.push_back({last + 1, term, EntryType::kNormal, "more"});
  batch.hard = HardState{term, 1, saved.hard.commit};
  require(world.run(opened->log->write(batch)).ok());
  auto again = world.run(DiskLog::open(*world.directory, settings, point, {}));
  if (!again.ok()) std::abort();
  require(again->saved.entries.size() == saved.entries.size() + 1 && again->saved.entries.back().data == "more");
  require(again->saved.hard.term == term);
  (void)Engine::create({.id = 1}, saved);
}

}  // namespace

// The first byte chooses: one segment under the true seal; one or two under a seal that passes all; a
// snapshot file. Nothing may crash, and memory stays within what the input is worth.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t mode = data[0] % 4;
  std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  World world;
  if (mode == 3) {
    const std::string name = SnapshotName{5, 2}.text();
    world.put(name, std::move(bytes));
    (void)world.run(find_newest_snapshot(*world.directory));
    return 0;
  }
  const SealFn seal = mode == 0 ? &position_seal : &open_seal;
  (void)scan_segment(1, bytes, std::nullopt, seal);
  const size_t half = mode == 2 ? bytes.size() / 2 : bytes.size();
  for (size_t at = 0, number = 1; at < bytes.size(); at += half, ++number) {
    std::string segment = bytes.substr(at, half);
    segment.resize(8192);
    world.put("log-000000000000000" + std::to_string(number) + ".seg", std::move(segment));
    if (number == 2) break;
  }
  open_and_extend(world, mode == 2 ? SnapshotPoint{3, 1, {.voters = {1}}} : SnapshotPoint{}, seal);
  return 0;
}
