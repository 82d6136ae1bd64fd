// Rebuilds what a power cut leaves of a disk whose writes QEMU's blklogwrites recorded, and looks at each state as firmware and loader do.
//   power-states --disk RAW --log LOG --loader FILE --image VERSION=FILE [--image ...] [--stays VERSION] [--states N] [--seed S]
//                [--samples N] [--never-flushed]            looks at all, prints counts; ends with 1 when a state is bad
//   power-states ... --rebuild INDEX --out RAW              writes that state's disk instead
// RAW is the disk before the first recorded request. States: every prefix of the requests, and random subsets of those that no flush
// covers, by request and by sector. --never-flushed is the mutant: a disk that forgets what flushes say.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/text.h"
#include "tests/power/cut_states.h"
#include "tests/power/slot_check.h"
#include "tests/power/write_log.h"

namespace steppe::power {
namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "power-states: %s\n", what.c_str());
  std::exit(2);
}

std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The file's bytes, privately: what is changed in them stays in this process.
ByteSpan map_private(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || ::fstat(fd, &st) != 0 || st.st_size == 0) fail("cannot read " + path);
  void* at = ::mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
  if (at == MAP_FAILED) fail("cannot map " + path);
  ::close(fd);
  return {static_cast<std::byte*>(at), static_cast<size_t>(st.st_size)};
}

// Holes stay holes: most of a disk is empty.
void write_sparse(const std::string& path, ByteView disk) {
  constexpr size_t kPiece = 64 << 10;
  static const std::byte kZeros[kPiece] = {};
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(disk.size())) != 0) fail("cannot write " + path);
  for (size_t at = 0; at < disk.size(); at += kPiece) {
    ByteView piece = disk.subspan(at, std::min(kPiece, disk.size() - at));
    if (std::memcmp(piece.data(), kZeros, piece.size()) == 0) continue;
    if (::pwrite(fd, piece.data(), piece.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(piece.size())) fail("cannot write " + path);
  }
  ::close(fd);
}

struct Options {
  std::string disk, log, loader, out;
  std::vector<KnownImage> images;
  size_t states = 20000, samples = 0;
  uint64_t seed = 1;
  long rebuild = -1;
  Cache cache = Cache::kVolatile;
};

Options read_options(int argc, char** argv) {
  Options options;
  std::set<std::string> stays;
  for (int i = 1; i < argc; i++) {
    std::string_view name = argv[i];
    if (name == "--never-flushed") {
      options.cache = Cache::kNeverFlushed;
      continue;
    }
    if (i + 1 == argc) fail(std::string(name) + " wants a value");
    std::string value = argv[++i];
    if (name == "--disk") options.disk = value;
    else if (name == "--log") options.log = value;
    else if (name == "--loader") options.loader = slurp(value);
    else if (name == "--image") options.images.push_back({value.substr(0, value.find('=')), slurp(value.substr(value.find('=') + 1)), false});
    else if (name == "--stays") stays.insert(value);
    else if (name == "--states") options.states = std::strtoul(value.c_str(), nullptr, 10);
    else if (name == "--samples") options.samples = std::strtoul(value.c_str(), nullptr, 10);
    else if (name == "--seed") options.seed = std::strtoull(value.c_str(), nullptr, 10);
    else if (name == "--rebuild") options.rebuild = std::strtol(value.c_str(), nullptr, 10);
    else if (name == "--out") options.out = value;
    else fail("unknown option " + std::string(name));
  }
  for (KnownImage& image : options.images) image.stays = stays.contains(image.version);
  if (options.disk.empty() || options.log.empty() || options.images.empty()) fail("--disk, --log and --image are needed");
  return options;
}

struct Counts {
  size_t states = 0, distinct = 0, bad = 0, two_names = 0, lost_names = 0;
  std::map<std::string, size_t> starts;
};

void print(const Counts& counts, const std::vector<LoggedWrite>& log) {
  size_t flushes = 0, bytes = 0;
  for (const LoggedWrite& one : log) {
    flushes += one.flush;
    bytes += one.bytes.size();
  }
  std::printf("requests %zu, of them flushes %zu, bytes %zu\n", log.size(), flushes, bytes);
  std::printf("states %zu, distinct %zu, bad %zu, two names on one chain %zu, an image without its name %zu\n", counts.states, counts.distinct, counts.bad,
              counts.two_names, counts.lost_names);
  for (const auto& [name, count] : counts.starts) std::printf("  starts %-28s %zu\n", name.c_str(), count);
}

int run(int argc, char** argv) {
  Options options = read_options(argc, argv);
  std::string bytes = slurp(options.log);
  Result<std::vector<LoggedWrite>> log = read_write_log(as_bytes(bytes));
  if (!log.ok()) fail(options.log + ": " + log.error().message());
  std::vector<Cut> cuts = cuts_of(*log, options.states, options.seed, options.cache);
  CutDisk disk(map_private(options.disk), *log, options.cache);
  if (options.rebuild >= 0) {
    if (static_cast<size_t>(options.rebuild) >= cuts.size()) fail("there is no state " + std::to_string(options.rebuild));
    Result<uint64_t> made = disk.at(cuts[static_cast<size_t>(options.rebuild)], [&](ByteView state) { write_sparse(options.out, state); });
    if (!made.ok()) fail(made.error().message());
    return 0;
  }
  Counts counts;
  std::set<uint64_t> seen;
  std::vector<size_t> fresh;
  for (size_t i = 0; i < cuts.size(); i++) {
    Verdict verdict;
    Result<uint64_t> hash = disk.at(cuts[i], [&](ByteView state) { verdict = check_disk(state, options.images, options.loader); });
    if (!hash.ok()) fail(hash.error().message());
    counts.states++;
    if (seen.insert(*hash).second) fresh.push_back(i);
    counts.two_names += verdict.two_names;
    counts.lost_names += verdict.lost_name;
    if (verdict.fault.empty()) {
      counts.starts[verdict.starts]++;
    } else if (counts.bad++ < 10) {
      std::printf("bad state %zu: cut after request %zu, choice %llu: %s\n", i, cuts[i].after, static_cast<unsigned long long>(cuts[i].choice), verdict.fault.c_str());
    }
  }
  counts.distinct = seen.size();
  print(counts, *log);
  for (size_t i = 0; i < options.samples && i < fresh.size(); i++) std::printf("sample %zu\n", fresh[i * fresh.size() / std::min(options.samples, fresh.size())]);
  return counts.bad == 0 ? 0 : 1;
}

}  // namespace
}  // namespace steppe::power

int main(int argc, char** argv) { return steppe::power::run(argc, argv); }
