#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/machine/install/plan.h"
#include "init/machine/storage/hardware.h"
#include "init/sys/kernel/mounts.h"
#include "init/upgrade/carry.h"

namespace steppe::install {

inline constexpr const char* kFatFormatter = "/usr/sbin/mkfs.fat";
inline constexpr const char* kMountedAt = "/run/steppe/install";
inline constexpr Duration kFormatLimit = std::chrono::seconds(60);

// What an installation needs beside storage::Hardware. Blocking.
class Files {
 public:
  virtual ~Files() = default;
  virtual Result<std::vector<kernel::MountEntry>> mounts() = 0;
  virtual Result<> unmount(const std::string& target) = 0;
  // With its parents; one that is there is fine.
  virtual Result<> make_directory(const std::string& path) = 0;
  virtual Result<std::unique_ptr<upgrade::SlotDirectory>> directory(const std::string& path) = 0;
};

// A file that is copied.
struct File {
  uint64_t size = 0;
  upgrade::Digest digest{};
  upgrade::ImageSource* bytes = nullptr;
};

struct Request {
  std::string disk;           // "/dev/vdb", or a link that leads to it
  bool wipe = false;
  std::string version;        // of the image: its name will be steppe-VERSION.efi
  File image, loader;
  std::string loader_name;    // "BOOTX64.EFI"
  std::string loader_settings;              // loader/loader.conf
  std::optional<std::string> configuration; // steppe.hcl
};

// All disks of the machine; the one that is meant, with who uses it. kNotFound names the disks that there are.
Result<Target> find_target(storage::Hardware& hardware, Files& files, const std::string& disk);

// Copies the image onto the disk, as order() has it. What cannot be installed to is refused before anything is written
// (check_target()); after a later failure the disk holds an installation that was cut off, and may be installed to again. `judge` says
// of the image as it lies on the disk, below kMountedAt/EFI/Linux, whether this machine may start it. `say`: one line a step.
Result<> install(storage::Hardware& hardware, Files& files, upgrade::ImageJudge& judge, const Request& request, const std::function<void(std::string_view)>& say);

}  // namespace steppe::install
