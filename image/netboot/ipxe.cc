#include "image/netboot/ipxe.h"

#include <format>

namespace steppe::netboot {

std::string ipxe_script(const BootSet& set) {
  return std::format(
      "#!ipxe\n"
      "# {0}\n"
      "imgfree\n"
      "iseq ${{platform}} efi && goto efi ||\n"
      "kernel {2} initrd={3} {4} || goto failed\n"
      "initrd --name {3} {3} || goto failed\n"
      "boot || goto failed\n"
      ":efi\n"
      "kernel {1} {4} || goto failed\n"
      "boot || goto failed\n"
      ":failed\n"
      "echo {0}: cannot start, trying the next way to boot in 10 seconds\n"
      "sleep 10\n"
      "exit 1\n",
      set.title, set.image, set.kernel, set.initrd, set.arguments);
}

}  // namespace steppe::netboot
