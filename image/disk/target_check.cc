#include "image/disk/target_check.h"

#include <format>
#include <string_view>

#include "image/disk/device_write.h"
#include "init/base/text.h"

namespace steppe::disk {
namespace {

Error refuse(Code code, const device::BlockUse& device, std::string_view why) {
  return Error(code, std::format("/dev/{} {}", device.name, why));
}

// What a device says of itself, without control characters.
std::string shown(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

bool starts_at(ByteView bytes, size_t offset, std::string_view text) {
  return bytes.size() >= offset + text.size() && as_text(bytes.subspan(offset, text.size())) == text;
}

}  // namespace

std::string confirmation(const device::BlockUse& device) {
  return device.serial.empty() ? std::to_string(device.bytes) : device.serial;
}

std::string describe(const device::BlockUse& device) {
  return std::format("/dev/{}: {}, {}, {:.1f} GB ({} bytes){}", device.name,
                     device.model.empty() ? "no model" : shown(device.model),
                     device.serial.empty() ? "no serial number" : "serial " + shown(device.serial),
                     static_cast<double>(device.bytes) / 1e9, device.bytes, device.removable ? ", removable" : "");
}

Result<> check_target(const device::BlockUse& device, Bytes image, const std::optional<std::string>& confirmed) {
  if (!device.disk.empty())
    return refuse(Code::kInvalid, device,
                  std::format("is a partition of /dev/{0}: the image has partitions of its own and takes a whole disk; "
                              "name /dev/{0} if that is the one",
                              device.disk));
  if (device.bytes == 0) return refuse(Code::kInvalid, device, "has no medium in it");
  if (device.has_root)
    return refuse(Code::kUnavailable, device,
                  std::format("holds the root of the running system ({}): it is never written", join(device.uses, "; ")));
  if (!device.uses.empty())
    return refuse(Code::kUnavailable, device,
                  std::format("is in use: {}. Unmount and stop all of it first", join(device.uses, "; ")));
  if (device.read_only) return refuse(Code::kInvalid, device, "is read-only: a switch on it, or another device");
  if (device.bytes < image.count)
    return refuse(Code::kInvalid, device,
                  std::format("has {} bytes, the image {}: take a larger device, or build the image with a smaller -disk",
                              device.bytes, image.count));
  const std::string wanted = confirmation(device);
  if (!confirmed)
    return Error(Code::kDenied, std::format("{}. All that is on it would be lost. If it is the one, say so with -yes {}",
                                            describe(device), wanted));
  if (*confirmed != wanted)
    return Error(Code::kDenied, std::format("-yes {}: {}. That is another device than the one you mean, or say -yes {}",
                                            shown(*confirmed), describe(device), wanted));
  return {};
}

Result<> check_disk_image(ByteView head, Bytes size) {
  const auto not_one = [](std::string_view what) {
    return Error(Code::kInvalid, std::format("{}: what goes on a device is the disk image (.raw, build it with -disk "
                                             "SIZE) or the disc (.iso)",
                                             what));
  };
  if (starts_at(head, 0, "QFI\xfb")) return not_one("this is a qcow2");
  if (starts_at(head, 0, "MZ")) return not_one("this is the image alone, which firmware does not start from a device's first byte");
  if (!starts_at(head, 512, "EFI PART")) return not_one("there is no partition table in this file");
  if (size.count < kHead.count) return not_one("this file is shorter than a MiB");
  return {};
}

}  // namespace steppe::disk
