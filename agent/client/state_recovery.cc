#include "agent/client/state_recovery.h"

#include <algorithm>
#include <format>
#include <map>

#include "init/base/text.h"
#include "init/io/posix_disk.h"
#include "init/io/wait.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/process.h"

namespace steppe::client {
namespace {

constexpr const char* kFile = "data.mdb";
constexpr const char* kFresh = "data.mdb.fresh";
constexpr const char* kIdentity = "identity";
constexpr std::string_view kKeptPrefix = "data.mdb.damaged-";
constexpr int kOutput = 3;
// Twice: the records, and their sizes.
constexpr Bytes kMaxReading{2 * kMaxStateBytes};

// A record on the way: both sizes, key, value. An empty key is the last word; its value is the complaint.
std::string encode_record(std::string_view key, std::string_view value) {
  std::string out(8, '\0');
  auto* at = reinterpret_cast<std::byte*>(out.data());
  store_le<uint32_t>(at, static_cast<uint32_t>(key.size()));
  store_le<uint32_t>(at + 4, static_cast<uint32_t>(value.size()));
  out.append(key).append(value);
  return out;
}

}  // namespace

StateReading decode_reading(ByteView bytes) {
  StateReading out;
  while (bytes.size() >= 8) {
    uint64_t key = load_le<uint32_t>(bytes.data()), value = load_le<uint32_t>(bytes.data() + 4);
    if (bytes.size() - 8 < key + value) break;  // the child died inside this one
    std::string_view text = as_text(bytes.subspan(8, key + value));
    if (key == 0) {
      out.complete = true;
      out.complaint = text;
      break;
    }
    out.records.emplace_back(text.substr(0, key), text.substr(key));
    bytes = bytes.subspan(8 + key + value);
  }
  return out;
}

int run_state_read(const std::vector<std::string>& words) {
  if (words.size() < 2) return 2;
  kernel::Fd out(kOutput);
  auto say = [&out](std::string_view key, std::string_view value) { return kernel::write_all(out, "records", as_bytes(encode_record(key, value))); };
  Direction direction = words[words.size() - 2] == "backward" ? Direction::kBackward : Direction::kForward;
  Result<> read = read_state_file(words.back(), direction, say);
  Result<> told = say("", read.ok() ? "" : read.error().message());
  return read.ok() && told.ok() ? 0 : 1;
}

namespace {

// One reading by one child, however it ends. An error: there was no child.
io::Task<Result<StateReading>> read_in_child(io::Loop& loop, io::Processes& processes, const StateReader& reader, Direction direction, std::string directory) {
  STEPPE_CO_TRY(kernel::Fd memory, kernel::memory_file("client-state"));
  io::SpawnOptions options;
  options.program = reader.program;
  options.arguments = reader.arguments;
  options.arguments.insert(options.arguments.end(), {direction == Direction::kForward ? "forward" : "backward", directory});
  options.descriptors = {{memory.get(), kOutput}};
  STEPPE_CO_TRY(std::unique_ptr<io::Child> child, processes.spawn(options));
  Result<io::ExitStatus> exit = co_await child->wait(io::Deadline::in(loop, reader.limit));
  child.reset();  // kills it when it still runs
  Result<std::string> told = kernel::read_all(memory, "client-state", kMaxReading);
  StateReading out = told.ok() ? decode_reading(as_bytes(*told)) : StateReading{};
  if (!exit.ok()) {
    out.complete = false;
    out.complaint = std::format("reading it does not end within {} s", std::chrono::duration_cast<std::chrono::seconds>(reader.limit).count());
  } else if (exit->signal != 0) {
    out.complete = false;
    out.complaint = std::format("reading it crashed with signal {}", exit->signal);
  } else if (!out.complete) {
    out.complaint = std::format("reading it ended with code {}", exit->code);
  }
  co_return out;
}

// What both ends of the file yield, and what was wrong with it.
struct Salvage {
  std::map<std::string, std::string> records;
  std::vector<std::string> damage;
};

io::Task<Result<Salvage>> salvage(io::Loop& loop, io::Processes& processes, const StateReader& reader, std::string directory) {
  Salvage out;
  for (Direction direction : {Direction::kForward, Direction::kBackward}) {
    STEPPE_CO_TRY(StateReading reading, co_await read_in_child(loop, processes, reader, direction, directory));
    for (StateRecord& record : reading.records) out.records.insert(std::move(record));
    if (reading.complete && reading.complaint.empty()) co_return out;
    if (std::ranges::find(out.damage, reading.complaint) == out.damage.end()) out.damage.push_back(std::move(reading.complaint));
  }
  co_return out;
}

bool has(const std::vector<io::Directory::Entry>& entries, std::string_view name) {
  return std::ranges::any_of(entries, [&](const io::Directory::Entry& entry) { return entry.name == name; });
}

// Moves what is there out of the way, and of those moved before keeps the newest.
io::Task<Result<std::string>> set_aside(io::Loop& loop, io::Directory& directory, const std::vector<io::Directory::Entry>& entries) {
  std::vector<std::string> kept;  // by age: the names end in numbers of equal length
  for (const io::Directory::Entry& entry : entries) {
    if (entry.name.starts_with(kKeptPrefix) && !entry.directory) kept.push_back(entry.name);
  }
  for (size_t i = 0; i + kKeptDamaged <= kept.size(); ++i) STEPPE_CO_TRY_VOID(co_await directory.remove(kept[i]));
  std::string name = std::format("{}{:019}", kKeptPrefix, loop.wall().unix_ns);
  STEPPE_CO_TRY_VOID(co_await directory.rename(kFile, name));
  co_return name;
}

io::Task<Result<>> remove_if_there(io::Directory& directory, const std::vector<io::Directory::Entry>& entries, std::string name) {
  if (!has(entries, name)) co_return Result<>();
  co_return co_await directory.remove(name);
}

io::Task<Result<>> make_fresh(io::Loop& loop, std::string path, std::map<std::string, std::string> records) {
  auto work = [path, records = std::move(records)]() {
    return make_state_file(path, std::vector<StateRecord>(records.begin(), records.end()));
  };
  co_return co_await io::run_blocking(loop, std::move(work));
}

// data.mdb is replaced by a new file with what can be read of it.
io::Task<Result<>> renew(io::Loop& loop, io::Processes& processes, StateReader reader, std::string directory, io::Directory& files,
                         const std::vector<io::Directory::Entry>& entries, OpenedState& out) {
  const std::string lock = std::string(kFresh) + "-lock";
  STEPPE_CO_TRY_VOID(co_await remove_if_there(files, entries, kFresh));
  STEPPE_CO_TRY_VOID(co_await remove_if_there(files, entries, lock));
  STEPPE_CO_TRY(Salvage found, co_await salvage(loop, processes, reader, directory));
  for (const auto& [key, value] : found.records) {
    if (Result<> good = check_record(key, value); !good.ok()) found.damage.push_back(std::format("{}: {}", key, good.error().message()));
  }
  out.damage = std::move(found.damage);
  STEPPE_CO_TRY_VOID(co_await make_fresh(loop, directory + "/" + kFresh, std::move(found.records)));
  if (!out.damage.empty()) {
    STEPPE_CO_TRY(out.kept_as, co_await set_aside(loop, files, entries));
  }
  STEPPE_CO_TRY_VOID(co_await files.rename(kFresh, kFile));
  STEPPE_CO_TRY_VOID(co_await remove_if_there(files, entries, "lock.mdb"));
  co_return co_await files.sync();
}

}  // namespace

io::Task<Result<OpenedState>> open_state(io::Loop& loop, io::Processes& processes, StateReader reader, std::string directory) {
  STEPPE_CO_TRY(std::unique_ptr<io::Directory> files, io::open_posix_directory(loop, directory, io::DiskCalls::kOnPool));
  STEPPE_CO_TRY(std::vector<io::Directory::Entry> entries, co_await files->list());
  OpenedState out;
  if (!has(entries, kFile) && has(entries, kFresh)) {
    STEPPE_CO_TRY_VOID(co_await files->rename(kFresh, kFile));
    STEPPE_CO_TRY(entries, co_await files->list());
  }
  if (has(entries, kFile)) {
    Result<> renewed = co_await renew(loop, processes, std::move(reader), directory, *files, entries, out);
    // No process, no memory, no space: the file is taken as it is, which is good nearly always.
    if (!renewed.ok() && out.damage.empty()) out.unchecked = renewed.error().message();
    else if (!renewed.ok()) co_return std::move(renewed).error();
  }
  auto open = [directory] { return StateStore::open(directory); };
  STEPPE_CO_TRY(out.store, co_await io::run_blocking(loop, std::move(open)));
  co_return out;
}

io::Task<Result<std::optional<NodeIdentity>>> find_identity(io::Loop& loop, StateStore& store, std::string directory) {
  STEPPE_CO_TRY(std::unique_ptr<io::Directory> files, io::open_posix_directory(loop, directory, io::DiskCalls::kOnPool));
  auto read = [&store] { return store.node(); };
  Result<std::optional<NodeIdentity>> stored = co_await io::run_blocking(loop, std::move(read));
  Result<std::string> bytes = co_await io::read_file(*files, kIdentity, Bytes::kib(4));
  Result<NodeIdentity> copy = bytes.ok() ? decode_node(as_bytes(*bytes)) : Result<NodeIdentity>(bytes.error());
  if (stored.ok() && *stored) {
    if (!copy.ok()) STEPPE_CO_TRY_VOID(co_await io::replace_file(*files, kIdentity, encode_node(**stored)));
    co_return *stored;
  }
  if (!copy.ok()) co_return std::optional<NodeIdentity>();
  std::vector<StateWrite> writes{StateWrite::node(*copy)};
  auto write = [&store, writes] { return store.write(writes); };
  STEPPE_CO_TRY_VOID(co_await io::run_blocking(loop, std::move(write)));
  co_return std::optional(*std::move(copy));
}

io::Task<Result<>> keep_identity(io::Loop& loop, StateStore& store, std::string directory, NodeIdentity identity) {
  STEPPE_CO_TRY(std::unique_ptr<io::Directory> files, io::open_posix_directory(loop, directory, io::DiskCalls::kOnPool));
  STEPPE_CO_TRY_VOID(co_await io::replace_file(*files, kIdentity, encode_node(identity)));
  std::vector<StateWrite> writes{StateWrite::node(identity)};
  auto write = [&store, writes] { return store.write(writes); };
  co_return co_await io::run_blocking(loop, std::move(write));
}

}  // namespace steppe::client
