#include "image/cli/commands.h"

#include <format>

namespace steppe::cli {
namespace {

constexpr Command kCommands[] = {
    {"build",
     "SPEC [-o DIR] [-var NAME=VALUE]… [-disk SIZE [-qcow2 [-compress]]] [-iso] [-netboot] [-only-extensions] [-store DIR] [-json]",
     "make an image with its extensions and the list of what is in it; a disk image, a disc or a network boot set beside it",
     build_command},
    {"lock", "SPEC [-var NAME=VALUE]… [-store DIR]", "pin the newest packages that the spec asks for", lock_command},
    {"inspect", "IMAGE|EXTENSION [-json | -hardening]", "sections, manifest, hardening table and files of an image; record and files of an extension", inspect_command},
    {"verify", "IMAGE|EXTENSION -cert FILE… [-digest SHA256]", "signature, digest, manifest, modules, and the scan; or hash tree",
     verify_command},
    {"diff", "IMAGE IMAGE", "what differs; ends with 1 when something does", diff_command},
    {"scan", "IMAGE|SQUASHFS", "shells, interpreters, set-id bits and capabilities on the host's side", scan_command},
    {"sign", "PROGRAM -key FILE -cert FILE [-o FILE]", "sign an EFI program for Secure Boot", sign_command},
    {"write", "DISK-IMAGE DEVICE [-yes SERIAL|BYTES]",
     "put a disk image (.raw, .iso) on a device and read it back; says what -yes has to name", write_command},
    {"keygen", "PATH [-name NAME] [-bits N]", "make PATH.key and the certificate PATH.crt", keygen_command},
};

std::string usage() {
  std::string out = "steppe-image makes and looks at Steppe's images.\n\n";
  for (const Command& one : kCommands)
    out += std::format("  steppe-image {} {}\n      {}\n", one.name, one.arguments, one.what);
  return out;
}

}  // namespace

int run_command(Context& context, const std::vector<std::string>& words) {
  if (words.empty() || words[0] == "help" || words[0] == "-h" || words[0] == "-help" || words[0] == "--help") {
    (words.empty() ? context.error : context.out)(usage());
    return words.empty() ? 2 : 0;
  }
  for (const Command& one : kCommands) {
    if (one.name != words[0]) continue;
    const Result<int> code = one.run(context, {words.begin() + 1, words.end()});
    if (code.ok()) return *code;
    context.error(std::format("steppe-image {}: {}\n", one.name, code.error().message()));
    return 1;
  }
  context.error(std::format("steppe-image: no command \"{}\"\n\n{}", words[0], usage()));
  return 2;
}

}  // namespace steppe::cli
