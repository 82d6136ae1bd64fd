#pragma once

#include <span>
#include <string_view>

namespace steppe::spec {

// A named list of kernel modules. A pattern is a shell pattern ('*' and '?') over a module's name with '_' for '-', or,
// when it holds a '/', over its path below the kernel's module directory without the suffix: "kernel/drivers/nvme/*".
// What a module needs comes along by itself.
struct ModuleClass {
  std::string_view name;
  std::string_view what;
  std::span<const std::string_view> patterns;
};

std::span<const ModuleClass> module_classes();                // in the order of the table
const ModuleClass* find_module_class(std::string_view name);  // null when there is none

}  // namespace steppe::spec
