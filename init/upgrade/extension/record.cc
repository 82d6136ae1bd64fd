#include "init/upgrade/extension/record.h"

#include <algorithm>
#include <format>

#include "init/frame/frame.h"

namespace steppe::extension {
namespace {

constexpr uint16_t kVersion = 1;
constexpr uint64_t kKnownHolds = kFiles | kModules | kFirmware;
constexpr size_t kMaxSalt = 32;
constexpr std::string_view kFileSystem = "squashfs";
enum Tag : uint16_t { kTagName = 1, kTagVersion, kTagArch, kTagHolds, kTagKernel, kTagBuilt, kTagData,
                    kTagTree, kTagBlock, kTagRoot, kTagSalt, kTagFileSystem };
enum SignatureTag : uint16_t { kTagPkcs7 = 1 };

bool printable(std::string_view text, size_t most) {
  return text.size() <= most && std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

Result<> check(const Record& record) {
  const auto bad = [](std::string what) { return Error(Code::kInvalid, std::move(what)); };
  if (!upgrade::good_extension_name(record.name)) return bad("its name is not one");
  if (record.version.empty() || !printable(record.version, 64)) return bad("its version is empty, longer than 64 bytes or not printable");
  if (record.arch != "x86-64" && record.arch != "arm64" && record.arch != "any") return bad("its processor is none of x86-64, arm64 and any");
  if (record.holds == 0 || (record.holds & ~kKnownHolds) != 0) return bad("it does not say what it holds");
  if (!printable(record.kernel, 128) || record.kernel.contains('/') || record.kernel.starts_with('.')) return bad("the kernel that it names is no release");
  if (((record.holds & kModules) != 0) == record.kernel.empty()) return bad("a kernel is named exactly when there are modules");
  if (record.built_unix_s > INT64_MAX) return bad("its build time is out of range");
  if (record.data_size == 0 || record.data_size % kBlock != 0 || record.data_size > kMaxData)
    return bad("its size is not a number of whole blocks up to 1 TiB");
  if (record.salt.size() > kMaxSalt) return bad("its salt is longer than 32 bytes");
  return {};
}

Result<Record> decode_record(const frame::Message& message) {
  Record out;
  out.name = message.text(kTagName);
  out.version = message.text(kTagVersion);
  out.arch = message.text(kTagArch);
  out.kernel = message.text(kTagKernel);
  out.salt = message.text(kTagSalt);
  // What is missing or negative is out of every range below.
  out.holds = static_cast<uint64_t>(message.integer(kTagHolds, 0));
  out.built_unix_s = static_cast<uint64_t>(message.integer(kTagBuilt, -1));
  out.data_size = static_cast<uint64_t>(message.integer(kTagData, -1));
  STEPPE_TRY_VOID(check(out));
  if (message.integer(kTagBlock) != static_cast<int64_t>(kBlock)) return Error(Code::kUnsupported, "its blocks are not of 4,096 bytes");
  if (message.text(kTagFileSystem) != kFileSystem) return Error(Code::kUnsupported, "its file system is not squashfs");
  if (message.integer(kTagTree, -1) != static_cast<int64_t>(tree_size(out)))
    return Error(Code::kCorrupt, "its hash tree has another size than its data asks for");
  const ByteView root = message.bytes(kTagRoot);
  if (root.size() != out.root.size()) return Error(Code::kCorrupt, "the root of its hash tree is missing");
  std::ranges::copy(root, out.root.begin());
  return out;
}

}  // namespace

std::string holds_text(uint64_t holds) {
  std::string out;
  for (const auto& [bit, name] : {std::pair(kFiles, "files"), std::pair(kModules, "modules"), std::pair(kFirmware, "firmware")})
    if ((holds & bit) != 0) out += std::format("{}{}", out.empty() ? "" : ", ", name);
  return out;
}

Result<std::string> encode_record(const Record& record) {
  STEPPE_TRY_VOID(check(record).wrap(std::format("extension \"{}\"", record.name)));
  frame::Builder builder(frame::kExtensionRecord, kVersion);
  builder.text(kTagName, record.name).text(kTagVersion, record.version).text(kTagArch, record.arch);
  builder.integer(kTagHolds, static_cast<int64_t>(record.holds));
  if (!record.kernel.empty()) builder.text(kTagKernel, record.kernel);
  builder.integer(kTagBuilt, static_cast<int64_t>(record.built_unix_s)).integer(kTagData, static_cast<int64_t>(record.data_size));
  builder.integer(kTagTree, static_cast<int64_t>(tree_size(record))).integer(kTagBlock, static_cast<int64_t>(kBlock));
  return builder.bytes(kTagRoot, record.root).text(kTagSalt, record.salt).text(kTagFileSystem, kFileSystem).finish();
}

Result<std::string> encode_header(std::string_view record_frame, std::string_view signature) {
  std::string out(record_frame);
  if (!signature.empty()) out += frame::Builder(frame::kExtensionSignature, kVersion).text(kTagPkcs7, signature).finish();
  if (record_frame.size() > kMaxRecord || out.size() - record_frame.size() > kMaxSignature)
    return Error(Code::kExhausted, "an extension's record has 4 KiB at most, its signature 8 KiB");
  out.resize(kHeaderSize, '\0');
  return out;
}

Result<Header> decode_header(ByteView bytes) {
  if (bytes.size() < kHeaderSize || !looks_like_extension(bytes)) return Error(Code::kInvalid, "not an extension's file");
  bytes = bytes.first(kHeaderSize);
  const auto wrong = [](Error error) { return std::move(error).wrap("extension's header"); };
  Result<frame::Message> record = frame::decode(bytes, frame::kExtensionRecord, kVersion, kMaxRecord - frame::kHeaderSize);
  if (!record.ok()) return wrong(std::move(record).error());
  Header out;
  Result<Record> read = decode_record(*record);
  if (!read.ok()) return wrong(std::move(read).error());
  out.record = *std::move(read);
  out.digest = upgrade::sha256(bytes.first(record->size()));
  ByteView rest = bytes.subspan(record->size());
  if (rest.front() != std::byte{0}) {
    Result<frame::Message> signature = frame::decode(rest, frame::kExtensionSignature, kVersion, kMaxSignature - frame::kHeaderSize);
    if (!signature.ok()) return wrong(std::move(signature).error());
    out.signature = signature->text(kTagPkcs7);
    if (out.signature.empty()) return wrong(Error(Code::kCorrupt, "its signature is empty"));
    rest = rest.subspan(signature->size());
  }
  if (std::ranges::any_of(rest, [](std::byte byte) { return byte != std::byte{0}; })) return wrong(Error(Code::kCorrupt, "bytes other than zero after it"));
  return out;
}

bool looks_like_extension(ByteView bytes) {
  return bytes.size() >= frame::kHeaderSize && load_le<uint32_t>(bytes.data()) == frame::kMagic &&
         load_le<uint16_t>(bytes.data() + 4) == frame::kExtensionRecord;
}

std::string verity_parameters(const Record& record, std::string_view device) {
  const uint64_t blocks = record.data_size / kBlock;
  const std::string salt = record.salt.empty() ? "-" : hex(as_bytes(record.salt));
  return std::format("1 {0} {0} {1} {1} {2} {2} sha256 {3} {4}", device, kBlock, blocks, hex(record.root), salt);
}

}  // namespace steppe::extension
