#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::boot {

// The kernel's generator, as the seed needs it. random(4).
class EntropyPool {
 public:
  virtual ~EntropyPool() = default;
  // Mixes bytes in and counts `bits` of them as unknown to anybody.
  virtual Result<> add(ByteView bytes, int bits) = 0;
  // Bytes from it. False: it is not initialised yet, and they may be guessed. Does not wait.
  virtual bool fill(ByteSpan out) = 0;
};
EntropyPool& kernel_pool();

// The seed of a machine's own generator, kept in the file `seed` of its state directory:
//
//   8 bytes "STPSEED1"; u32 flags (1: may be counted); u32 machine; 64 bytes; u32 CRC-32C of all before. Little-endian.
//
// It is counted as unknown (256 bits) only when all of this holds, else it is mixed in and counts as nothing: it was written at the orderly end
// of this very machine (`machine`, of the firmware's UUID: a copy of the disk has another), from a generator that was initialised, and it is
// overwritten on the disk before it is used. So no seed is counted twice, whatever is cut off when; a snapshot of the disk that is
// restored on the same machine is the one case that cannot be told, which VM generation ids are for.
struct Seed {
  static constexpr size_t kBytes = 64, kFileBytes = 84;
  bool counts = false;
  uint32_t machine = 0;
  std::byte bytes[kBytes] = {};
};
std::string encode_seed(const Seed& seed);
// kCorrupt for anything that is not whole. Pure.
Result<Seed> decode_seed(std::string_view file);

// Of the firmware's UUID; 0 when there is none, or one that says nothing. Reads /sys.
uint32_t machine_mark(const char* uuid_file = "/sys/class/dmi/id/product_uuid");

enum class SeedUse : uint8_t { kNone, kMixed, kCounted };
// At boot: takes the seed, overwrites it, uses it. A state directory without one gets one. The error says why no new one could be
// written; what there was is mixed in then, and not counted.
Result<SeedUse> take_seed(int state, uint32_t machine, EntropyPool& pool);
// At an orderly end: one that may be counted next time.
Result<> leave_seed(int state, uint32_t machine, EntropyPool& pool);

}  // namespace steppe::boot
