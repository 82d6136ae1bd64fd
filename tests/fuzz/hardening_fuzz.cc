// The hardening table of an image, the kernel's configuration and command line, and the lines that PID 1 applies. What is read once
// must read the same when it is written again.
#include <cstdint>
#include <cstdlib>

#include "init/base/bytes.h"
#include "init/boot/kernel_settings.h"
#include "init/machine/hardening/kernel_config.h"
#include "init/machine/hardening/read_back.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto table = hardening::parse_table(text); table.ok()) {
    const auto again = hardening::parse_table(hardening::write_table(*table));
    if (!again.ok() || *again != *table) std::abort();
    const hardening::Observed machine{.setting = [](const std::string& path) { return std::optional<std::string>(path); },
                                      .command_line = text, .mountinfo = "1 1 7:0 / / ro - squashfs /dev/loop0 ro\n", .release = table->kernel};
    if (!hardening::read_back(*table, machine).ok()) std::abort();
    (void)hardening::settings_file(*table);
  }
  (void)hardening::parse_kernel_config(text);
  (void)hardening::command_words(text);
  (void)hardening::kernel_at_least(text, "6.12");
  if (const auto setting = boot::parse_setting(text); setting.ok()) {
    if (setting->path.starts_with('/') || setting->path.starts_with('.') || setting->path.find("/.") != std::string_view::npos) std::abort();
  }
  return 0;
}
