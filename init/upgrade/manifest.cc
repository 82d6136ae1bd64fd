#include "init/upgrade/manifest.h"

#include <algorithm>

#include "init/frame/frame.h"
#include "init/upgrade/slot_name.h"

namespace steppe::upgrade {

namespace {

constexpr uint16_t kVersion = 1;
enum Tag : uint16_t { kTagVersion = 1, kTagArch, kTagSecurity, kTagKernel, kTagBuildId, kTagExtensions, kTagTaskRoot, kTagBuilt };
enum ExtensionTag : uint16_t { kTagName = 1, kTagDigest, kTagSize, kTagRecord };

Result<> check(const Manifest& manifest) {
  STEPPE_TRY_VOID(check_version(manifest.version));
  if (manifest.arch != "x86-64" && manifest.arch != "arm64")
    return {Code::kInvalid, "arch \"" + manifest.arch.substr(0, 32) + "\": expected x86-64 or arm64"};
  if (manifest.security_version > INT64_MAX || manifest.built_unix_s > INT64_MAX)
    return {Code::kInvalid, "security version or build time out of range"};
  if (manifest.kernel.size() > 128 || manifest.kernel.find('/') != std::string::npos || manifest.kernel.starts_with('.'))
    return {Code::kInvalid, "kernel release: at most 128 bytes, no '/', no '.' at the start"};
  if (manifest.extensions.size() > kMaxExtensions)
    return {Code::kInvalid, "more than " + std::to_string(kMaxExtensions) + " extensions"};
  const Extension* last = nullptr;
  for (const Extension& extension : manifest.extensions) {
    if (!good_extension_name(extension.name)) return {Code::kInvalid, "extension name \"" + extension.name.substr(0, 80) + "\""};
    if (last && last->name >= extension.name)
      return {Code::kInvalid, "extension " + extension.name + ": names must be unique and in order"};
    last = &extension;
  }
  if (manifest.task_root && !good_extension_name(manifest.task_root->name)) return {Code::kInvalid, "task root's name"};
  return {};
}

std::string encode(const Extension& extension) {
  frame::Builder builder(frame::kImageExtension, kVersion);
  builder.text(kTagName, extension.name).bytes(kTagDigest, extension.digest);
  builder.integer(kTagSize, static_cast<int64_t>(extension.size));
  if (extension.record) builder.bytes(kTagRecord, *extension.record);
  return builder.finish();
}

Result<Extension> decode_extension(ByteView& rest) {
  STEPPE_TRY(frame::Message message, frame::decode(rest, frame::kImageExtension, kVersion, kMaxManifest));
  rest = rest.subspan(message.size());
  Extension extension;
  extension.name = message.text(kTagName);
  ByteView digest = message.bytes(kTagDigest);
  int64_t size = message.integer(kTagSize, -1);
  if (digest.size() != extension.digest.size() || size < 0)
    return {Code::kCorrupt, "extension: digest or size is missing or of the wrong length"};
  std::ranges::copy(digest, extension.digest.begin());
  extension.size = static_cast<uint64_t>(size);
  if (message.has(kTagRecord)) {
    ByteView record = message.bytes(kTagRecord);
    if (record.size() != sizeof(Digest)) return {Code::kCorrupt, "extension: the digest of its record has the wrong length"};
    std::ranges::copy(record, extension.record.emplace().begin());
  }
  return extension;
}

}  // namespace

bool good_extension_name(std::string_view name) {
  auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 64 && plain(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
}

Result<std::string> encode_manifest(const Manifest& manifest) {
  STEPPE_TRY_VOID(check(manifest).wrap("image manifest"));
  std::string extensions;
  for (const Extension& extension : manifest.extensions) extensions += encode(extension);
  frame::Builder builder(frame::kImageManifest, kVersion);
  builder.text(kTagVersion, manifest.version).text(kTagArch, manifest.arch);
  builder.integer(kTagSecurity, static_cast<int64_t>(manifest.security_version)).text(kTagKernel, manifest.kernel);
  builder.bytes(kTagBuildId, manifest.build_id);
  if (!extensions.empty()) builder.text(kTagExtensions, extensions);
  if (manifest.task_root) builder.text(kTagTaskRoot, encode(*manifest.task_root));
  std::string bytes = builder.integer(kTagBuilt, static_cast<int64_t>(manifest.built_unix_s)).finish();
  if (bytes.size() > kMaxManifest) return {Code::kInvalid, "image manifest: longer than " + std::to_string(kMaxManifest) + " bytes"};
  return bytes;
}

Result<Manifest> decode_manifest(ByteView section) {
  if (section.size() > kMaxManifest * 2) return {Code::kInvalid, "image manifest: the section is too long"};
  STEPPE_TRY(frame::Message message,
             frame::decode(section, frame::kImageManifest, kVersion, kMaxManifest).wrap("image manifest"));
  for (std::byte byte : section.subspan(message.size()))
    if (byte != std::byte{0}) return {Code::kCorrupt, "image manifest: bytes other than zero after the frame"};
  Manifest manifest;
  manifest.version = message.text(kTagVersion);
  manifest.arch = message.text(kTagArch);
  manifest.kernel = message.text(kTagKernel);
  int64_t security = message.integer(kTagSecurity, -1), built = message.integer(kTagBuilt, -1);
  ByteView build_id = message.bytes(kTagBuildId);
  if (security < 0 || built < 0 || build_id.size() != manifest.build_id.size())
    return {Code::kCorrupt, "image manifest: security version, build time or build id is missing or wrong"};
  manifest.security_version = static_cast<uint64_t>(security);
  manifest.built_unix_s = static_cast<uint64_t>(built);
  std::ranges::copy(build_id, manifest.build_id.begin());
  for (ByteView rest = message.bytes(kTagExtensions); !rest.empty();) {
    if (manifest.extensions.size() == kMaxExtensions) return {Code::kInvalid, "image manifest: too many extensions"};
    STEPPE_TRY(Extension extension, decode_extension(rest).wrap("image manifest"));
    manifest.extensions.push_back(std::move(extension));
  }
  if (message.has(kTagTaskRoot)) {
    ByteView rest = message.bytes(kTagTaskRoot);
    STEPPE_TRY(manifest.task_root, decode_extension(rest).wrap("image manifest: task root"));
    if (!rest.empty()) return {Code::kCorrupt, "image manifest: bytes after the task root"};
  }
  STEPPE_TRY_VOID(check(manifest).wrap("image manifest"));
  return manifest;
}

}  // namespace steppe::upgrade
