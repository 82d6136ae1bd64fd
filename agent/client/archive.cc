#include "agent/client/archive.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <format>

#include "init/base/text.h"
#include "init/sys/kernel/file_access.h"

namespace steppe::client {
namespace {

constexpr size_t kBlock = 512;
constexpr size_t kMaxName = 4096;
constexpr uint64_t kMaxExtension = 1 << 20;  // pax and long name records

std::string shown(std::string_view name) {
  std::string out;
  for (char c : name.substr(0, 200)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return out;
}

Error corrupt(std::string_view what) { return Error(Code::kCorrupt, std::format("the tar archive is damaged: {}", what)); }

std::string_view text_field(std::string_view block, size_t at, size_t size) {
  std::string_view field = block.substr(at, size);
  return field.substr(0, field.find('\0'));
}

// Octal digits, or GNU's base-256 when the top bit is set.
Result<uint64_t> number_field(std::string_view block, size_t at, size_t size) {
  std::string_view field = block.substr(at, size);
  uint64_t out = 0;
  if (static_cast<unsigned char>(field[0]) & 0x80) {
    if (static_cast<unsigned char>(field[0]) != 0x80) return corrupt("a negative or huge number");
    for (size_t i = 1; i < field.size(); ++i) {
      if (out >> 55) return corrupt("a number is too large");
      out = out << 8 | static_cast<unsigned char>(field[i]);
    }
    return out;
  }
  for (char c : field) {
    if (c == ' ' || c == '\0') continue;
    if (c < '0' || c > '7') return corrupt("a number is no octal number");
    if (out >> 60) return corrupt("a number is too large");
    out = out << 3 | static_cast<uint64_t>(c - '0');
  }
  return out;
}

bool header_sum_ok(std::string_view block) {
  auto stored = number_field(block, 148, 8);
  if (!stored.ok()) return false;
  uint64_t unsigned_sum = 0;
  int64_t signed_sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    char c = i >= 148 && i < 156 ? ' ' : block[i];
    unsigned_sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  return *stored == unsigned_sum || static_cast<int64_t>(*stored) == signed_sum;
}

struct Extension {
  std::string path, link;
  std::optional<uint64_t> size;
};

// "25 path=some/name\n" records.
Result<> read_pax(std::string_view text, Extension& out) {
  while (!text.empty()) {
    size_t space = text.find(' ');
    if (space == text.npos) return corrupt("a pax record");
    auto length = parse_uint(text.substr(0, space));
    if (!length.ok() || *length <= space + 1 || *length > text.size() || text[*length - 1] != '\n') return corrupt("a pax record");
    std::string_view record = text.substr(space + 1, *length - space - 2);
    size_t equals = record.find('=');
    if (equals == record.npos) return corrupt("a pax record without '='");
    std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key == "path") out.path = value;
    if (key == "linkpath") out.link = value;
    if (key.starts_with("GNU.sparse")) return Error(Code::kUnsupported, "sparse files in archives are not supported");
    if (key == "size") {
      auto size = parse_uint(value);
      if (!size.ok()) return corrupt("a pax size");
      out.size = *size;
    }
    text.remove_prefix(*length);
  }
  return {};
}

class TarReader {
 public:
  TarReader(ByteSource& from, ArchiveSink& to, const ArchiveLimits& limits) : from_(from), to_(to), limits_(limits) {}

  Result<> run() {
    std::array<char, kBlock> block;
    bool any = false;
    while (true) {
      STEPPE_TRY(bool more, read_block(block));
      std::string_view header(block.data(), kBlock);
      if (!more) return any ? Result<>() : corrupt("it is empty");  // many writers leave the end marker out
      if (std::ranges::all_of(header, [](char c) { return c == 0; })) return {};
      if (!header_sum_ok(header)) return corrupt("a header's checksum is wrong (is it a tar archive?)");
      any = true;
      STEPPE_TRY_VOID(entry(header));
    }
  }

 private:
  Result<bool> read_block(std::array<char, kBlock>& block) {
    size_t have = 0;
    while (have < kBlock) {
      STEPPE_TRY(size_t n, from_.read(std::as_writable_bytes(std::span(block)).subspan(have)));
      if (n == 0) {
        if (have == 0) return false;
        return corrupt("it ends in the middle of a header");
      }
      have += n;
    }
    return true;
  }

