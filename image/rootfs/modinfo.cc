#include "image/rootfs/modinfo.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::rootfs {
namespace {

constexpr size_t kElfHeader = 64, kSectionHeader = 64;
constexpr size_t kMaxValues = 50'000;
constexpr std::string_view kSignatureMark = "~Module signature appended~\n";

Error corrupt(std::string_view what) { return Error(Code::kCorrupt, std::format("module: {}", what)); }

Result<std::string_view> section_content(std::string_view file, uint64_t table, uint64_t index) {
  const char* row = file.data() + table + index * kSectionHeader;
  const uint64_t offset = load_le<uint64_t>(row + 24), size = load_le<uint64_t>(row + 32);
  if (load_le<uint32_t>(row + 4) == 8) return std::string_view();  // SHT_NOBITS: nothing in the file
  if (offset > file.size() || size > file.size() - offset) return corrupt("a section reaches past the end of the file");
  return file.substr(offset, size);
}

Result<std::string_view> find_modinfo(std::string_view file) {
  if (file.size() < kElfHeader || !file.starts_with("\x7f"
                                                    "ELF\x02\x01"))
    return corrupt("not an ELF file of 64 bits");
  const uint64_t table = load_le<uint64_t>(file.data() + 40);
  const uint16_t row = load_le<uint16_t>(file.data() + 58), count = load_le<uint16_t>(file.data() + 60),
                 names_index = load_le<uint16_t>(file.data() + 62);
  if (row != kSectionHeader || names_index >= count || table > file.size() ||
      uint64_t{count} * kSectionHeader > file.size() - table)
    return corrupt("the section table is cut off");
  STEPPE_TRY(const std::string_view names, section_content(file, table, names_index));
  for (uint64_t i = 0; i < count; ++i) {
    const uint32_t name = load_le<uint32_t>(file.data() + table + i * kSectionHeader);
    if (name >= names.size()) continue;
    const std::string_view text = names.substr(name);
    if (text.substr(0, text.find('\0')) == ".modinfo") return section_content(file, table, i);
  }
  return corrupt("no section .modinfo");
}

void add_softdep(std::string_view value, ModuleInfo& info) {
  bool first = false;
  for (const std::string_view word : split(value, ' ')) {
    if (word == "pre:" || word == "post:")
      first = word == "pre:";
    else if (first && !word.empty())
      info.wishes_first.emplace_back(word);
  }
}

}  // namespace

std::string plain_name(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

Result<ModuleInfo> read_modinfo(ByteView module) {
  const std::string_view file = as_text(module);
  STEPPE_TRY(std::string_view rest, find_modinfo(file));
  ModuleInfo info;
  info.is_signed = file.ends_with(kSignatureMark);
  for (size_t values = 0; !rest.empty(); ++values) {
    if (values > kMaxValues) return Error(Code::kExhausted, "module: more than 50,000 values in .modinfo");
    const std::string_view entry = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
    const size_t equals = entry.find('=');
    if (equals == entry.npos) continue;
    const std::string_view key = entry.substr(0, equals), value = entry.substr(equals + 1);
    if (key == "name") info.name = plain_name(value);
    if (key == "alias") info.aliases.emplace_back(value);
    if (key == "firmware") info.firmware.emplace_back(value);
    if (key == "vermagic") info.vermagic = value;
    if (key == "softdep") add_softdep(value, info);
    if (key == "depends" && !value.empty()) {
      for (const std::string_view name : split(value, ',')) info.depends.push_back(plain_name(name));
    }
  }
  if (info.name.empty()) return corrupt(".modinfo names no module");
  return info;
}

}  // namespace steppe::rootfs
