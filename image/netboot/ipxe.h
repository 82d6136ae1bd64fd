#pragma once

#include <string>
#include <string_view>

namespace steppe::netboot {

// An iPXE script (ipxe.org/scripting) that starts kernel and initrd lying beside it. `arguments` replace the command
// line that the signed image carries, so they must be complete. They hold no "${", which iPXE would expand.
std::string ipxe_script(std::string_view title, std::string_view kernel, std::string_view initrd,
                        std::string_view arguments);

}  // namespace steppe::netboot