  // Passes `size` bytes and the padding after them.
  template <class F>
  Result<> each_piece(uint64_t size, F take) {
    std::array<std::byte, 64 << 10> buffer;
    uint64_t left = size;
    while (left > 0) {
      STEPPE_TRY(size_t n, from_.read(std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(left, buffer.size())))));
      if (n == 0) return corrupt("it ends in the middle of a file");
      STEPPE_TRY_VOID(take(ByteView(buffer.data(), n)));
      left -= n;
    }
    uint64_t padding = (kBlock - size % kBlock) % kBlock;
    while (padding > 0) {
      STEPPE_TRY(size_t n, from_.read(std::span(buffer).first(padding)));
      if (n == 0) return corrupt("it ends in the middle of a file");
      padding -= n;
    }
    return {};
  }

  Result<std::string> extension_text(uint64_t size) {
    if (size > kMaxExtension) return Error(Code::kExhausted, "an extended header of the archive is larger than 1 MiB");
    std::string out;
    STEPPE_TRY_VOID(each_piece(size, [&](ByteView bytes) {
      out += as_text(bytes);
      return Result<>();
    }));
    return out;
  }

  Result<> entry(std::string_view header) {
    if (++entries_ > limits_.files) return Error(Code::kExhausted, std::format("the archive holds more than {} entries", limits_.files));
    STEPPE_TRY(uint64_t size, number_field(header, 124, 12));
    char type = header[156];
    switch (type) {
      case 'x': {
        STEPPE_TRY(std::string text, extension_text(size));
        return read_pax(text, next_);
      }
      case 'g': {
        STEPPE_TRY_VOID(extension_text(size));
        return {};
      }
      case 'L':
      case 'K': {
        STEPPE_TRY(std::string text, extension_text(size));
        (type == 'L' ? next_.path : next_.link) = text.substr(0, text.find('\0'));
        return {};
      }
      default: break;
    }
    Extension extension = std::exchange(next_, {});
    std::string name = extension.path, link = extension.link;
    if (name.empty()) {
      std::string_view prefix = header.substr(257, 5) == "ustar" ? text_field(header, 345, 155) : "";
      name = prefix.empty() ? std::string(text_field(header, 0, 100)) : std::format("{}/{}", prefix, text_field(header, 0, 100));
    }
    if (link.empty()) link = text_field(header, 157, 100);
    STEPPE_TRY(uint64_t mode, number_field(header, 100, 8));
    return store(type, name, link, extension.size.value_or(size), static_cast<uint32_t>(mode & 0777));
  }

  Result<> store(char type, const std::string& raw_name, const std::string& link, uint64_t size, uint32_t mode) {
    STEPPE_TRY(std::string name, clean_entry_name(raw_name));
    STEPPE_TRY_VOID(implied_.add_parents_of(name));
    switch (type) {
      case '0':
      case '\0':
      case '7': return file(name, size, mode);
      case '5':
        if (size > kMaxExtension) return corrupt("a directory with content");
        STEPPE_TRY_VOID(each_piece(size, [](ByteView) { return Result<>(); }));
        return name.empty() ? Result<>() : to_.directory(name, mode | 0700);
      case '2':
        if (name.empty() || !link_stays_inside(name, link)) {
          return Error(Code::kDenied, std::format("archive entry {}: its link to {} leads out of the archive", shown(name), shown(link)));
        }
        return to_.symlink(name, link);
      case '1': {
        STEPPE_TRY(std::string existing, clean_entry_name(link));
        if (existing.empty() || name.empty()) return corrupt("a hard link without a name");
        return to_.hard_link(name, existing);
      }
      default:
        return Error(Code::kDenied, std::format("archive entry {}: only files, directories and links are unpacked, this is type '{}'",
                                                shown(name), shown(std::string_view(&type, 1))));
    }
  }

  Result<> file(const std::string& name, uint64_t size, uint32_t mode) {
    if (name.empty()) return corrupt("a file without a name");
    if (size > limits_.bytes.count - std::min(limits_.bytes.count, total_)) {
      return Error(Code::kExhausted, std::format("the archive unpacks to more than {} bytes", limits_.bytes.count));
    }
    total_ += size;
    STEPPE_TRY_VOID(to_.begin_file(name, mode));
    STEPPE_TRY_VOID(each_piece(size, [&](ByteView bytes) { return to_.data(bytes); }));
    return to_.end_file();
  }

