#include "init/upgrade/verify/fitness.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"
#include "init/frame/frame.h"

namespace steppe::verify {

namespace {

constexpr uint16_t kVerdictVersion = 1;
enum Tag : uint16_t { kTagCode = 1, kTagMessage, kTagManifest, kTagSection, kTagAuthenticode, kTagSigner };

// The value of KEY=VALUE in an os-release text, without quotes; empty when absent.
std::string_view release_value(std::string_view text, std::string_view key) {
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != '=') continue;
    line.remove_prefix(key.size() + 1);
    if (line.size() >= 2 && (line.front() == '"' || line.front() == '\'') && line.back() == line.front()) line = line.substr(1, line.size() - 2);
    return line;
  }
  return {};
}

Result<std::string> arch_of(uint16_t machine) {
  if (machine == 0x8664) return std::string("x86-64");
  if (machine == 0xaa64) return std::string("arm64");
  return {Code::kUnsupported, std::format("the image is for machine type {:#06x}, which is neither x86-64 nor arm64", machine)};
}

Result<Fit> describe(ImageBytes& bytes, const PeImage& image) {
  for (const char* name : {".linux", ".initrd", ".cmdline", ".osrel"})
    if (!image.find(name)) return {Code::kInvalid, "the image has no section " + std::string(name) + ", or two"};
  const PeSection* section = image.find(upgrade::kManifestSection);
  if (!section) return {Code::kInvalid, "the image has no section .steppe, or two: it is not one of ours"};
  Fit fit;
  STEPPE_TRY(std::string manifest, read_section(bytes, *section, upgrade::kMaxManifest));
  STEPPE_TRY(fit.manifest, upgrade::decode_manifest(as_bytes(manifest)));
  // The frame itself, so that padding does not matter and the initrd's copy has the same digest.
  STEPPE_TRY(frame::Message message, frame::decode(as_bytes(manifest), frame::kImageManifest, UINT16_MAX, upgrade::kMaxManifest));
  fit.section = upgrade::sha256(as_bytes(manifest).first(message.size()));
  STEPPE_TRY(std::string release, read_section(bytes, *image.find(".osrel"), 16 << 10));
  std::string_view version = release_value(release, "IMAGE_VERSION"), id = release_value(release, "IMAGE_ID");
  if (version != fit.manifest.version || id != "steppe")
    return {Code::kInvalid, "the image says IMAGE_ID=" + std::string(id.substr(0, 64)) + " and IMAGE_VERSION=" +
                                std::string(version.substr(0, 80)) + " in .osrel, by which the loader orders, and version " +
                                fit.manifest.version + " in .steppe: expected IMAGE_ID=steppe and equal versions"};
  STEPPE_TRY(std::string arch, arch_of(image.machine));
  if (arch != fit.manifest.arch) return {Code::kInvalid, "the image is a program for " + arch + " and says that it is for " + fit.manifest.arch};
  return fit;
}

Result<std::string> check_signed(ImageBytes& bytes, const PeImage& image, const Digest& digest, const MachineKeys& keys) {
  if (!image.certificates) return {Code::kDenied, "the image is not signed"};
  if (std::ranges::find(keys.refused_images, digest) != keys.refused_images.end())
    return {Code::kDenied, "the image " + hex(digest) + " is refused on this machine"};
  STEPPE_TRY(std::vector<std::string> signatures, read_signatures(bytes, image));
  Result<std::string> last(Code::kDenied, "the image's certificate table holds no signature");
  for (const std::string& signature : signatures) {
    last = check_signature(as_bytes(signature), digest, keys);
    if (last.ok()) break;
  }
  return last;
}

}  // namespace

Result<Fit> describe_image(ImageBytes& bytes) {
  STEPPE_TRY(PeImage image, read_pe(bytes));
  STEPPE_TRY(Fit fit, describe(bytes, image));
  STEPPE_TRY(fit.authenticode, authenticode_digest(bytes, image));
  return fit;
}

Result<Fit> check_image(ImageBytes& bytes, const Requirements& wanted) {
  STEPPE_TRY(PeImage image, read_pe(bytes));
  STEPPE_TRY(Digest digest, authenticode_digest(bytes, image));
  // First who signed it: nothing that a stranger wrote is worth reading.
  STEPPE_TRY(std::string signer, check_signed(bytes, image, digest, wanted.keys));
  STEPPE_TRY(std::string arch, arch_of(image.machine));
  if (arch != wanted.arch) return {Code::kUnsupported, "the image is for " + arch + ", this machine is " + wanted.arch};
  STEPPE_TRY(Fit fit, describe(bytes, image));
  if (fit.manifest.security_version < wanted.security_floor)
    return {Code::kDenied, "the image has security version " + std::to_string(fit.manifest.security_version) + ", this machine takes nothing below " +
                               std::to_string(wanted.security_floor)};
  fit.authenticode = digest;
  fit.signer = std::move(signer);
  return fit;
}

std::string encode_verdict(const Result<Fit>& verdict) {
  frame::Builder builder(frame::kImageVerdict, kVerdictVersion);
  if (!verdict.ok()) {
    builder.integer(kTagCode, static_cast<int64_t>(verdict.error().code()));
    return builder.text(kTagMessage, std::string_view(verdict.error().message()).substr(0, 4096)).finish();
  }
  Result<std::string> manifest = upgrade::encode_manifest(verdict->manifest);
  if (!manifest.ok()) return encode_verdict(Result<Fit>(std::move(manifest).error()));
  builder.text(kTagManifest, *manifest).bytes(kTagSection, verdict->section).bytes(kTagAuthenticode, verdict->authenticode);
  return builder.text(kTagSigner, verdict->signer).finish();
}

Result<Fit> decode_verdict(ByteView bytes) {
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kImageVerdict, kVerdictVersion, kMaxVerdict).wrap("verdict of the image check"));
  if (message.size() != bytes.size()) return {Code::kCorrupt, "verdict of the image check: bytes after it"};
  if (!message.has(kTagManifest)) {
    int64_t code = message.integer(kTagCode, -1);
    if (code < 0 || code > static_cast<int64_t>(Code::kIo)) return {Code::kCorrupt, "verdict of the image check: no such error"};
    return {static_cast<Code>(code), std::string(message.text(kTagMessage))};
  }
  Fit fit;
  STEPPE_TRY(fit.manifest, upgrade::decode_manifest(message.bytes(kTagManifest)));
  ByteView section = message.bytes(kTagSection), authenticode = message.bytes(kTagAuthenticode);
  if (section.size() != fit.section.size() || authenticode.size() != fit.authenticode.size())
    return {Code::kCorrupt, "verdict of the image check: a digest is missing"};
  std::ranges::copy(section, fit.section.begin());
  std::ranges::copy(authenticode, fit.authenticode.begin());
  fit.signer = message.text(kTagSigner);
  return fit;
}

}  // namespace steppe::verify
