#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "init/sys/fat/mounted_directory.h"
#include "init/upgrade/esp/boot_facts.h"
#include "init/upgrade/esp/confined_judge.h"
#include "init/upgrade/extension/files.h"
#include "init/upgrade/extension/states.h"
#include "init/upgrade/plan.h"

namespace steppe::esp {

// Where this machine has what its slots are made of.
struct Places {
  std::string efi = "/efi";                                 // the mounted ESP
  std::string manifest = "/run/steppe/manifest";            // of the running image, kept by PID 1
  std::string efivars = "/sys/firmware/efi/efivars";
  std::vector<std::string> keys = {"/usr/share/steppe/keys", "/run/steppe/keys"};
  std::string lock = "/run/steppe/slots.lock";
  std::string extension_states = extension::kStatesFile;    // how those of the running image are
  std::vector<std::string> extensions = extension::kDirectories;  // where those of the next one must be
};

// Whether names alone say that recover() has something to do: two for one version, a leftover, an empty image, one whose trial
// failed. Pure, and cheap: images are not read.
bool needs_recovery(const std::vector<upgrade::DirectoryEntry>& entries);
// The name of the running image when the loader counted this start of it: STEPPE-VERSION with tries gone. Pure.
std::optional<std::string> running_trial(const std::vector<upgrade::DirectoryEntry>& entries, std::string_view running_version);

// Takes one of two names for an image away: unmounts the ESP, which only works while nothing uses it, changes the directory on
// the device, and mounts it again as it was. After an error that says so the ESP is not mounted any more.
Result<> forget_unmounted(const std::string& efi, const std::string& name);

// The slots of the machine that runs. Holds their lock while it lives: kUnavailable when another process has it. Blocking.
class MachineSlots {
 public:
  // kNotFound: no ESP is mounted, so this machine has no slots (started over the network, or from a medium without).
  static Result<MachineSlots> open(const Places& places, std::vector<std::string>& problems);

  Result<std::vector<upgrade::DirectoryEntry>> names() { return images_->list(); }
  // Reads every image through.
  Result<upgrade::Facts> survey();
  Result<> carry_out(const upgrade::Plan& plan, upgrade::ImageSource* source);
  // The file, judged as an image that this machine may start. kDenied without keys.
  Result<upgrade::Candidate> judge_new(const std::string& path, uint64_t security_floor) const;

 private:
  MachineSlots(Places places, kernel::Fd lock) : places_(std::move(places)), lock_(std::move(lock)) {}

  Places places_;
  kernel::Fd lock_;
  std::unique_ptr<fat::MountedDirectory> images_;  // the record lies there, too
  verify::MachineKeys keys_;
  std::unique_ptr<ConfinedJudge> judge_;
};

// An image file to stage from.
class ImageFile final : public upgrade::ImageSource {
 public:
  static Result<ImageFile> open(const std::string& path);
  Result<size_t> read(uint64_t offset, ByteSpan into) override;
  uint64_t size() const { return size_; }
  Result<upgrade::Digest> digest();

 private:
  ImageFile(kernel::Fd file, uint64_t size) : file_(std::move(file)), size_(size) {}
  kernel::Fd file_;
  uint64_t size_;
};

}  // namespace steppe::esp
