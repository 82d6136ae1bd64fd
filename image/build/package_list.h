#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "image/fs/tree.h"
#include "image/spec/lock.h"
#include "image/spec/spec.h"

namespace steppe::build {

// One file of an image, as the list names it.
struct ListedFile {
  std::string path;  // "./root/usr/bin/steppe", "./task-root/…", "./initrd/…",
                     // "./linux", "./stub"
  fs::Content content;
  std::optional<size_t> package;  // that it came from: an index into ImageParts::packages
};

// All that an image was made of.
struct ImageParts {
  std::vector<spec::LockedPackage> packages;
  std::vector<ListedFile> files;
};

// Gathers the parts while an image is made. A file is known to be a package's
// by being the very bytes that were opened from it; modules, which are unpacked
// on the way, and bundles are the kernel's and their package's by where they
// lie.
class PartsList {
 public:
  PartsList(const spec::Spec& spec, const spec::Lock& lock) : spec_(spec) { parts_.packages = lock.packages; }

  // What the package with this index holds. Content is known again by its
  // address: the trees must stay.
  void own(size_t package, const fs::Tree& tree);
  // Files in `tree`, below `prefix` ("./root/"). A squashfs whose files are
  // listed is left out.
  void add(const std::string& prefix, const fs::Tree& tree);
  void add_file(std::string path, fs::Content content, std::optional<spec::Role> role);
  const ImageParts& parts() const { return parts_; }

 private:
  std::optional<size_t> package_of(const std::string& path, const fs::Node& node) const;
  std::optional<size_t> find(spec::Role role,
                             const std::string& name) const;  // "": the first of the role

  const spec::Spec& spec_;
  ImageParts parts_;
  std::unordered_map<const std::string*, size_t> owners_;  // by content; looked up only, never walked
};

// The list of packages and files as an SPDX 2.3 document in JSON
// (spdx.github.io/spdx-spec/v2.3): the image as a package with every file in it
// by SHA-1 (which the format demands) and SHA-256, Debian's packages by
// version, purl and SHA-256, and which file came from which. `digest` is the
// image's SHA-256. Same parts, same bytes: the only time in it is the spec's
// date. What is linked into our own programs statically is not told apart.
std::string spdx_document(const spec::Spec& spec, const std::string& image_file, const std::string& digest,
                          const ImageParts& parts);

// A package, as lists of all systems name one:
// "pkg:deb/debian/libc6@2.41-12%2Bdeb13u4?arch=amd64".
std::string package_url(const spec::LockedPackage& package);

}  // namespace steppe::build
