#include "init/upgrade/verify/extension.h"

#include <algorithm>
#include <format>
#include <vector>

#include "init/frame/frame.h"

namespace steppe::verify {
namespace {

constexpr uint16_t kVerdictVersion = 1;
enum Tag : uint16_t { kTagCode = 1, kTagMessage, kTagRecord, kTagSigner };
constexpr size_t kChunk = 64 << 10;

// Enough to tell two by; a console's line has little room.
std::string short_hex(const Digest& digest) { return hex(digest).substr(0, 16) + "…"; }

Result<> check_identity(ImageBytes& bytes, const extension::Header& header, const upgrade::Extension& named) {
  if (named.record) {
    if (header.digest != *named.record)
      return {Code::kDenied, std::format("its record is {}, the image names {}", short_hex(header.digest), short_hex(*named.record))};
    return {};
  }
  STEPPE_TRY(const Digest digest, digest_of(bytes));
  if (digest != named.digest) return {Code::kDenied, std::format("its SHA-256 is {}, the image names {}", short_hex(digest), short_hex(named.digest))};
  return {};
}

}  // namespace

Result<ExtensionFit> check_extension(ImageBytes& bytes, const ExtensionWanted& wanted) {
  const upgrade::Extension& named = wanted.named;
  if (bytes.size() != named.size) return {Code::kDenied, std::format("the file has {} bytes, the image names one of {}", bytes.size(), named.size)};
  STEPPE_TRY(extension::Header header, read_extension(bytes));
  STEPPE_TRY_VOID(check_identity(bytes, header, named));
  ExtensionFit fit;
  if (!wanted.keys.trusted.empty()) {
    STEPPE_TRY(fit.signer, check_extension_signature(header, wanted.keys));
  }
  fit.record = std::move(header.record);
  const extension::Record& record = fit.record;
  if (record.name != named.name) return {Code::kDenied, std::format("it calls itself \"{}\"", record.name)};
  if (record.arch != "any" && record.arch != wanted.arch) return {Code::kUnsupported, std::format("it is for {}, this machine is {}", record.arch, wanted.arch)};
  if (!record.kernel.empty() && record.kernel != wanted.kernel)
    return {Code::kUnsupported, std::format("its modules are for kernel {}, this one is {}", record.kernel, wanted.kernel)};
  return fit;
}

Result<Digest> digest_of(ImageBytes& bytes) {
  upgrade::Sha256 sha;
  std::vector<std::byte> chunk(kChunk);
  for (uint64_t at = 0; at < bytes.size();) {
    const ByteSpan part = ByteSpan(chunk).first(static_cast<size_t>(std::min<uint64_t>(kChunk, bytes.size() - at)));
    STEPPE_TRY_VOID(bytes.read(at, part));
    sha.add(part);
    at += part.size();
  }
  return sha.finish();
}

Result<extension::Header> read_extension(ImageBytes& bytes) {
  if (bytes.size() < extension::kHeaderSize) return {Code::kInvalid, "not an extension's file"};
  std::string head(extension::kHeaderSize, '\0');
  STEPPE_TRY_VOID(bytes.read(0, std::as_writable_bytes(std::span(head))));
  STEPPE_TRY(extension::Header header, extension::decode_header(as_bytes(head)));
  if (extension::file_size(header.record) != bytes.size())
    return {Code::kCorrupt, std::format("the file has {} bytes, its header tells of {}", bytes.size(), extension::file_size(header.record))};
  return header;
}

Result<std::string> check_extension_signature(const extension::Header& header, const MachineKeys& keys) {
  if (header.signature.empty()) return {Code::kDenied, "it is not signed"};
  if (std::ranges::find(keys.refused_images, header.digest) != keys.refused_images.end())
    return {Code::kDenied, "its record " + hex(header.digest) + " is refused on this machine"};
  return check_signature(as_bytes(header.signature), header.digest, keys);
}

std::string encode_extension_verdict(const Result<ExtensionFit>& verdict) {
  frame::Builder builder(frame::kExtensionVerdict, kVerdictVersion);
  if (!verdict.ok()) {
    builder.integer(kTagCode, static_cast<int64_t>(verdict.error().code()));
    return builder.text(kTagMessage, std::string_view(verdict.error().message()).substr(0, 4096)).finish();
  }
  Result<std::string> record = extension::encode_record(verdict->record);
  if (!record.ok()) return encode_extension_verdict(Result<ExtensionFit>(std::move(record).error()));
  return builder.text(kTagRecord, *extension::encode_header(*record, "")).text(kTagSigner, verdict->signer).finish();
}

Result<ExtensionFit> decode_extension_verdict(ByteView bytes) {
  constexpr std::string_view kWhat = "verdict of the extension's check";
  STEPPE_TRY(frame::Message message, frame::decode(bytes, frame::kExtensionVerdict, kVerdictVersion, kMaxExtensionVerdict).wrap(kWhat));
  if (message.size() != bytes.size()) return {Code::kCorrupt, std::string(kWhat) + ": bytes after it"};
  if (!message.has(kTagRecord)) {
    int64_t code = message.integer(kTagCode, -1);
    if (code < 0 || code > static_cast<int64_t>(Code::kIo)) return {Code::kCorrupt, std::string(kWhat) + ": no such error"};
    return {static_cast<Code>(code), std::string(message.text(kTagMessage))};
  }
  STEPPE_TRY(extension::Header header, extension::decode_header(message.bytes(kTagRecord)).wrap(kWhat));
  return ExtensionFit{std::move(header.record), std::string(message.text(kTagSigner))};
}

}  // namespace steppe::verify
