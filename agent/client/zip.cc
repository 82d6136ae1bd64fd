#include <zlib.h>

#include <algorithm>
#include <array>
#include <format>

#include "agent/client/archive.h"

namespace steppe::client {
namespace {

// PKWARE APPNOTE 4.3: end record, central directory, local headers.
constexpr uint32_t kEndSignature = 0x06054b50, kCentralSignature = 0x02014b50, kLocalSignature = 0x04034b50;
constexpr size_t kEndSize = 22, kCentralSize = 46, kLocalSize = 30;

Error corrupt(std::string_view what) { return Error(Code::kCorrupt, std::format("the zip archive is damaged: {}", what)); }

Result<> read_exact(RandomSource& from, uint64_t offset, ByteSpan into) {
  while (!into.empty()) {
    STEPPE_TRY(size_t n, from.read_at(offset, into));
    if (n == 0) return corrupt("it ends early");
    offset += n;
    into = into.subspan(n);
  }
  return {};
}

struct Entry {
  std::string name;
  uint16_t flags = 0, method = 0;
  uint32_t crc = 0, mode = 0;
  uint64_t packed = 0, size = 0, local = 0;
};

struct Directory {
  uint64_t offset = 0, size = 0, entries = 0;
};

Result<Directory> find_directory(RandomSource& from) {
  uint64_t tail = std::min<uint64_t>(from.size(), kEndSize + 65535);
  if (tail < kEndSize) return corrupt("it is too short");
  std::string text(tail, '\0');
  STEPPE_TRY_VOID(read_exact(from, from.size() - tail, {reinterpret_cast<std::byte*>(text.data()), text.size()}));
  for (size_t at = text.size() - kEndSize + 1; at-- > 0;) {
    if (load_le<uint32_t>(text.data() + at) != kEndSignature) continue;
    Directory out{load_le<uint32_t>(text.data() + at + 16), load_le<uint32_t>(text.data() + at + 12), load_le<uint16_t>(text.data() + at + 10)};
    if (out.offset == 0xffffffff || out.entries == 0xffff) return Error(Code::kUnsupported, "zip64 archives are not supported");
    if (out.offset + out.size > from.size()) return corrupt("its directory lies outside");
    return out;
  }
  return corrupt("no end record (is it a zip archive?)");
}

class Inflater {
 public:
  Inflater() { ready_ = ::inflateInit2(&z_, -MAX_WBITS) == Z_OK; }
  ~Inflater() { ::inflateEnd(&z_); }
  Inflater(const Inflater&) = delete;
  bool ready() const { return ready_; }

  // Passes on what `input` gives; true at the end of the stream.
  template <class F>
  Result<bool> feed(ByteView input, F take) {
    std::array<std::byte, 64 << 10> out;
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data()));
    z_.avail_in = static_cast<uInt>(input.size());
    do {
      z_.next_out = reinterpret_cast<Bytef*>(out.data());
      z_.avail_out = out.size();
      int code = ::inflate(&z_, Z_NO_FLUSH);
      if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) return corrupt("a compressed entry");
      STEPPE_TRY_VOID(take(ByteView(out.data(), out.size() - z_.avail_out)));
      if (code == Z_STREAM_END) return true;
      if (code == Z_BUF_ERROR) break;
    } while (z_.avail_in > 0 || z_.avail_out == 0);
    return false;
  }

 private:
  z_stream z_{};
  bool ready_ = false;
};

