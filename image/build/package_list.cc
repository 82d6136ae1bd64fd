#include "image/build/package_list.h"

#include <algorithm>
#include <format>
#include <set>

#include "image/disk/layout.h"
#include "image/sign/key.h"
#include "init/base/clock.h"
#include "init/base/text.h"
#include "init/json/writer.h"

namespace steppe::build {
namespace {

constexpr std::string_view kDocument = "SPDXRef-DOCUMENT";
constexpr std::string_view kImage = "SPDXRef-Image";
const std::set<std::string, std::less<>> kListedThemselves = {"root.sqfs", "usr/share/steppe/task-root.sqfs"};

std::string package_id(size_t index) { return std::format("SPDXRef-Package-{}", index + 1); }
std::string file_id(size_t index) { return std::format("SPDXRef-File-{}", index + 1); }

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view(".-_~").contains(c);
    out += plain ? std::string(1, c) : std::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

class Document {
 public:
  Document(const spec::Spec& spec, const ImageParts& parts)
      : spec_(spec), parts_(parts), json_(&out_, json::Style::kPretty) {
    for (const ListedFile& file : parts.files) sha1_.push_back(sign::sha1_hex(as_bytes(bytes(file))));
  }

  std::string write(const std::string& image_file, const std::string& digest) {
    json_.begin_object();
    member("spdxVersion", "SPDX-2.3");
    member("dataLicense", "CC0-1.0");
    member("SPDXID", kDocument);
    member("name", image_file);
    member("documentNamespace", "urn:uuid:" + disk::guid_of(*unhex(digest)));
    json_.key("creationInfo"), json_.begin_object();
    member("created", format_rfc3339({spec_.image.date_s * 1'000'000'000}));
    json_.key("creators"), json_.begin_array(), json_.text("Tool: steppe-image"), json_.end_array();
    json_.end_object();
    json_.key("packages"), json_.begin_array();
    write_image(image_file, digest);
    for (size_t i = 0; i < parts_.packages.size(); ++i) write_package(i);
    json_.end_array();
    json_.key("files"), json_.begin_array();
    for (size_t i = 0; i < parts_.files.size(); ++i) write_file(i);
    json_.end_array();
    json_.key("relationships"), json_.begin_array();
    write_relationships();
    json_.end_array();
    json_.end_object();
    return out_ + "\n";
  }

 private:
  static std::string_view bytes(const ListedFile& file) {
    return file.content ? std::string_view(*file.content) : std::string_view();
  }
  void member(std::string_view name, std::string_view value) { json_.key(name), json_.text(value); }
  void checksum(std::string_view algorithm, std::string_view value) {
    json_.begin_object();
    member("algorithm", algorithm);
    member("checksumValue", value);
    json_.end_object();
  }
  void relationship(std::string_view from, std::string_view kind, std::string_view to) {
    json_.begin_object();
    member("spdxElementId", from);
    member("relationshipType", kind);
    member("relatedSpdxElement", to);
    json_.end_object();
  }

  // SHA-1 over the files' SHA-1 in their order (specification, 7.9).
  std::string verification_code() const {
    std::vector<std::string> sorted = sha1_;
    std::ranges::sort(sorted);
    return sign::sha1_hex(as_bytes(join(sorted, "")));
  }

  void write_image(const std::string& image_file, const std::string& digest) {
    json_.begin_object();
    member("SPDXID", kImage);
    member("name", spec_.image.name);
    member("versionInfo", spec_.image.version);
    member("packageFileName", image_file);
    member("supplier", "Organization: Steppe");
    member("downloadLocation", "NOASSERTION");
    member("primaryPackagePurpose", "OPERATING_SYSTEM");
    json_.key("filesAnalyzed"), json_.boolean(true);
    json_.key("packageVerificationCode"), json_.begin_object();
    member("packageVerificationCodeValue", verification_code());
    json_.end_object();
    json_.key("checksums"), json_.begin_array(), checksum("SHA256", digest), json_.end_array();
    json_.end_object();
  }

  void write_package(size_t index) {
    const spec::LockedPackage& package = parts_.packages[index];
    json_.begin_object();
    member("SPDXID", package_id(index));
    member("name", package.name);
    member("versionInfo", package.version);
    member("supplier", "Organization: Debian");
    member("downloadLocation", "NOASSERTION");
    json_.key("filesAnalyzed"), json_.boolean(false);
    json_.key("checksums"), json_.begin_array(), checksum("SHA256", package.digest), json_.end_array();
    json_.key("externalRefs"), json_.begin_array(), json_.begin_object();
    member("referenceCategory", "PACKAGE-MANAGER");
    member("referenceType", "purl");
    member("referenceLocator", package_url(package));
    json_.end_object(), json_.end_array();
    member("comment", std::format("for the {}", spec::role_name(package.role)));
    json_.end_object();
  }

  void write_file(size_t index) {
    const ListedFile& file = parts_.files[index];
    json_.begin_object();
    member("SPDXID", file_id(index));
    member("fileName", file.path);
    json_.key("checksums"), json_.begin_array();
    checksum("SHA1", sha1_[index]);
    checksum("SHA256", sign::sha256_hex(as_bytes(bytes(file))));
    json_.end_array();
    json_.end_object();
  }

  void write_relationships() {
    relationship(kDocument, "DESCRIBES", kImage);
    for (size_t i = 0; i < parts_.packages.size(); ++i) relationship(kImage, "CONTAINS", package_id(i));
    for (size_t i = 0; i < parts_.files.size(); ++i) {
      relationship(kImage, "CONTAINS", file_id(i));
      if (parts_.files[i].package) relationship(file_id(i), "GENERATED_FROM", package_id(*parts_.files[i].package));
    }
  }

  const spec::Spec& spec_;
  const ImageParts& parts_;
  std::string out_;
  json::Writer json_;
  std::vector<std::string> sha1_;  // of the files
};

}  // namespace

std::string package_url(const spec::LockedPackage& package) {
  return std::format("pkg:deb/debian/{}@{}?arch={}", percent_encode(package.name), percent_encode(package.version),
                     percent_encode(package.architecture));
}

std::optional<size_t> PartsList::find(spec::Role role, const std::string& name) const {
  for (size_t i = 0; i < parts_.packages.size(); ++i) {
    const spec::LockedPackage& one = parts_.packages[i];
    if (one.role == role && (name.empty() || one.name == name)) return i;
  }
  return std::nullopt;
}

std::optional<size_t> PartsList::package_of(const std::string& path, const fs::Node& node) const {
  if (const auto owner = owners_.find(node.content.get()); node.content && owner != owners_.end()) return owner->second;
  if (path.ends_with(".ko")) return find(spec::Role::kKernel, "");
  for (const spec::Bundle& bundle : spec_.bundles) {
    if (bundle.path == "/" + path) return find(spec::Role::kRoot, bundle.package);
  }
  return std::nullopt;
}

void PartsList::own(size_t package, const fs::Tree& tree) {
  for (const auto& [path, node] : tree.nodes()) {
    if (node.content) owners_.emplace(node.content.get(), package);
  }
}

void PartsList::add(const std::string& prefix, const fs::Tree& tree) {
  for (const auto& [path, node] : tree.nodes()) {
    if (node.kind != fs::NodeKind::kFile || kListedThemselves.contains(path)) continue;
    parts_.files.push_back({prefix + path, node.content, package_of(path, node)});
  }
}

void PartsList::add_file(std::string path, fs::Content content, std::optional<spec::Role> role) {
  parts_.files.push_back({std::move(path), std::move(content), role ? find(*role, "") : std::nullopt});
}

std::string spdx_document(const spec::Spec& spec, const std::string& image_file, const std::string& digest,
                          const ImageParts& parts) {
  return Document(spec, parts).write(image_file, digest);
}

}  // namespace steppe::build
