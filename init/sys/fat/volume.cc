#include "init/sys/fat/volume.h"

#include <algorithm>

#include "init/base/text.h"

namespace steppe::fat {

namespace {

constexpr size_t kEntry = 32;
constexpr uint8_t kDeleted = 0xe5, kLongName = 0x0f, kVolumeLabel = 0x08, kDirectory = 0x10, kLastLong = 0x40;

template <class T>
T at(std::string_view bytes, size_t offset) {
  return load_le<T>(bytes.data() + offset);
}

Error wrong(std::string what) { return {Code::kInvalid, "FAT: " + std::move(what)}; }

// "STEPPE-1EFI" -> "steppe-1.efi" where the flags of Windows NT say lower case.
std::string short_name(std::string_view entry) {
  auto part = [&](size_t from, size_t length, bool small) {
    std::string text(entry.substr(from, length));
    text.resize(text.find_last_not_of(' ') + 1);
    return small ? lower(text) : text;
  };
  uint8_t flags = at<uint8_t>(entry, 12);
  std::string base = part(0, 8, flags & 0x08), suffix = part(8, 3, flags & 0x10);
  return suffix.empty() ? base : base + "." + suffix;
}

// The 13 characters of one long-name entry; only ASCII can be ours, all else becomes '?'.
std::string long_part(std::string_view entry) {
  std::string text;
  for (auto [from, count] : {std::pair<size_t, size_t>{1, 5}, {14, 6}, {28, 2}})
    for (size_t i = 0; i < count; i++) {
      uint16_t unit = at<uint16_t>(entry, from + 2 * i);
      if (unit == 0) return text;
      text.push_back(unit < 0x80 ? static_cast<char>(unit) : '?');
    }
  return text;
}

uint8_t checksum_of(std::string_view entry) {
  uint8_t sum = 0;
  for (char c : entry.substr(0, 11)) sum = static_cast<uint8_t>(((sum & 1) << 7) + (sum >> 1) + static_cast<uint8_t>(c));
  return sum;
}

// Puts the parts of a long name together as the entries come by: the last part first, then downwards.
class LongName {
 public:
  void add(std::string_view entry, uint64_t where) {
    uint8_t order = at<uint8_t>(entry, 0), sum = at<uint8_t>(entry, 13);
    if (order & kLastLong) {
      clear();
      next_ = order & 0x3f;
      sum_ = sum;
    }
    if (next_ == 0 || (order & 0x3f) != next_ || sum != sum_ || next_ > 20) return clear();
    next_--;
    text_ = long_part(entry) + text_;
    places_.push_back(where);
  }
  bool fits(std::string_view entry) const { return !places_.empty() && next_ == 0 && sum_ == checksum_of(entry); }
  void clear() {
    text_.clear();
    places_.clear();
    next_ = 0;
  }
  const std::string& text() const { return text_; }
  const std::vector<uint64_t>& places() const { return places_; }

