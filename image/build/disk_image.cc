#include "image/build/disk_image.h"

#include <format>

#include "image/disk/layout.h"
#include "image/sign/authenticode.h"
#include "init/io/path_file.h"
#include "init/machine/layout.h"
#include "init/upgrade/slot_name.h"

namespace steppe::build {
namespace {

Result<std::string> loader_of(const spec::Spec& spec) {
  STEPPE_TRY(std::string loader, io::read_path(spec.boot.loader, Bytes::mib(16)).wrap("boot.loader"));
  if (spec.signing.key.empty()) return loader;
  STEPPE_TRY(const std::string key_text, io::read_path(spec.signing.key, Bytes::mib(1)));
  STEPPE_TRY(const std::string certificate_text, io::read_path(spec.signing.certificate, Bytes::mib(1)));
  STEPPE_TRY(const sign::PrivateKey key, sign::PrivateKey::parse(key_text, spec.signing.key));
  STEPPE_TRY(const sign::Certificate certificate,
             sign::Certificate::parse_pem(certificate_text, spec.signing.certificate));
  return sign::sign_program(as_bytes(loader), key, certificate);
}

// No menu: a key held during start brings it up.
constexpr std::string_view kLoaderConfig = "timeout 0\neditor no\nauto-entries no\nauto-firmware yes\n";

}  // namespace

Result<> make_disk_image(const spec::Spec& spec, const DiskContent& content, Bytes size, const std::string& path, const std::string& scratch,
                         Workbench& bench) {
  Bytes all{content.image.size()};
  for (const auto& [digest, file] : content.extensions) {
    STEPPE_TRY(const std::string bytes, io::read_path(file, Bytes::gib(1)));
    all.count += bytes.size();
  }
  STEPPE_TRY(const disk::Layout layout, disk::make_layout(size, all, sign::sha256(as_bytes(content.image))));
  STEPPE_TRY(const kernel::Beneath work, open_directory(scratch));
  STEPPE_TRY(const std::string loader, loader_of(spec));
  STEPPE_TRY_VOID(work.write("loader.efi", as_bytes(loader), 0644));
  STEPPE_TRY_VOID(work.write("loader.conf", as_bytes(kLoaderConfig), 0644));
  STEPPE_TRY_VOID(work.remove_tree("disk.raw"));
  const std::string raw = scratch + "/disk.raw", fat = std::format("{}@@{}", raw, layout.esp_start.count);
  const std::vector<std::string> fixed = {std::format("SOURCE_DATE_EPOCH={}", spec.image.date_s), "MTOOLS_SKIP_CHECK=1",
                                          "MTOOLS_NO_VFAT=0"};
  const bool arm = spec.image.architecture == spec::Architecture::kArm64;
  const auto run = [&](std::string program, std::vector<std::string> words, std::string_view input = {}) {
    return bench.run(
        {.program = std::move(program), .arguments = std::move(words), .input = input, .environment = fixed});
  };
  STEPPE_TRY_VOID(run("truncate", {"-s", std::to_string(layout.size.count), raw}));
  STEPPE_TRY_VOID(run("sfdisk", {"--quiet", "--no-reread", "--no-tell-kernel", raw}, disk::sfdisk_script(layout)));
  STEPPE_TRY_VOID(
      run("mformat", {"-i", fat, "-F", "-v", std::string(machine::kLabelEsp), "-N",
                      std::format("{:08x}", layout.serial), "-T", std::to_string(layout.esp_size.count / disk::kSector),
                      "-h", "255", "-s", "63", "-H", std::to_string(layout.esp_start.count / disk::kSector), "::"}));
  STEPPE_TRY_VOID(run("mmd", {"-i", fat, "::/EFI", "::/EFI/BOOT", "::/EFI/Linux", "::/loader"}));
  STEPPE_TRY_VOID(
      run("mcopy", {"-i", fat, scratch + "/loader.efi", arm ? "::/EFI/BOOT/BOOTAA64.EFI" : "::/EFI/BOOT/BOOTX64.EFI"}));
  STEPPE_TRY_VOID(run("mcopy", {"-i", fat, scratch + "/loader.conf", "::/loader/loader.conf"}));
  STEPPE_TRY_VOID(
      run("mcopy", {"-i", fat, content.image_path,
                    "::/EFI/Linux/" + upgrade::slot_file_name({.version = spec.image.version, .counter = {}})}));
  if (!content.extensions.empty()) STEPPE_TRY_VOID(run("mmd", {"-i", fat, "::/EFI/steppe", "::/EFI/steppe/extensions"}));
  for (const auto& [digest, file] : content.extensions)
    STEPPE_TRY_VOID(run("mcopy", {"-i", fat, file, std::format("::/EFI/steppe/extensions/{}.ext", digest)}));
  STEPPE_TRY_VOID(run("mv", {"-f", raw, path}));
  return {};
}

Result<> make_qcow2(const std::string& raw, const std::string& path, Compress compress, const std::string& scratch,
                    Workbench& bench) {
  const std::string made = scratch + "/disk.qcow2";
  // One coroutine: clusters are allocated in the order of the disk, whatever the host is busy with.
  std::vector<std::string> words = {"convert", "-f", "raw", "-O", "qcow2", "-m", "1", "-o", "compat=1.1"};
  if (compress == Compress::kYes) words.emplace_back("-c");
  words.insert(words.end(), {raw, made});
  STEPPE_TRY_VOID(bench.run({.program = "qemu-img", .arguments = words, .input = {}, .environment = {}}));
  STEPPE_TRY_VOID(bench.run({.program = "mv", .arguments = {"-f", made, path}, .input = {}, .environment = {}}));
  return {};
}

}  // namespace steppe::build
