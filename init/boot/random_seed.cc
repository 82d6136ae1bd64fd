#include "init/boot/random_seed.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "init/sys/kernel/fd.h"

namespace steppe::boot {
namespace {

constexpr std::string_view kMagic = "STPSEED1";
constexpr uint32_t kCounts = 1;
constexpr int kCountedBits = 256;
constexpr size_t kFlagsAt = 8, kMachineAt = 12, kBytesAt = 16, kSumAt = 80;
#ifndef GRND_INSECURE
constexpr unsigned GRND_INSECURE = 4;
#endif

class KernelPool final : public EntropyPool {
 public:
  Result<> add(ByteView bytes, int bits) override {
    // struct rand_pool_info: bits, size, bytes.
    alignas(rand_pool_info) std::byte request[sizeof(rand_pool_info) + Seed::kBytes] = {};
    if (bytes.size() > Seed::kBytes) return {Code::kInvalid, "more than a seed"};
    store_le<int>(request, bits);
    store_le<int>(request + sizeof bits, static_cast<int>(bytes.size()));
    std::memcpy(request + sizeof(rand_pool_info), bytes.data(), bytes.size());
    kernel::Fd device(::open("/dev/urandom", O_RDWR | O_CLOEXEC));
    if (!device.valid() || ::ioctl(device.get(), RNDADDENTROPY, request) != 0) return Error::from_errno(errno, "give the kernel a random seed");
    return {};
  }
  bool fill(ByteSpan out) override {
    if (::getrandom(out.data(), out.size(), GRND_NONBLOCK) == static_cast<ssize_t>(out.size())) return true;
    (void)!::getrandom(out.data(), out.size(), GRND_INSECURE);
    return false;
  }
};

Result<> put(const kernel::Fd& file, const Seed& seed) {
  const std::string bytes = encode_seed(seed);
  // In place, within one sector: it is the old or the new one, and a full disk has the room for it.
  if (::pwrite(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return Error::from_errno(errno, "write the random seed");
  if (::fdatasync(file.get()) != 0) return Error::from_errno(errno, "write the random seed out");
  return {};
}

Result<kernel::Fd> open_seed(int state) {
  kernel::Fd file(::openat(state, "seed", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.valid()) return Error::from_errno(errno, "open the random seed");
  return file;
}

}  // namespace

EntropyPool& kernel_pool() {
  static KernelPool pool;
  return pool;
}

std::string encode_seed(const Seed& seed) {
  std::string out(Seed::kFileBytes, '\0');
  std::ranges::copy(kMagic, out.begin());
  store_le<uint32_t>(out.data() + kFlagsAt, seed.counts ? kCounts : 0);
  store_le<uint32_t>(out.data() + kMachineAt, seed.machine);
  std::memcpy(out.data() + kBytesAt, seed.bytes, Seed::kBytes);
  store_le<uint32_t>(out.data() + kSumAt, crc32c(as_bytes(std::string_view(out).substr(0, kSumAt))));
  return out;
}

Result<Seed> decode_seed(std::string_view file) {
  if (file.size() != Seed::kFileBytes || !file.starts_with(kMagic)) return {Code::kCorrupt, "no random seed"};
  if (load_le<uint32_t>(file.data() + kSumAt) != crc32c(as_bytes(file.substr(0, kSumAt)))) return {Code::kCorrupt, "the random seed does not have its checksum"};
  Seed seed;
  seed.counts = (load_le<uint32_t>(file.data() + kFlagsAt) & kCounts) != 0;
  seed.machine = load_le<uint32_t>(file.data() + kMachineAt);
  std::memcpy(seed.bytes, file.data() + kBytesAt, Seed::kBytes);
  return seed;
}

uint32_t machine_mark(const char* uuid_file) {
  char text[64] = {};
  kernel::Fd file(::open(uuid_file, O_RDONLY | O_CLOEXEC));
  const ssize_t size = file.valid() ? ::read(file.get(), text, sizeof text - 1) : -1;
  std::string_view uuid(text, size > 0 ? static_cast<size_t>(size) : 0);
  while (!uuid.empty() && uuid.back() == '\n') uuid.remove_suffix(1);
  auto only = [&](char digit) { return std::ranges::all_of(uuid, [&](char c) { return c == digit || c == '-'; }); };
  if (uuid.size() < 32 || only('0') || only('f') || only('F')) return 0;
  return crc32c(as_bytes(uuid));
}

Result<SeedUse> take_seed(int state, uint32_t machine, EntropyPool& pool) {
  Result<kernel::Fd> file = open_seed(state);
  if (!file.ok()) return std::move(file).error();
  char bytes[Seed::kFileBytes + 1];
  const ssize_t size = ::pread(file->get(), bytes, sizeof bytes, 0);
  Result<Seed> old = decode_seed({bytes, size > 0 ? static_cast<size_t>(size) : 0});
  if (old.ok()) (void)pool.add(old->bytes, 0);
  Seed next{.machine = machine};
  const bool good = pool.fill(next.bytes);
  // Not initialised: what it gives may be the same at every start, but not together with a seed that was not.
  for (size_t i = 0; !good && old.ok() && i < Seed::kBytes; ++i) next.bytes[i] ^= old->bytes[Seed::kBytes - 1 - i];
  if (size > static_cast<ssize_t>(Seed::kFileBytes)) (void)!::ftruncate(file->get(), Seed::kFileBytes);
  STEPPE_TRY_VOID(put(*file, next));
  if (!old.ok()) return SeedUse::kNone;
  if (!old->counts || machine == 0 || old->machine != machine) return SeedUse::kMixed;
  STEPPE_TRY_VOID(pool.add(old->bytes, kCountedBits));
  return SeedUse::kCounted;
}

Result<> leave_seed(int state, uint32_t machine, EntropyPool& pool) {
  STEPPE_TRY(kernel::Fd file, open_seed(state));
  Seed seed{.machine = machine};
  seed.counts = pool.fill(seed.bytes);
  return put(file, seed);
}

}  // namespace steppe::boot
