#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::disk {

// A disk image where it lies, and a device that it goes to. Blocking; one thread.
class Source {
 public:
  virtual ~Source() = default;
  virtual uint64_t bytes() const = 0;
  virtual Result<> read(uint64_t offset, ByteSpan into) = 0;  // all of it, or an error
};
class Target : public Source {
 public:
  virtual Result<> write(uint64_t offset, ByteView from) = 0;  // all of it, or an error
  // What was written is on the device, and the next read comes from there.
  virtual Result<> flush() = 0;
};

struct Progress {
  enum class Phase : uint8_t { kWrite, kReadBack } phase = Phase::kWrite;
  uint64_t done = 0, total = 0;  // bytes
};

inline constexpr Bytes kHead = Bytes::mib(1);  // before the first partition: both partition tables' place on a disk

// Writes the whole image and reads it back. First the places of the old partition tables, at the start and the end of
// the device, are zeroed; then all behind the first MiB is written, and that last of all. So a device that was left at
// any moment before has no partition table, and no firmware starts half an image. What was written is read back and
// compared by SHA-256, piece by piece; where it differs (a stick that lies about its size, a broken one), the start is
// zeroed again. Every error says in which state the device is. Gives the image's SHA-256, 64 hexadecimal digits.
// Requires an image of at least one MiB that is not longer than the device.
Result<std::string> write_device(Source& image, Target& device, const std::function<void(const Progress&)>& progress);

}  // namespace steppe::disk
