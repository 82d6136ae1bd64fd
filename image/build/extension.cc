#include "image/build/extension.h"

#include <algorithm>
#include <format>

#include "image/build/image.h"
#include "image/sign/authenticode.h"
#include "init/base/text.h"
#include "init/io/path_file.h"
#include "init/upgrade/verify/extension.h"

namespace steppe::build {
namespace {

constexpr Bytes kMaxContent = Bytes::gib(2);

class TextBytes final : public verify::ImageBytes {
 public:
  explicit TextBytes(ByteView bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<> read(uint64_t offset, ByteSpan into) override {
    std::ranges::copy(bytes_.subspan(offset, into.size()), into.begin());
    return {};
  }

 private:
  ByteView bytes_;
};

uint64_t holds_of(const fs::Tree& tree) {
  uint64_t holds = 0;
  for (const auto& [path, node] : tree.nodes()) {
    if (node.kind == fs::NodeKind::kDirectory) continue;
    holds |= path.starts_with("usr/lib/modules/") ? extension::kModules : path.starts_with("usr/lib/firmware/") ? extension::kFirmware : extension::kFiles;
  }
  return holds;
}

// What the hash tree's salt is made of is no secret: it keeps equal blocks of two extensions from having equal digests.
std::string salt_of(const extension::Record& record, std::string_view file_system) {
  const std::string digest = sign::sha256(as_bytes(file_system));
  return sign::sha256(as_bytes(std::format("steppe extension {} {} {} {}", record.name, record.version, record.arch, hex(as_bytes(digest)))));
}

Result<MadeExtension> make_here(const spec::Spec& spec, const spec::Extension& wanted, const Kernel& kernel, Packages& packages, const Shop& shop,
                                const Signer* signer) {
  STEPPE_TRY(fs::Tree tree, extension_root(wanted, kernel, packages, shop));
  extension::Record record{.name = wanted.name, .version = wanted.version.empty() ? spec.image.version : wanted.version};
  record.holds = holds_of(tree);
  if (record.holds == 0) return Error(Code::kInvalid, "it holds no file: every module that it names is built into the kernel");
  record.arch = record.holds == extension::kFirmware                       ? "any"
                : spec.image.architecture == spec::Architecture::kAmd64 ? "x86-64"
                                                                          : "arm64";
  if ((record.holds & extension::kModules) != 0) record.kernel = kernel.release;
  record.built_unix_s = static_cast<uint64_t>(spec.image.date_s);
  STEPPE_TRY(std::string file_system, make_squashfs(tree, spec.compression, spec.image.date_s, shop.scratch, shop.bench));
  STEPPE_TRY(MadeExtension made, pack_extension(std::move(record), std::move(file_system), signer));
  made.tree = std::move(tree);
  return made;
}

Result<MadeExtension> take_made(const spec::Extension& wanted, Workbench& bench) {
  MadeExtension out;
  out.named.name = wanted.name;
  out.named.size = wanted.size;
  std::string digest = wanted.digest;
  if (!wanted.file.empty()) {
    STEPPE_TRY(const std::string file, io::read_path(wanted.file, kMaxImageFile));
    STEPPE_TRY(const ExtensionView view, inspect_extension(as_bytes(file), bench).wrap(wanted.file));
    for (const Check& check : verify_extension(as_bytes(file), view, {}, "")) {
      if (!check.fault.empty() && check.name != "signature") return Error(Code::kCorrupt, std::format("{}: {}: {}", wanted.file, check.name, check.fault));
    }
    if (view.header.record.name != wanted.name)
      return Error(Code::kInvalid, std::format("{} calls itself \"{}\": name it so", wanted.file, view.header.record.name));
    out.path = wanted.file;
    out.named.size = view.size;
    out.named.record = view.header.digest;
    digest = view.digest;
  }
  STEPPE_TRY(const std::string bytes, unhex(digest));
  std::memcpy(out.named.digest.data(), bytes.data(), out.named.digest.size());
  return out;
}

std::string tree_fault(ByteView file, const extension::Record& record) {
  const ByteView data = file.subspan(extension::kHeaderSize, record.data_size);
  auto tree = extension::make_tree(data, as_bytes(record.salt));
  if (!tree.ok()) return tree.error().message();
  if (tree->root != record.root) return std::format("the root over the data is {}, the record says {}", hex(tree->root), hex(record.root));
  return as_text(file.subspan(extension::kHeaderSize + record.data_size)) == tree->bytes ? "" : "it is not the tree over the data";
}

std::string modules_fault(const ExtensionView& view) {
  const std::string& kernel = view.header.record.kernel;
  for (const auto& [path, node] : view.tree.nodes()) {
    if (!path.starts_with("usr/lib/modules/") || node.kind == fs::NodeKind::kDirectory) continue;
    if (kernel.empty() || !path.starts_with("usr/lib/modules/" + kernel + "/")) return std::format("/{} is not for kernel \"{}\"", path, kernel);
    if (!path.ends_with(".ko")) continue;
    auto info = rootfs::read_modinfo(as_bytes(node.bytes()));
    if (!info.ok()) return std::format("/{}: {}", path, info.error().message());
    if (!info->vermagic.starts_with(kernel + " ")) return std::format("/{} was built for \"{}\"", path, info->vermagic);
  }
  if (!kernel.empty() && view.tree.find("usr/lib/modules/" + kernel + "/modules.index") == nullptr) return "there is no modules.index";
  return "";
}

}  // namespace

Result<std::optional<Signer>> read_signer(const spec::Signing& signing) {
  if (signing.key.empty()) return std::optional<Signer>();
  STEPPE_TRY(const std::string key_text, io::read_path(signing.key, Bytes::mib(1)).wrap("sign.key"));
  STEPPE_TRY(const std::string certificate_text, io::read_path(signing.certificate, Bytes::mib(1)).wrap("sign.certificate"));
  STEPPE_TRY(sign::PrivateKey key, sign::PrivateKey::parse(key_text, signing.key));
  STEPPE_TRY(sign::Certificate certificate, sign::Certificate::parse_pem(certificate_text, signing.certificate));
  return std::optional<Signer>(Signer{std::move(key), std::move(certificate)});
}

Result<MadeExtension> pack_extension(extension::Record record, std::string file_system, const Signer* signer) {
  file_system.append((extension::kBlock - file_system.size() % extension::kBlock) % extension::kBlock, '\0');
  record.data_size = file_system.size();
  record.salt = salt_of(record, file_system);
  STEPPE_TRY(const extension::HashTree tree, extension::make_tree(as_bytes(file_system), as_bytes(record.salt)));
  record.root = tree.root;
  STEPPE_TRY(const std::string frame, extension::encode_record(record));
  std::string signature;
  if (signer != nullptr) {
    STEPPE_TRY(signature, sign::sign_digest(sign::sha256(as_bytes(frame)), signer->key, signer->certificate));
  }
  MadeExtension out;
  STEPPE_TRY(out.bytes, extension::encode_header(frame, signature));
  out.bytes += file_system;
  out.bytes += tree.bytes;
  out.named = {.name = record.name, .digest = upgrade::sha256(as_bytes(out.bytes)), .size = out.bytes.size(), .record = upgrade::sha256(as_bytes(frame))};
  return out;
}

Result<std::vector<MadeExtension>> make_extensions(const spec::Spec& spec, const Kernel& kernel, Packages& packages, const Shop& shop,
                                                   const Report& report) {
  std::vector<MadeExtension> out;
  STEPPE_TRY(const std::optional<Signer> signer, read_signer(spec.signing));
  for (const spec::Extension& wanted : spec.extensions) {
    report.step(std::format("extension {}", wanted.name));
    Result<MadeExtension> made = wanted.made_here() ? make_here(spec, wanted, kernel, packages, shop, signer ? &*signer : nullptr)
                                                    : take_made(wanted, shop.bench);
    if (!made.ok()) return std::move(made).error().wrap(std::format("extension \"{}\"", wanted.name));
    out.push_back(*std::move(made));
  }
  std::ranges::sort(out, {}, [](const MadeExtension& one) { return one.named.name; });
  return out;
}

Result<ExtensionView> inspect_extension(ByteView file, Workbench& bench) {
  TextBytes bytes(file);
  ExtensionView out{.header = {}, .size = file.size(), .digest = sign::sha256_hex(file), .tree = {}};
  STEPPE_TRY(out.header, verify::read_extension(bytes));
  const std::string_view data = as_text(file.subspan(extension::kHeaderSize, out.header.record.data_size));
  STEPPE_TRY(out.tree, read_squashfs(data, kMaxContent, bench).wrap("its file system"));
  return out;
}

std::vector<Check> verify_extension(ByteView file, const ExtensionView& view, const std::vector<sign::Certificate>& trusted,
                                    const std::string& expected_digest) {
  std::vector<Check> out;
  verify::MachineKeys keys;
  for (const sign::Certificate& one : trusted) keys.trusted.push_back(one.der());
  const auto signer = verify::check_extension_signature(view.header, keys);
  out.push_back({"signature", signer.ok() ? "" : signer.error().message()});
  if (!expected_digest.empty())
    out.push_back({"digest", view.digest == lower(expected_digest) ? "" : std::format("SHA-256 is {}, not {}", view.digest, lower(expected_digest))});
  out.push_back({"hash tree", tree_fault(file, view.header.record)});
  const uint64_t holds = holds_of(view.tree), said = view.header.record.holds;
  out.push_back({"what it holds", holds == said ? "" : std::format("{}, the record says {}", extension::holds_text(holds), extension::holds_text(said))});
  out.push_back({"modules", modules_fault(view)});
  return out;
}

}  // namespace steppe::build
