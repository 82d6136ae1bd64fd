#pragma once

#include <string>
#include <string_view>

namespace steppe::netboot {

// The names of what lies beside the script.
struct BootSet {
  std::string_view title;           // for people: "Steppe 1.2.3"
  std::string_view image;           // the one signed file
  std::string_view kernel, initrd;  // its parts
  std::string_view arguments;       // of the kernel, complete; no "${" in them, which
                                    // iPXE would expand
};

// An iPXE script (ipxe.org/scripting). Under UEFI it starts the signed file,
// which firmware can check; under a BIOS, that cannot start such a file, kernel
// and initrd. Without Secure Boot the arguments that iPXE passes replace those
// in the image (with it they are ignored), so the script repeats them.
std::string ipxe_script(const BootSet& set);

}  // namespace steppe::netboot
