#include "init/boot/module_roots.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "init/boot/module_file.h"

namespace steppe::boot {
namespace {
constexpr size_t kMaxRoots = 32;
}

Result<ModuleRoot> open_module_root(const std::string& path) {
  kernel::Fd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return Error::from_errno(errno, "open " + path);
  kernel::Fd file(::openat(directory.get(), "modules.index", O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat st;
  if (!file.valid() || ::fstat(file.get(), &st) != 0) return Error::from_errno(errno, "open " + path + "/modules.index");
  if (st.st_size < 0 || static_cast<size_t>(st.st_size) > ModuleIndex::kMaxBytes) return {Code::kExhausted, path + "/modules.index is longer than 16 MiB"};
  std::string text(static_cast<size_t>(st.st_size), '\0');
  for (size_t at = 0; at < text.size();) {
    ssize_t got = ::read(file.get(), text.data() + at, text.size() - at);
    if (got <= 0) return Error::from_errno(got == 0 ? EIO : errno, "read " + path + "/modules.index");
    at += static_cast<size_t>(got);
  }
  STEPPE_TRY(ModuleIndex index, ModuleIndex::parse(std::move(text)));
  return ModuleRoot{std::move(directory), std::move(index)};
}

std::string image_modules() {
  utsname kernel_name;
  ::uname(&kernel_name);
  return std::string("/usr/lib/modules/") + kernel_name.release;
}

std::vector<std::string> new_module_roots(const std::string& directory, std::set<std::string, std::less<>>& known) {
  std::vector<std::string> out;
  DIR* listing = ::opendir(directory.c_str());
  if (listing == nullptr) return out;
  while (dirent* entry = ::readdir(listing)) {
    if (entry->d_name[0] == '.' || !plain_file_name(entry->d_name) || known.size() >= kMaxRoots) continue;
    if (known.emplace(entry->d_name).second) out.emplace_back(entry->d_name);
  }
  ::closedir(listing);
  std::ranges::sort(out);
  return out;
}

}  // namespace steppe::boot
