#include "image/netboot/ipxe.h"

#include <format>

namespace steppe::netboot {

std::string ipxe_script(std::string_view title, std::string_view kernel, std::string_view initrd,
                        std::string_view arguments) {
  return std::format("#!ipxe\n# {}\nimgfree\nkernel {} initrd={} {}\ninitrd --name {} {}\nboot\n", title, kernel,
                     initrd, arguments, initrd, initrd);
}

}  // namespace steppe::netboot
