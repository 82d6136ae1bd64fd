#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

// What an image is to be, as its spec file says (HCL). Paths of the build host are absolute here; a relative one in the
// file starts at the file's directory.
namespace steppe::spec {

using TextList = std::vector<std::string>;

enum class Architecture : uint8_t { kAmd64, kArm64 };
std::string_view architecture_name(Architecture architecture);  // "amd64", "arm64": Debian's names

struct Image {
  std::string name = "steppe";
  std::string version;  // "1.2.3-rc1": a-z, digits, '.', '-', '~', '^'; begins with a digit; at most 64
  Architecture architecture = Architecture::kAmd64;
  int64_t security_version = 1;  // a node refuses an image with a lower one than it has run
  int64_t date_s = 0;            // of every file in the image: unix time, 0 .. 2^32 - 1
};

struct Kernel {
  std::string package;    // Debian's: the kernel itself or the package that depends on the newest
  std::string directory;  // instead: a root with boot/vmlinuz-VERSION and lib/modules/VERSION
  std::string version;    // with `directory` when it holds several
  TextList arguments;
  TextList classes;  // names of module_classes.h
  TextList modules;  // patterns of names beside the classes
  TextList initrd;   // modules that mount the root: /modules of the initrd, in this order after what each needs
};

struct Boot {
  std::string init;  // program that becomes /init
  bool strip = false;
  std::string stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
  std::string loader = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
};

struct File {
  std::string path;  // in the image's root
  std::string source;
  std::optional<std::string> content;  // instead of `source`
  uint32_t mode = 0644;
  bool strip = false;  // of its symbols
};
struct Link {
  std::string path, target;
};
struct Directory {
  std::string path;
  uint32_t mode = 0755;
};
struct PackageFiles {  // some files of a package, at their places
  std::string package;
  TextList files;
};
struct Bundle {  // files of a package, one after the other in the order of their names
  std::string path, package;
  TextList files;
};

struct TaskRoot {
  TextList packages;                         // with what they depend on
  TextList without;                          // packages that stay out although something depends on them
  TextList remove;                           // patterns of paths
  std::map<std::string, std::string> links;  // path -> target
};

// A signed read-only file system that the image names and does not hold (init/upgrade/extension/record.h): made elsewhere (`file`, or
// `digest` and `size` of one that is not at hand), or made with the image of what follows.
struct Extension {
  std::string name;
  std::string file;          // made elsewhere
  std::string digest;        // 64 hexadecimal digits: SHA-256 of the file
  uint64_t size = 0;         // of the file, bytes
  std::string version;       // the image's, unless said
  TextList modules;          // patterns of names, with what they need
  std::vector<PackageFiles> packages;
  std::vector<File> files;
  std::vector<Link> links;
  bool made_here() const { return file.empty() && digest.empty(); }
};

struct Signing {
  // PEM files. Without a certificate the image stays unsigned. With one and no key it is to be signed elsewhere: it carries the
  // certificate, by which a node knows the next image, and `steppe-image sign` then gives the bytes that building with the key gives.
  std::string key, certificate;
  TextList also_trusted;         // certificates, PEM files, by whose keys extensions may be signed beside this one
};

struct Limits {
  Bytes image = Bytes::mib(32), task_root = Bytes::mib(8);
};

struct Compression {
  int64_t level = 19;  // of zstd, 1 to 22
  Bytes block = Bytes::mib(1);
};

struct Waiver {  // of one row of the hardening table, for this image
  std::string row, reason;  // "sysctl kernel.kexec_load_disabled"
};

struct Spec {
  std::string file;  // where it was read
  Image image;
  TextList components;  // of the archive, beside those that the build host has: "non-free-firmware"
  Kernel kernel;
  Boot boot;
  std::vector<File> files;
  std::vector<Link> links;
  std::vector<Directory> directories;
  std::vector<PackageFiles> packages;
  std::vector<Bundle> bundles;
  TaskRoot task_root;
  std::vector<Extension> extensions;
  std::vector<Waiver> waivers;
  Signing signing;
  Limits limits;
  Compression compression;
};

// Values for `variable` blocks, from the command line.
using Variables = std::map<std::string, std::string, std::less<>>;

// Strict: an unknown block or key, a wrong type or value is an error with file, line, column, excerpt and what was
// expected; all of them are reported at once. `file` names the text and anchors its relative paths.
Result<Spec> parse_spec(std::string text, const std::string& file, const Variables& variables);

}  // namespace steppe::spec
