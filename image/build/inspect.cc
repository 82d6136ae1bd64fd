#include "image/build/inspect.h"

#include <algorithm>
#include <format>
#include <set>

#include "image/build/image.h"
#include "image/fs/cpio.h"
#include "image/rootfs/scan.h"
#include "init/base/text.h"
#include "init/machine/hardening/read_back.h"
#include "init/upgrade/verify/fitness.h"

namespace steppe::build {
namespace {

constexpr Bytes kMaxContent = Bytes::gib(1);

Result<std::string> section_text(ByteView file, const uki::Pe& pe, std::string_view name) {
  const uki::Section* section = pe.find(name);
  if (section == nullptr)
    return Error(Code::kInvalid, std::format("no section {}: this is no image of Steppe's", name));
  return std::string(as_text(uki::section_bytes(file, *section)));
}

// "IMAGE_VERSION=1.2" -> "1.2"; "" when the key is not there.
std::string os_release_value(std::string_view text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(key) || line.substr(key.size(), 1) != "=") continue;
    std::string_view value = line.substr(key.size() + 1);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return {};
}

std::string module_fault(const Inspection& image) {
  const std::string directory = "usr/lib/modules/" + image.release + "/";
  const fs::Node* index = image.root.find(directory + "modules.index");
  if (index == nullptr) return std::format("no /{}modules.index", directory);
  std::set<std::string> listed;
  for (const std::string_view line : split(index->bytes(), '\n')) {
    const auto words = split(line, ' ');
    if (words.size() >= 3 && words[0] == "file") listed.emplace(words[2]);
  }
  for (const std::string& path : listed) {
    if (image.root.find(directory + path) == nullptr)
      return std::format("the index names {}, which is not there", path);
  }
  for (const auto& [path, node] : image.root.nodes()) {
    if (!path.starts_with(directory) || !path.ends_with(".ko")) continue;
    if (!listed.contains(path.substr(directory.size()))) return std::format("/{} is not in the index", path);
    if (!node.bytes().ends_with("~Module signature appended~\n"))
      return std::format("/{} has lost its signature", path);
  }
  return {};
}

// Whether the parts that make the table true are the ones that it asks for: PID 1's settings and the kernel's arguments.
std::string hardening_fault(const Inspection& image) {
  if (!image.hardening) return std::format("no /{}", hardening::kTableFile);
  if (image.hardening->kernel != image.release) return std::format("decided for kernel {}", image.hardening->kernel);
  const fs::Node* settings = image.root.find(hardening::kSettingsFile);
  if (settings == nullptr || settings->bytes() != hardening::settings_file(*image.hardening))
    return std::format("/{} is not what the table says", hardening::kSettingsFile);
  const auto words = hardening::command_words(image.arguments);
  for (const hardening::Row& row : image.hardening->rows) {
    if (row.kind != hardening::Kind::kArgument || !row.applied) continue;
    const bool absent = row.value == hardening::kAbsent;
    const bool there = std::ranges::any_of(words, [&](const std::string& word) {
      return word == (row.value.empty() || absent ? row.name : row.name + "=" + row.value);
    });
    if (there == absent) return std::format("the arguments do not have {} \"{}\"", hardening::row_name(row), row.value);
  }
  return {};
}

std::string scan_fault(const fs::Tree& root) {
  std::string out;
  for (const rootfs::Finding& one : rootfs::scan_root(root))
    out += std::format("{}{} /{} ({})", out.empty() ? "" : "; ", rootfs::finding_name(one.kind), one.path, one.detail);
  return out;
}

class FileBytes final : public verify::ImageBytes {
 public:
  explicit FileBytes(ByteView bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  Result<> read(uint64_t offset, ByteSpan into) override {
    std::memcpy(into.data(), bytes_.data() + offset, into.size());
    return {};
  }

 private:
  const ByteView bytes_;
};

// What a node's own code says of the file.
std::string node_fault(ByteView file, const std::string& arch, const std::vector<sign::Certificate>& trusted) {
  FileBytes bytes(file);
  verify::Requirements wanted{.keys = {}, .arch = arch, .security_floor = 0};
  for (const sign::Certificate& one : trusted) wanted.keys.trusted.push_back(one.der());
  const auto fit = verify::check_image(bytes, wanted);
  return fit.ok() ? std::string() : fit.error().message();
}

std::string differs(std::string_view what, std::string_view found, std::string_view expected) {
  return found == expected ? std::string() : std::format("{} is \"{}\", expected \"{}\"", what, found, expected);
}

void diff_trees(std::string_view which, const fs::Tree& a, const fs::Tree& b, std::vector<std::string>& out) {
  std::set<std::string> paths;
  for (const fs::Tree* tree : {&a, &b}) {
    for (const auto& [path, node] : tree->nodes()) paths.insert(path);
  }
  for (const std::string& path : paths) {
    const fs::Node *left = a.find(path), *right = b.find(path);
    if (left == nullptr) {
      out.push_back(std::format("{} /{}: added, {} bytes", which, path, right->bytes().size()));
    } else if (right == nullptr) {
      out.push_back(std::format("{} /{}: removed, {} bytes", which, path, left->bytes().size()));
    } else if (left->kind != right->kind || left->mode != right->mode || left->target != right->target ||
               left->uid != right->uid || left->gid != right->gid || left->attributes != right->attributes) {
      out.push_back(std::format("{} /{}: kind, owner, mode or target changed", which, path));
    } else if (left->bytes() != right->bytes()) {
      out.push_back(
          std::format("{} /{}: changed, {} -> {} bytes", which, path, left->bytes().size(), right->bytes().size()));
    }
  }
}

}  // namespace

Result<Inspection> inspect_image(ByteView file, Workbench& bench) {
  STEPPE_TRY(const uki::Pe pe, uki::read_pe(file));
  Inspection out{.size = file.size(), .digest = sign::sha256_hex(file)};
  out.machine = pe.machine;
  out.signed_digest = hex(as_bytes(sign::authenticode_digest(file, pe)));
  for (const uki::Section& section : pe.sections) {
    const ByteView bytes = uki::section_bytes(file, section);
    out.sections.push_back({section.name, sign::sha256_hex(bytes), bytes.size()});
  }
  if (auto signers = sign::claimed_signers(file); signers.ok()) out.signers = *std::move(signers);
  STEPPE_TRY(out.os_release, section_text(file, pe, ".osrel"));
  STEPPE_TRY(out.arguments, section_text(file, pe, ".cmdline"));
  STEPPE_TRY(out.release, section_text(file, pe, ".uname"));
  STEPPE_TRY(out.sbat, section_text(file, pe, ".sbat"));
  STEPPE_TRY(out.manifest_bytes, section_text(file, pe, upgrade::kManifestSection));
  STEPPE_TRY(out.manifest, upgrade::decode_manifest(as_bytes(out.manifest_bytes)).wrap("section .steppe"));
  STEPPE_TRY(const std::string initrd, section_text(file, pe, ".initrd"));
  STEPPE_TRY(out.initrd, fs::read_cpio(as_bytes(initrd), kMaxContent).wrap("section .initrd"));
  const fs::Node* root = out.initrd.find("root.sqfs");
  if (root == nullptr) return Error(Code::kInvalid, "the initrd holds no root.sqfs");
  STEPPE_TRY(out.root, read_squashfs(root->bytes(), kMaxContent, bench).wrap("root.sqfs"));
  if (const fs::Node* table = out.root.find(hardening::kTableFile)) {
    STEPPE_TRY(out.hardening, hardening::parse_table(table->bytes()));
  }
  return out;
}

std::vector<Check> verify_image(ByteView file, const Inspection& image, const std::vector<sign::Certificate>& trusted,
                                const std::string& expected_digest) {
  std::vector<Check> out;
  const auto found = sign::verify_program(file, trusted);
  out.push_back({"signature", found.ok() ? "" : found.error().message()});
  if (!expected_digest.empty()) out.push_back({"digest", differs("SHA-256", image.digest, lower(expected_digest))});
  const upgrade::Manifest& manifest = image.manifest;
  out.push_back({"a node takes it", node_fault(file, manifest.arch, trusted)});
  out.push_back(
      {"version", differs("IMAGE_VERSION", os_release_value(image.os_release, "IMAGE_VERSION"), manifest.version)});
  out.push_back({"security version",
                 differs("STEPPE_SECURITY_VERSION", os_release_value(image.os_release, "STEPPE_SECURITY_VERSION"),
                         std::to_string(manifest.security_version))});
  out.push_back({"kernel release", differs(".uname", image.release, manifest.kernel)});
  const std::string_view machine = image.machine == uki::kMachineX64     ? "x86-64"
                                   : image.machine == uki::kMachineArm64 ? "arm64"
                                                                         : "?";
  out.push_back({"processor", differs("the program's processor", machine, manifest.arch)});
  const fs::Node* copy = image.initrd.find("steppe.manifest");
  out.push_back({"manifest", copy == nullptr                         ? "the initrd holds no steppe.manifest"
                             : copy->bytes() != image.manifest_bytes ? "the initrd's copy is another one"
                                                                     : ""});
  const fs::Node* os_release = image.root.find("usr/lib/os-release");
  out.push_back({"os-release",
                 os_release != nullptr && os_release->bytes() == image.os_release ? "" : "section and root differ"});
  out.push_back({"modules", module_fault(image)});
  out.push_back({"hardening", hardening_fault(image)});
  out.push_back({"scan", scan_fault(image.root)});
  return out;
}

std::vector<std::string> diff_images(const Inspection& a, const Inspection& b) {
  std::vector<std::string> out;
  std::set<std::string> names;
  for (const Inspection* one : {&a, &b}) {
    for (const SectionView& section : one->sections) names.insert(section.name);
  }
  const auto find = [](const Inspection& image, const std::string& name) {
    const auto at = std::ranges::find(image.sections, name, &SectionView::name);
    return at == image.sections.end() ? SectionView{name, "", 0} : *at;
  };
  for (const std::string& name : names) {
    const SectionView left = find(a, name), right = find(b, name);
    if (left.digest != right.digest)
      out.push_back(std::format("section {}: {} -> {} bytes", name, left.size, right.size));
  }
  const auto value = [&out](std::string_view name, const std::string& left, const std::string& right) {
    if (left != right) out.push_back(std::format("{}: {} -> {}", name, left, right));
  };
  value("version", a.manifest.version, b.manifest.version);
  value("security version", std::to_string(a.manifest.security_version), std::to_string(b.manifest.security_version));
  value("kernel", a.release, b.release);
  value("arguments", a.arguments, b.arguments);
  const auto signers = [](const Inspection& image) {
    std::vector<std::string> list;
    for (const sign::Signature& one : image.signers)
      list.push_back(std::format("{} ({})", one.subject, one.fingerprint));
    return list.empty() ? std::string("not signed") : join(list, ", ");
  };
  value("signature", signers(a), signers(b));
  diff_trees("initrd", a.initrd, b.initrd, out);
  diff_trees("root", a.root, b.root, out);
  if (out.empty() && a.digest != b.digest) out.emplace_back("bytes outside the sections (headers, signature)");
  return out;
}

}  // namespace steppe::build