  ByteSource& from_;
  ArchiveSink& to_;
  const ArchiveLimits& limits_;
  ImpliedDirectories implied_{limits_.files};
  Extension next_;
  uint64_t entries_ = 0, total_ = 0;
};

}  // namespace

Result<std::string> clean_entry_name(std::string_view name) {
  if (name.size() > kMaxName) return Error(Code::kDenied, "a name in the archive is longer than 4096 bytes");
  if (name.find('\0') != name.npos) return Error(Code::kDenied, "a name in the archive holds a NUL byte");
  if (name.starts_with('/')) return Error(Code::kDenied, std::format("archive entry {}: absolute names are not unpacked", shown(name)));
  std::string out;
  for (std::string_view part : split(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return Error(Code::kDenied, std::format("archive entry {}: its name leads out of the archive", shown(name)));
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

Result<> ImpliedDirectories::add_parents_of(std::string_view path) {
  for (size_t slash = path.rfind('/'); slash != path.npos && slash > 0; slash = path.rfind('/', slash - 1)) {
    if (!known_.emplace(path.substr(0, slash)).second) return {};  // and with it all above
    if (known_.size() > limit_) return Error(Code::kExhausted, std::format("the archive makes more than {} directories", limit_));
  }
  return {};
}

bool link_stays_inside(std::string_view path, std::string_view target) {
  if (target.empty() || target.starts_with('/') || target.size() > kMaxName) return false;
  int64_t depth = std::ranges::count(path, '/');
  for (std::string_view part : split(target, '/')) {
    if (part.empty() || part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return false;
  }
  return true;
}

Result<> unpack_tar(ByteSource& from, ArchiveSink& to, const ArchiveLimits& limits) { return TarReader(from, to, limits).run(); }

// ---- Into a directory ----

// Before it is made: the outermost part of its name that is new.
void DirectorySink::note(std::string_view path) {
  for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
    std::string_view part = path.substr(0, end);
    if (made_.contains(part)) return;
    if (auto there = into_.stat(part); !there.ok() && there.error().code() == Code::kNotFound) {
      made_.emplace(part);
      return;
    }
    if (end == path.npos) return;
  }
}

void DirectorySink::undo() {
  file_.reset();
  for (const std::string& path : made_) (void)into_.remove_tree(path);
  made_.clear();
}

Result<> DirectorySink::make_parents(const std::string& path) {
  note(path);
  size_t slash = path.rfind('/');
  return slash == path.npos ? Result<>() : into_.make_directories(path.substr(0, slash), 0755);
}

Result<> DirectorySink::directory(const std::string& path, uint32_t mode) {
  note(path);
  return into_.make_directories(path, mode);
}

Result<> DirectorySink::begin_file(const std::string& path, uint32_t mode) {
  STEPPE_TRY_VOID(make_parents(path));
  // A link that an earlier entry made is replaced, not written through.
  STEPPE_TRY_VOID(into_.remove_tree(path));
  STEPPE_TRY(file_, into_.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  return {};
}

Result<> DirectorySink::data(ByteView bytes) {
  if (bytes.size() > left_.count) return Error(Code::kExhausted, "what the archive unpacks to is larger than the artifact's limit");
  left_.count -= bytes.size();
  return kernel::write_all(file_, "artifact", bytes);
}

Result<> DirectorySink::end_file() { return file_.close(); }

Result<> DirectorySink::symlink(const std::string& path, const std::string& target) {
  STEPPE_TRY_VOID(make_parents(path));
  STEPPE_TRY_VOID(into_.remove_tree(path));
  return into_.symlink(target, path);
}

Result<> DirectorySink::hard_link(const std::string& path, const std::string& existing) {
  STEPPE_TRY(kernel::Fd from, into_.open_file(existing));
  STEPPE_TRY(kernel::FileInfo info, kernel::stat_fd(from, existing));
  if (info.size > left_) return Error(Code::kExhausted, "a hard link's file is larger than what is left of the artifact's limit");
  STEPPE_TRY_VOID(begin_file(path, info.mode & 0777));
  std::array<std::byte, 64 << 10> buffer;
  for (uint64_t at = 0;;) {
    STEPPE_TRY(size_t n, kernel::read_at(from, at, buffer));
    if (n == 0) break;
    STEPPE_TRY_VOID(data({buffer.data(), n}));
    at += n;
  }
  return end_file();
}

}  // namespace steppe::client
