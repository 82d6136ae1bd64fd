#include "image/build/iso_image.h"

#include <chrono>
#include <format>

#include "image/disk/layout.h"
#include "image/sign/key.h"
#include "init/machine/layout.h"

namespace steppe::build {
namespace {

constexpr std::string_view kEspName = "esp.img";
constexpr std::string_view kReadmeName = "README.TXT";

// "2026112100000000": year to hundredths of a second, UTC, as xorriso takes
// times.
std::string iso_time(int64_t unix_s) {
  const std::chrono::sys_seconds time{std::chrono::seconds(unix_s)};
  return std::format("{:%Y%m%d%H%M%S}00", time);
}

std::string readme(const spec::Spec& spec) {
  return std::format(
      "{} {} for {}\n\n"
      "This medium starts under UEFI firmware, from a drive or copied whole to a stick. {} is a FAT\n"
      "file system; all of the operating system is the one signed file in it.\n",
      spec.image.name, spec.image.version, spec::architecture_name(spec.image.architecture), kEspName);
}

}  // namespace

Result<> make_iso_image(const spec::Spec& spec, const std::string& image_path, std::string_view image,
                        const std::string& path, const std::string& scratch, Workbench& bench) {
  STEPPE_TRY(const kernel::Beneath work, open_directory(scratch));
  STEPPE_TRY(const disk::FileSystem esp, disk::make_file_system(Bytes{image.size()}, sign::sha256(as_bytes(image))));
  const std::string tree = scratch + "/iso", fat = std::format("{}/{}", tree, kEspName), made = scratch + "/made.iso";
  STEPPE_TRY_VOID(work.remove_tree("iso"));
  STEPPE_TRY_VOID(work.remove_tree("made.iso"));
  STEPPE_TRY_VOID(work.make_directories("iso", 0755));
  STEPPE_TRY_VOID(work.write(std::format("iso/{}", kReadmeName), as_bytes(readme(spec)), 0644));
  const std::vector<std::string> fixed = {std::format("SOURCE_DATE_EPOCH={}", spec.image.date_s), "MTOOLS_SKIP_CHECK=1",
                                          "MTOOLS_NO_VFAT=0"};
  const auto run = [&](std::string program, std::vector<std::string> words) {
    return bench.run({.program = std::move(program), .arguments = std::move(words), .input = {}, .environment = fixed});
  };
  const bool arm = spec.image.architecture == spec::Architecture::kArm64;
  const std::string loader = std::format("::/{}", arm ? machine::kLoaderArm64 : machine::kLoaderX64);
  STEPPE_TRY_VOID(run("truncate", {"-s", std::to_string(esp.size.count), fat}));
  STEPPE_TRY_VOID(run("mformat", {"-i", fat, "-v", "STEPPE-ISO", "-N", std::format("{:08x}", esp.serial), "-T",
                                  std::to_string(esp.size.count / disk::kSector), "-h", "255", "-s", "63", "::"}));
  STEPPE_TRY_VOID(run("mmd", {"-i", fat, "::/EFI", "::/EFI/BOOT"}));
  STEPPE_TRY_VOID(run("mcopy", {"-i", fat, image_path, loader}));
  const std::string time = iso_time(spec.image.date_s);
  STEPPE_TRY_VOID(run("xorriso", {"-as",
                                  "mkisofs",
                                  "-quiet",
                                  "-o",
                                  made,
                                  "-V",
                                  "STEPPE",
                                  "-A",
                                  std::format("{} {}", spec.image.name, spec.image.version),
                                  "-r",
                                  "--modification-date=" + time,
                                  "--set_all_file_dates",
                                  time,
                                  "--gpt_disk_guid",
                                  esp.id,
                                  "--efi-boot",
                                  std::string(kEspName),
                                  "-efi-boot-part",
                                  "--efi-boot-image",
                                  "--protective-msdos-label",
                                  tree}));
  STEPPE_TRY_VOID(run("mv", {"-f", made, path}));
  return {};
}

}  // namespace steppe::build
