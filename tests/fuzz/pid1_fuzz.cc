#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "init/boot/coldplug.h"
#include "init/boot/module_index.h"
#include "init/supervise/notice.h"

// What PID 1 and its children read as text: notices of services, uevents and modaliases of devices, the modules' index.
namespace {
using namespace steppe;

void check_notice(std::string_view text) {
  supervise::Notice notice = supervise::read_notice(text);
  auto plain = [](char c) { return c >= ' ' && c <= '~'; };
  if (notice.status().size() > supervise::Notice::kMaxStatus || !std::ranges::all_of(notice.status(), plain)) std::abort();
  if (notice.name().empty() || notice.name().find_first_of("/:\n") != std::string_view::npos) std::abort();
}

// The modalias to look for stands before the first NUL.
void check_index(std::string_view text) {
  size_t end = std::min(text.find('\0'), text.size());
  std::string_view modalias = text.substr(0, end);
  auto index = boot::ModuleIndex::parse(std::string(text.substr(std::min(end + 1, text.size()))));
  if (!index.ok()) return;
  for (std::string_view name : index->find(modalias)) {
    for (std::string_view file : index->files(name)) {
      if (file.empty() || file.front() == '/' || file.starts_with("../") || file.find("/../") != std::string_view::npos) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: check_notice(text); break;
    case 1: check_index(text); break;
    case 2: {
      std::string_view modalias = boot::uevent_modalias(as_bytes(text));
      if (modalias.size() > 1'024) std::abort();
      break;
    }
    default: {
      size_t middle = text.size() / 2;
      static_cast<void>(boot::alias_matches(text.substr(0, middle), text.substr(middle)));
    }
  }
  return 0;
}