 private:
  std::string text_;
  std::vector<uint64_t> places_;
  uint8_t next_ = 0, sum_ = 0;
};

}  // namespace

Result<Volume> Volume::open(Device& device) {
  std::string boot(512, '\0');
  if (device.size() < boot.size()) return wrong("the partition is too small");
  STEPPE_TRY_VOID(device.read(0, std::as_writable_bytes(std::span(boot))));
  if (at<uint16_t>(boot, 510) != 0xaa55) return wrong("no boot sector");
  uint32_t sector = at<uint16_t>(boot, 11), per_cluster = at<uint8_t>(boot, 13), reserved = at<uint16_t>(boot, 14);
  uint32_t fats = at<uint8_t>(boot, 16), root_entries = at<uint16_t>(boot, 17);
  uint64_t fat_sectors = at<uint16_t>(boot, 22) ? at<uint16_t>(boot, 22) : at<uint32_t>(boot, 36);
  uint64_t sectors = at<uint16_t>(boot, 19) ? at<uint16_t>(boot, 19) : at<uint32_t>(boot, 32);
  auto power = [](uint32_t value) { return value != 0 && (value & (value - 1)) == 0; };
  if (!power(sector) || sector < 512 || sector > 4096) return wrong("sectors of " + std::to_string(sector) + " bytes");
  if (!power(per_cluster)) return wrong("clusters of " + std::to_string(per_cluster) + " sectors");
  if (reserved == 0 || fats == 0 || fats > 4 || fat_sectors == 0) return wrong("its file allocation tables do not add up");
  if (sectors * sector > device.size()) return wrong("it is longer than its partition");
  Volume volume(device);
  uint64_t root_sectors = (uint64_t{root_entries} * kEntry + sector - 1) / sector;
  uint64_t before = reserved + fats * fat_sectors + root_sectors;
  if (before >= sectors) return wrong("it has no room for files");
  uint64_t clusters = (sectors - before) / per_cluster;
  if (clusters < 4085) return {Code::kUnsupported, "FAT: a FAT12 filesystem"};
  volume.wide_ = clusters >= 65525;
  if (volume.wide_ != (root_entries == 0)) return wrong("its root directory does not fit its size");
  if (clusters > 0x0fff'fff0 || (clusters + 2) * (volume.wide_ ? 4 : 2) > fat_sectors * sector) return wrong("its table is too short");
  volume.clusters_ = static_cast<uint32_t>(clusters);
  volume.cluster_bytes_ = per_cluster * sector;
  volume.fat_at_ = uint64_t{reserved} * sector;
  volume.root_at_ = (reserved + fats * fat_sectors) * sector;
  volume.root_bytes_ = root_sectors * sector;
  volume.data_at_ = before * sector;
  volume.root_cluster_ = volume.wide_ ? at<uint32_t>(boot, 44) : 0;
  return volume;
}

// 0 at the end of a chain.
Result<uint32_t> Volume::next_cluster(uint32_t cluster) {
  std::byte bytes[4] = {};
  size_t width = wide_ ? 4 : 2;
  STEPPE_TRY_VOID(device_->read(fat_at_ + uint64_t{cluster} * width, ByteSpan(bytes).first(width)));
  uint32_t next = wide_ ? load_le<uint32_t>(bytes) & 0x0fff'ffff : load_le<uint16_t>(bytes);
  if (next >= (wide_ ? 0x0fff'fff8u : 0xfff8u)) return 0u;
  if (next < 2 || next >= clusters_ + 2) return {Code::kCorrupt, "FAT: a chain is broken"};
  return next;
}

Result<std::vector<Volume::Piece>> Volume::pieces_of(uint32_t first) {
  std::vector<Piece> pieces;
  if (first == 0 && !wide_) {
    pieces.push_back({root_at_, root_bytes_});
    return pieces;
  }
  uint32_t cluster = first == 0 ? root_cluster_ : first;
  for (uint64_t bytes = 0; cluster != 0; bytes += cluster_bytes_) {
    if (cluster < 2 || cluster >= clusters_ + 2) return {Code::kCorrupt, "FAT: a directory begins outside the volume"};
    if (bytes >= kMaxEntries * kEntry) return {Code::kExhausted, "FAT: a directory of more than " + std::to_string(kMaxEntries) + " entries"};
    pieces.push_back({data_at_ + uint64_t{cluster - 2} * cluster_bytes_, cluster_bytes_});
    STEPPE_TRY(cluster, next_cluster(cluster));
  }
  return pieces;
}

Result<std::vector<VolumeName>> Volume::read_names(uint32_t first) {
  STEPPE_TRY(std::vector<Piece> pieces, pieces_of(first));
  std::vector<VolumeName> names;
  LongName long_name;
  for (const Piece& piece : pieces) {
    std::string bytes(std::min<uint64_t>(piece.bytes, kMaxEntries * kEntry), '\0');
    STEPPE_TRY_VOID(device_->read(piece.at, std::as_writable_bytes(std::span(bytes))));
    for (size_t i = 0; i + kEntry <= bytes.size(); i += kEntry) {
      std::string_view entry = std::string_view(bytes).substr(i, kEntry);
      uint8_t begins = at<uint8_t>(entry, 0), kind = at<uint8_t>(entry, 11);
      if (begins == 0) return names;
      if (begins == kDeleted) {
        long_name.clear();
      } else if (kind == kLongName) {
        long_name.add(entry, piece.at + i);
      } else {
        if (!(kind & kVolumeLabel) && begins != '.') {
          VolumeName name{.name = long_name.fits(entry) ? long_name.text() : short_name(entry),
                          .size = at<uint32_t>(entry, 28),
                          .directory = (kind & kDirectory) != 0};
          name.first = static_cast<uint32_t>(wide_ ? at<uint16_t>(entry, 20) : 0) << 16 | at<uint16_t>(entry, 26);
          if (long_name.fits(entry)) name.entries = long_name.places();
          name.entries.push_back(piece.at + i);
          names.push_back(std::move(name));
        }
        long_name.clear();
      }
    }
  }
  return names;
}

Result<std::vector<VolumeName>> Volume::list(std::string_view directory) {
  uint32_t first = 0;
  for (std::string_view part : split(directory, '/')) {
    if (part.empty()) continue;
    STEPPE_TRY(std::vector<VolumeName> names, read_names(first));
    auto found = std::ranges::find_if(names, [&](const VolumeName& name) { return name.directory && equals_ignoring_case(name.name, part); });
    if (found == names.end() || found->first == 0) return {Code::kNotFound, "FAT: no directory " + std::string(directory)};
    first = found->first;
  }
  return read_names(first);
}

Result<std::vector<uint64_t>> Volume::places(const VolumeName& file) {
  uint64_t wanted = (file.size + cluster_bytes_ - 1) / cluster_bytes_;
  if (wanted > clusters_) return {Code::kCorrupt, "FAT: " + file.name + " is longer than the volume"};
  std::vector<uint64_t> places;
  places.reserve(wanted);
  for (uint32_t cluster = file.first; places.size() < wanted;) {
    if (cluster < 2 || cluster >= clusters_ + 2) return {Code::kCorrupt, "FAT: the chain of " + file.name + " is too short"};
    places.push_back(data_at_ + uint64_t{cluster - 2} * cluster_bytes_);
    if (places.size() == wanted) break;
    STEPPE_TRY(cluster, next_cluster(cluster));
  }
  return places;
}

Result<> Volume::forget(std::string_view directory, std::string_view name) {
  STEPPE_TRY(std::vector<VolumeName> names, list(directory));
  auto found = std::ranges::find_if(names, [&](const VolumeName& one) { return !one.directory && equals_ignoring_case(one.name, name); });
  if (found == names.end()) return {Code::kNotFound, "FAT: no file " + std::string(name)};
  bool shared = std::ranges::any_of(
      names, [&](const VolumeName& one) { return &one != &*found && !one.directory && one.first == found->first && one.first != 0; });
  if (!shared) return {Code::kDenied, "FAT: no other name has the clusters of " + std::string(name) + ": remove it instead"};
  const std::byte deleted[1] = {std::byte{kDeleted}};
  STEPPE_TRY_VOID(device_->write(found->entries.back(), deleted));
  STEPPE_TRY_VOID(device_->sync());
  for (size_t i = 0; i + 1 < found->entries.size(); i++) STEPPE_TRY_VOID(device_->write(found->entries[i], deleted));
  return device_->sync();
}

}  // namespace steppe::fat
