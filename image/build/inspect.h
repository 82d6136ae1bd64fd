#pragma once

#include <optional>
#include <optional>
#include <string>
#include <vector>

#include "image/build/workbench.h"
#include "image/fs/tree.h"
#include "image/sign/authenticode.h"
#include "image/uki/pe.h"
#include "init/machine/hardening/table.h"
#include "init/upgrade/manifest.h"

namespace steppe::build {

struct SectionView {
  std::string name, digest;  // SHA-256 of what it holds
  uint64_t size = 0;
};

// An image taken apart. Nothing in it is believed: every part has bounds, and what does not fit is an error.
struct Inspection {
  uint64_t size = 0;
  std::string digest;         // the image's identity: SHA-256 of the whole file
  std::string signed_digest;  // what a signature covers
  uint16_t machine = 0;       // of the PE header
  std::vector<SectionView> sections;
  std::vector<sign::Signature> signers;  // as the file claims
  std::string os_release, arguments, release, sbat;
  upgrade::Manifest manifest;
  std::string manifest_bytes;  // the section, without padding
  fs::Tree initrd, root;
  std::optional<hardening::Table> hardening;  // nothing: the root has none
};

inline constexpr Bytes kMaxImageFile = Bytes::mib(512);

// kCorrupt or kInvalid names the part that is wrong.
Result<Inspection> inspect_image(ByteView file, Workbench& bench);

// One thing that was looked at, and what is wrong with it ("" when nothing is).
struct Check {
  std::string name, fault;
};
// Whether the image is whole and in agreement with itself: signature by one of `trusted`, digest if one is expected,
// manifest against os-release, kernel release, processor and the initrd's copy, modules against their index, the scan
// of its root.
std::vector<Check> verify_image(ByteView file, const Inspection& image, const std::vector<sign::Certificate>& trusted,
                                const std::string& expected_digest);

// What differs, a line each: "section .initrd: 10 -> 12 bytes", "root /usr/bin/steppe: changed, …". Empty: nothing.
std::vector<std::string> diff_images(const Inspection& a, const Inspection& b);

}  // namespace steppe::build
