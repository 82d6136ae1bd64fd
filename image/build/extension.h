#pragma once

#include <string>
#include <vector>

#include "image/build/inspect.h"
#include "image/build/root.h"
#include "image/sign/key.h"
#include "image/spec/spec.h"
#include "init/upgrade/extension/record.h"
#include "init/upgrade/manifest.h"

namespace steppe::build {

struct MadeExtension {
  upgrade::Extension named;  // as the image names it
  std::string bytes;         // of its file; empty for one made elsewhere
  std::string path;          // of the file of one made elsewhere; empty when that is not at hand
  fs::Tree tree;             // what a made one holds
};

// Every extension of the spec: those to be made here are made and signed with the image's key, those made elsewhere are taken by what
// they are (the file is checked as verify_extension does, but for its signature). In the order of their names. Same spec,
// lock and key: same bytes.
Result<std::vector<MadeExtension>> make_extensions(const spec::Spec& spec, const Kernel& kernel, Packages& packages, const Shop& shop,
                                                   const Report& report);

// One of a tree; `key` may be null: it stays unsigned then.
struct Signer {
  sign::PrivateKey key;
  sign::Certificate certificate;
};
Result<std::optional<Signer>> read_signer(const spec::Signing& signing);
Result<MadeExtension> pack_extension(extension::Record record, std::string file_system, const Signer* signer);

// An extension's file taken apart.
struct ExtensionView {
  extension::Header header;
  uint64_t size = 0;
  std::string digest;  // its identity
  fs::Tree tree;
};
Result<ExtensionView> inspect_extension(ByteView file, Workbench& bench);
// Whether it is whole: signature by one of `trusted`, digest if one is expected, every byte of its hash tree, modules against their
// index and their kernel.
std::vector<Check> verify_extension(ByteView file, const ExtensionView& view, const std::vector<sign::Certificate>& trusted,
                                    const std::string& expected_digest);

}  // namespace steppe::build