Result<> unpack_entry(RandomSource& from, const Entry& entry, ArchiveSink& to) {
  std::array<std::byte, kLocalSize> local;
  STEPPE_TRY_VOID(read_exact(from, entry.local, local));
  if (load_le<uint32_t>(local.data()) != kLocalSignature) return corrupt("a local header");
  uint64_t at = entry.local + kLocalSize + load_le<uint16_t>(local.data() + 26) + load_le<uint16_t>(local.data() + 28);
  if (at > from.size() || entry.packed > from.size() - at) return corrupt("an entry lies outside");
  STEPPE_TRY_VOID(to.begin_file(entry.name, entry.mode));
  uint64_t written = 0;
  uLong crc = ::crc32(0, nullptr, 0);
  auto take = [&](ByteView bytes) -> Result<> {
    written += bytes.size();
    if (written > entry.size) return corrupt("an entry is longer than its directory says");
    crc = ::crc32(crc, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()));
    return to.data(bytes);
  };
  Inflater inflater;
  if (!inflater.ready()) return Error(Code::kExhausted, "no memory to inflate");
  std::array<std::byte, 64 << 10> buffer;
  bool ended = entry.method == 0 || entry.packed == 0;
  for (uint64_t left = entry.packed; left > 0;) {
    size_t n = static_cast<size_t>(std::min<uint64_t>(left, buffer.size()));
    STEPPE_TRY_VOID(read_exact(from, at, std::span(buffer).first(n)));
    if (entry.method == 0) {
      STEPPE_TRY_VOID(take({buffer.data(), n}));
    } else if (!ended) {
      STEPPE_TRY(ended, inflater.feed({buffer.data(), n}, take));
    }
    at += n;
    left -= n;
  }
  if (!ended || written != entry.size || crc != entry.crc) return corrupt(std::format("entry {} fails its checksum", entry.name.substr(0, 200)));
  return to.end_file();
}

}  // namespace

Result<> unpack_zip(RandomSource& from, ArchiveSink& to, const ArchiveLimits& limits) {
  STEPPE_TRY(Directory directory, find_directory(from));
  if (directory.entries > limits.files) return Error(Code::kExhausted, std::format("the archive holds more than {} entries", limits.files));
  ImpliedDirectories implied(limits.files);
  uint64_t at = directory.offset, total = 0;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    std::array<std::byte, kCentralSize> header;
    STEPPE_TRY_VOID(read_exact(from, at, header));
    const std::byte* h = header.data();
    if (load_le<uint32_t>(h) != kCentralSignature) return corrupt("its directory");
    Entry entry;
    entry.flags = load_le<uint16_t>(h + 8);
    entry.method = load_le<uint16_t>(h + 10);
    entry.crc = load_le<uint32_t>(h + 16);
    entry.packed = load_le<uint32_t>(h + 20);
    entry.size = load_le<uint32_t>(h + 24);
    entry.local = load_le<uint32_t>(h + 42);
    uint32_t unix_mode = load_le<uint32_t>(h + 38) >> 16;
    std::string raw(load_le<uint16_t>(h + 28), '\0');
    STEPPE_TRY_VOID(read_exact(from, at + kCentralSize, {reinterpret_cast<std::byte*>(raw.data()), raw.size()}));
    at += kCentralSize + raw.size() + load_le<uint16_t>(h + 30) + load_le<uint16_t>(h + 32);
    STEPPE_TRY(entry.name, clean_entry_name(raw));
    if (entry.name.empty()) continue;
    STEPPE_TRY_VOID(implied.add_parents_of(entry.name));
    if (raw.ends_with('/')) {
      STEPPE_TRY_VOID(to.directory(entry.name, 0755));
      continue;
    }
    if (entry.flags & 1) return Error(Code::kUnsupported, std::format("archive entry {} is encrypted", entry.name.substr(0, 200)));
    uint32_t kind = unix_mode & 0170000;
    if (kind != 0 && kind != 0100000) return Error(Code::kDenied, std::format("archive entry {}: only files and directories are unpacked from zip", entry.name.substr(0, 200)));
    if (entry.method != 0 && entry.method != 8) return Error(Code::kUnsupported, std::format("archive entry {}: compression method {}", entry.name.substr(0, 200), entry.method));
    entry.mode = unix_mode == 0 ? 0644 : unix_mode & 0777;
    if (entry.size > limits.bytes.count - std::min(limits.bytes.count, total)) return Error(Code::kExhausted, std::format("the archive unpacks to more than {} bytes", limits.bytes.count));
    total += entry.size;
    STEPPE_TRY_VOID(unpack_entry(from, entry, to));
  }
  return {};
}

}  // namespace steppe::client
