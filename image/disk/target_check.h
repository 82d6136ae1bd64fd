#pragma once

#include <optional>
#include <string>

#include "init/base/bytes.h"
#include "init/base/result.h"
#include "init/sys/device/block_use.h"

namespace steppe::disk {

// Whether an image may be written over a device. kInvalid: a partition, no medium, too small, read-only; kUnavailable:
// it is in use, with everything that uses it (the running root first); kDenied: `confirmed` is not confirmation().
// Every error says what to do.
Result<> check_target(const device::BlockUse& device, Bytes image, const std::optional<std::string>& confirmed);

// What one has to say to mean this device and no other: its serial number, or its size in bytes where it has none.
std::string confirmation(const device::BlockUse& device);

// "/dev/sdb: SanDisk Ultra, serial 4C53, 32.1 GB (32080200192 bytes), removable".
std::string describe(const device::BlockUse& device);

// Whether the first bytes of a file are a disk image as this builder makes them: a GPT, on a disk or a disc. kInvalid says what
// the file is instead and which one is meant.
Result<> check_disk_image(ByteView head, Bytes size);

}  // namespace steppe::disk
