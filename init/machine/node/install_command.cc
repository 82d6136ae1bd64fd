#include "init/machine/node/install_command.h"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <format>
#include <optional>

#include "init/json/writer.h"
#include "init/machine/install/install.h"
#include "init/machine/install/reset.h"
#include "init/machine/layout.h"
#include "init/machine/node/machine_hardware.h"
#include "init/sys/fat/mounted_directory.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/host_file.h"
#include "init/upgrade/esp/machine_slots.h"

namespace steppe::node {
namespace {

constexpr Bytes kMaxConfiguration = Bytes::kib(256);
constexpr std::string_view kLoaderSettings = "timeout 0\neditor no\nauto-entries no\nauto-firmware yes\n";  // where the medium has none

void say(std::string_view text) {
  // One write a line: PID 1's log takes them from several programs.
  const std::string line = std::format("[INFO] install: {}\n", text);
  (void)!::write(2, line.data(), line.size());
}

void print(const std::string& text) {
  std::fprintf(stdout, "%s\n", text.c_str());
  std::fflush(stdout);
}

int answer(const Result<std::string>& done) {
  std::string text;
  json::Writer writer(&text);
  writer.begin_object();
  if (done.ok()) {
    writer.key("Summary"), writer.text(*done);
    writer.key("Reboot"), writer.text("firmware");
  } else {
    writer.key("Error");
    writer.begin_object();
    writer.key("Code"), writer.text(code_name(done.error().code()));
    writer.key("Message"), writer.text(done.error().message());
    writer.end_object();
  }
  writer.end_object();
  print(text);
  return done.ok() ? 0 : 1;
}

class MachineFiles final : public install::Files {
 public:
  Result<std::vector<kernel::MountEntry>> mounts() override { return kernel::read_mountinfo(); }
  Result<> unmount(const std::string& target) override {
    if (::umount2(target.c_str(), UMOUNT_NOFOLLOW) != 0) return Error::from_errno(errno, "unmount " + target);
    return {};
  }
  Result<> make_directory(const std::string& path) override {
    STEPPE_TRY(const kernel::Beneath top, kernel::Beneath::at("/", kernel::Beneath::Links::kFollow));
    return top.make_directories(path.substr(1), 0700);
  }
  Result<std::unique_ptr<upgrade::SlotDirectory>> directory(const std::string& path) override {
    STEPPE_TRY(fat::MountedDirectory opened, fat::MountedDirectory::open(path, {}));
    return std::unique_ptr<upgrade::SlotDirectory>(std::make_unique<fat::MountedDirectory>(std::move(opened)));
  }
};

struct Asked {
  std::string disk;
  bool wipe = false, no_config = false;
  std::string image, loader, config;
};

std::optional<Asked> read_words(const std::vector<std::string>& words) {
  Asked asked;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    std::string* takes = word == "-image" ? &asked.image : word == "-loader" ? &asked.loader : word == "-config" ? &asked.config : nullptr;
    if (takes) {
      if (++i == words.size() || !words[i].starts_with('/')) return std::nullopt;
      *takes = words[i];
    } else if (word == "-wipe") {
      asked.wipe = true;
    } else if (word == "-no-config") {
      asked.no_config = true;
    } else if (word.starts_with("/dev/") && asked.disk.empty()) {
      asked.disk = word;
    } else {
      return std::nullopt;
    }
  }
  if (asked.disk.empty() || (asked.no_config && !asked.config.empty())) return std::nullopt;
  return asked;
}

struct Image {
  std::string path, version;
};

// The file on the medium that runs: its manifest is the one that PID 1 kept.
Result<Image> running_image(const esp::Places& places, const upgrade::Digest& section) {
  std::vector<std::string> problems;
  STEPPE_TRY(esp::MachineSlots slots, esp::MachineSlots::open(places, problems).wrap("the image that runs, of which a copy shall be installed, cannot be found: name one with -image"));
  STEPPE_TRY(const upgrade::Facts facts, slots.survey());
  for (const upgrade::SlotFile& file : facts.files) {
    if (file.manifest && file.section == section) return Image{std::format("{}/{}/{}", places.efi, machine::kImageDirectory, file.name), file.manifest->version};
  }
  return Error(Code::kNotFound, std::format("the image that runs is not among the {} files in {}/{}: name one with -image", facts.files.size(), places.efi, machine::kImageDirectory));
}

Result<std::optional<std::string>> configuration(const Asked& asked, const esp::Places& places) {
  if (asked.no_config) return std::optional<std::string>();
  const std::string path = asked.config.empty() ? std::format("{}/{}", places.efi, machine::kConfigFile) : asked.config;
  Result<std::string> text = kernel::read_host_file(path, kMaxConfiguration);
  if (text.ok()) return std::optional(*std::move(text));
  if (asked.config.empty() && text.error().code() == Code::kNotFound) return std::optional<std::string>();
  return std::move(text).error();
}

Result<install::File> file_of(esp::ImageFile& source) {
  STEPPE_TRY(const upgrade::Digest digest, source.digest());
  return install::File{source.size(), digest, &source};
}

Result<std::string> run_install(const Asked& asked) {
  const esp::Places places;
  STEPPE_TRY(const esp::RunningImage running, esp::read_running(places.manifest).wrap("what runs here is not known, so this is no machine of an image"));
  std::vector<std::string> problems;
  const verify::Requirements wanted{.keys = esp::read_keys(places.keys, problems), .arch = running.manifest.arch, .security_floor = 0};
  for (const std::string& problem : problems) say(problem);
  Image image{asked.image, ""};
  if (asked.image.empty()) {
    STEPPE_TRY(image, running_image(places, running.section));
  } else {
    const esp::ConfinedJudge judge("", wanted);
    STEPPE_TRY_VOID(judge.require_keys());
    STEPPE_TRY(const verify::Fit fit, judge.judge_file(asked.image));
    image.version = fit.manifest.version;
  }
  const std::string_view standard = running.manifest.arch == "arm64" ? machine::kLoaderArm64 : machine::kLoaderX64;
  const std::string loader_path = asked.loader.empty() ? std::format("{}/{}", places.efi, standard) : asked.loader;
  Result<esp::ImageFile> loader = esp::ImageFile::open(loader_path);
  if (!loader.ok()) return std::move(loader).error().wrap("the boot loader, which an image does not hold and which comes from the medium that the machine was started from: name one with -loader");
  STEPPE_TRY(esp::ImageFile source, esp::ImageFile::open(image.path));
  install::Request request{.disk = asked.disk, .wipe = asked.wipe, .version = image.version, .image = {}, .loader = {}, .loader_name = std::string(standard.substr(standard.rfind('/') + 1)),
                           .loader_settings = std::string(kLoaderSettings), .configuration = {}};
  STEPPE_TRY(request.image, file_of(source));
  STEPPE_TRY(request.loader, file_of(*loader));
  if (Result<std::string> settings = kernel::read_host_file(places.efi + "/loader/loader.conf", Bytes::kib(16)); settings.ok()) request.loader_settings = *std::move(settings);
  STEPPE_TRY(request.configuration, configuration(asked, places));
  STEPPE_TRY(const std::unique_ptr<MachineHardware> hardware, MachineHardware::create());
  MachineFiles files;
  esp::ConfinedJudge judge(std::format("{}/{}", install::kMountedAt, machine::kImageDirectory), wanted);
  STEPPE_TRY_VOID(install::install(*hardware, files, judge, request, say));
  return std::format("{} is installed on {}{}: it can be started from there", upgrade::slot_file_name({.version = image.version, .counter = {}}), asked.disk,
                     request.configuration ? " with its configuration" : "");
}

}  // namespace

int install_command(const std::vector<std::string>& words) {
  const std::optional<Asked> asked = read_words(words);
  if (!asked) {
    std::fprintf(stderr, "steppe-node: install: the words are /dev/DISK [-wipe] [-image FILE] [-loader FILE] [-config FILE | -no-config]; files by absolute paths\n");
    return 2;
  }
  return answer(run_install(*asked));
}

int reset_command(const std::vector<std::string>& words) {
  const bool keep = words == std::vector<std::string>{"-keep-config"};
  if (!words.empty() && !keep) {
    std::fprintf(stderr, "steppe-node: reset: the one word is -keep-config\n");
    return 2;
  }
  Result<std::string> done = [&]() -> Result<std::string> {
    STEPPE_TRY(const std::unique_ptr<MachineHardware> hardware, MachineHardware::create());
    STEPPE_TRY(const std::vector<kernel::MountEntry> mounts, kernel::read_mountinfo());
    STEPPE_TRY(const std::string names, install::mark_for_reset(*hardware, mounts, keep ? install::Keep::kConfiguration : install::Keep::kNothing));
    return std::format("the next start makes {} new{}; until then everything is as it was", names, keep ? " and keeps the configuration" : "");
  }();
  return answer(done);
}

}  // namespace steppe::node
