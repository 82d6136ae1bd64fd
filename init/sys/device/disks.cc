#include "init/sys/device/disks.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <format>
#include <optional>

#include "init/base/text.h"
#include "init/sys/kernel/beneath.h"

namespace steppe::device {
namespace {

constexpr size_t kMaxDisks = 256, kMaxEntries = 8192, kMaxValue = 4096;
constexpr uint64_t kSector = 512;  // sysfs counts in these whatever the disk's blocks are
constexpr std::array<std::string_view, 9> kNotDisks = {"loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd", "mtdblock"};

// What an attribute says, without white space around it; "" when it is not there or not readable.
std::string value_of(const kernel::Beneath& sys, const std::string& path) {
  Result<std::string> text = sys.read(path, Bytes(kMaxValue));
  return text.ok() ? std::string(trim(std::string_view(text->c_str()))) : "";
}

std::optional<uint64_t> number_of(const kernel::Beneath& sys, const std::string& path) {
  Result<uint64_t> number = parse_uint(value_of(sys, path));
  return number.ok() ? std::optional(*number) : std::nullopt;
}

bool is_disk_name(std::string_view name) {
  if (std::ranges::any_of(kNotDisks, [&](std::string_view prefix) { return name.starts_with(prefix); })) return false;
  return !(name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb")));
}

// As udev writes names: what is not of its plain characters becomes '_'.
std::string plain(std::string_view text) {
  std::string out;
  for (char c : text) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("#+-.:=@_").contains(c);
    out += fine ? c : '_';
  }
  return out;
}

// "0000:00:03.0" of ".../pci0000:00/0000:00:03.0/virtio1/block/vda": the function nearest to the disk.
std::string pci_address(const kernel::Beneath& sys, const std::string& name) {
  Result<kernel::Fd> directory = sys.open_directory("class/block");
  char target[1024];
  const ssize_t size = directory.ok() ? ::readlinkat(directory->get(), name.c_str(), target, sizeof target) : -1;
  std::string found;
  if (size <= 0) return found;
  for (std::string_view part : split(std::string_view(target, static_cast<size_t>(size)), '/')) {
    if (part.size() == 12 && part[4] == ':' && part[7] == ':' && part[10] == '.') found = part;
  }
  return found;
}

void add_links(const kernel::Beneath& sys, Disk& disk) {
  const std::string at = "class/block/" + disk.name, pci = pci_address(sys, disk.name);
  auto link = [&](std::string_view kind, const std::string& name) { disk.links.push_back(std::format("/dev/disk/{}/{}", kind, name)); };
  if (disk.name.starts_with("vd")) {
    if (!disk.serial.empty()) link("by-id", "virtio-" + plain(disk.serial));
    if (!pci.empty()) link("by-path", "pci-" + pci);
  } else if (disk.name.starts_with("nvme")) {
    const std::string model = value_of(sys, at + "/device/model"), space = value_of(sys, at + "/nsid");
    if (!model.empty() && !disk.serial.empty()) link("by-id", "nvme-" + plain(model) + "_" + plain(disk.serial));
    if (!pci.empty()) link("by-path", std::format("pci-{}-nvme-{}", pci, space.empty() ? "1" : space));
  } else if (disk.name.starts_with("mmcblk")) {
    const std::string card = value_of(sys, at + "/device/name");
    if (!card.empty() && !disk.serial.empty()) link("by-id", "mmc-" + plain(card) + "_" + plain(disk.serial));
  }
  const std::string wwid = value_of(sys, at + "/device/wwid");
  if (wwid.starts_with("naa.")) link("by-id", "wwn-0x" + wwid.substr(4));
}

std::string serial_of(const kernel::Beneath& sys, const std::string& at) {
  for (const char* name : {"/serial", "/device/serial"}) {
    if (std::string text = value_of(sys, at + name); !text.empty()) return text;
  }
  // SCSI: page 0x80 of the vital product data, four bytes of head before the text (SPC-4, 7.8.15).
  Result<std::string> page = sys.read(at + "/device/vpd_pg80", Bytes(kMaxValue));
  return page.ok() && page->size() > 4 ? std::string(trim(std::string_view(page->c_str() + 4))) : "";
}

std::vector<DiskPartition> partitions_of(const kernel::Beneath& sys, const std::string& name) {
  std::vector<DiskPartition> out;
  const std::string at = "class/block/" + name;
  Result<std::vector<kernel::DirectoryEntry>> entries = sys.list(at, kMaxEntries);
  for (const kernel::DirectoryEntry& entry : entries.ok() ? *entries : std::vector<kernel::DirectoryEntry>()) {
    if (!entry.name.starts_with(name)) continue;
    const std::string below = at + "/" + entry.name;
    const auto number = number_of(sys, below + "/partition"), first = number_of(sys, below + "/start"), size = number_of(sys, below + "/size");
    if (number && first && size) out.push_back({"/dev/" + entry.name, static_cast<uint32_t>(*number), *first * kSector, *size * kSector});
  }
  std::ranges::sort(out, {}, &DiskPartition::number);
  return out;
}

Result<kernel::Beneath> sysfs(const std::string& root) { return kernel::Beneath::at(root + "sys", kernel::Beneath::Links::kFollow); }

}  // namespace

Result<std::vector<Disk>> enumerate_disks(const std::string& root) {
  STEPPE_TRY(const kernel::Beneath sys, sysfs(root));
  std::vector<Disk> out;
  Result<std::vector<kernel::DirectoryEntry>> entries = sys.list("class/block", kMaxEntries);
  if (!entries.ok() && entries.error().code() == Code::kNotFound) return out;
  if (!entries.ok()) return std::move(entries).error();
  for (const kernel::DirectoryEntry& entry : *entries) {
    const std::string at = "class/block/" + entry.name;
    if (!is_disk_name(entry.name) || sys.stat(at + "/partition").ok()) continue;
    const uint64_t sectors = number_of(sys, at + "/size").value_or(0);
    if (sectors == 0) continue;
    if (out.size() == kMaxDisks) return Error(Code::kExhausted, std::format("more than {} disks", kMaxDisks));
    Disk disk{.name = entry.name, .path = "/dev/" + entry.name, .bytes = sectors * kSector};
    disk.block_bytes = static_cast<uint32_t>(number_of(sys, at + "/queue/logical_block_size").value_or(kSector));
    disk.removable = value_of(sys, at + "/removable") == "1";
    disk.read_only = value_of(sys, at + "/ro") == "1";
    disk.serial = serial_of(sys, at);
    disk.partitions = partitions_of(sys, entry.name);
    add_links(sys, disk);
    out.push_back(std::move(disk));
  }
  return out;
}

bool has_disk_controller(const std::string& root) {
  Result<kernel::Beneath> sys = sysfs(root);
  if (!sys.ok()) return false;
  auto any = [&](const char* directory, const char* attribute, auto fits) {
    Result<std::vector<kernel::DirectoryEntry>> entries = sys->list(directory, kMaxEntries);
    return entries.ok() && std::ranges::any_of(*entries, [&](const kernel::DirectoryEntry& entry) {
             return fits(value_of(*sys, std::format("{}/{}/{}", directory, entry.name, attribute)));
           });
  };
  return any("bus/pci/devices", "class", [](const std::string& code) { return code.starts_with("0x01") || code.starts_with("0x0805"); }) ||
         any("bus/usb/devices", "bInterfaceClass", [](const std::string& code) { return code == "08"; }) ||
         any("bus/mmc/devices", "type", [](const std::string& type) { return type == "MMC" || type == "SD"; });
}

}  // namespace steppe::device
