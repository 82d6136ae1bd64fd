#include "init/upgrade/esp/boot_facts.h"

#include "init/frame/frame.h"
#include "init/sys/kernel/host_file.h"

namespace steppe::esp {

namespace {

constexpr size_t kAttributes = 4, kMaxCharacters = 512;

std::optional<std::string> read_variable(const std::string& efivars, std::string_view name) {
  Result<std::string> bytes = kernel::read_host_file(efivars + "/" + std::string(name) + "-" + std::string(kLoaderGuid), Bytes::kib(4));
  return bytes.ok() ? loader_text(as_bytes(*bytes)) : std::nullopt;
}

}  // namespace

std::optional<std::string> loader_text(ByteView variable) {
  if (variable.size() < kAttributes || variable.size() % 2 != 0) return std::nullopt;
  variable = variable.subspan(kAttributes);
  std::string text;
  for (; !variable.empty(); variable = variable.subspan(2)) {
    const uint16_t character = load_le<uint16_t>(variable.data());
    if (character == 0) break;
    if (text.size() == kMaxCharacters) return std::nullopt;
    text.push_back(character >= ' ' && character <= '~' ? static_cast<char>(character) : '?');
  }
  if (text.empty()) return std::nullopt;
  return text;
}

Result<RunningImage> read_running(const std::string& manifest_path) {
  STEPPE_TRY(const std::string bytes, kernel::read_host_file(manifest_path, Bytes{upgrade::kMaxManifest}));
  RunningImage running;
  STEPPE_TRY(running.manifest, upgrade::decode_manifest(as_bytes(bytes)).wrap(manifest_path));
  STEPPE_TRY(const frame::Message message, frame::decode(as_bytes(bytes), frame::kImageManifest, UINT16_MAX, upgrade::kMaxManifest));
  running.section = upgrade::sha256(as_bytes(bytes).first(message.size()));
  return running;
}

upgrade::BootFacts read_boot_facts(const std::string& efivars, const std::string& manifest_path) {
  upgrade::BootFacts facts{.entry_selected = read_variable(efivars, "LoaderEntrySelected"), .count_path = read_variable(efivars, "LoaderBootCountPath"), .running_section = {}};
  if (Result<RunningImage> running = read_running(manifest_path); running.ok()) facts.running_section = running->section;
  return facts;
}

}  // namespace steppe::esp
