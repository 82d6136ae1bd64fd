#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "image/build/workbench.h"
#include "image/fs/tree.h"
#include "image/spec/lock.h"

namespace steppe::build {

// Told what happens, in words for people. Warnings are loud.
struct Report {
  std::function<void(const std::string& text)> step, warning;
};

// Debian packages by digest, in a directory of the build host: STORE/debs/SHA256.deb. What is there is checked against
// its name whenever it is read. Packages come through the host's own apt (its sources and keys), with a state of its
// own under STORE/apt: nothing is installed, the host's lists stay as they are.
class Store {
 public:
  // `components`: of the archive, beside those that the host's sources name.
  Store(std::string directory, spec::Architecture architecture, spec::TextList components, Workbench& workbench, const Report& report);

  // Resolves what the spec wants as of now and fetches all of it. Needs the network.
  Result<spec::Lock> resolve(const spec::Spec& spec);
  // Fetches what is locked and not there yet; no network when nothing is missing. kNotFound: the archive has a locked
  // version no more; kDenied: it has other bytes under that version.
  Result<> fetch(const spec::Lock& lock);
  // The files of one package. Needs it to be there.
  Result<fs::Tree> open(const spec::LockedPackage& package);

  static constexpr Bytes kMaxPackage = Bytes::gib(1);

 private:
  Result<> prepare();
  Result<> add_components();
  std::vector<std::string> apt_options() const;
  Result<std::string> apt(const std::string& program, std::vector<std::string> words);
  // Name, version and architecture of packages, by what apt would download for `words`.
  Result<std::vector<spec::LockedPackage>> ask(spec::Role role, const std::string& program,
                                               std::vector<std::string> words);
  Result<std::string> newest_kernel(const std::string& package);
  Result<std::string> download(const spec::LockedPackage& package);  // its digest
  std::string deb_path(const std::string& digest) const { return directory_ + "/debs/" + digest + ".deb"; }

  std::string directory_;
  spec::Architecture architecture_;
  spec::TextList components_;
  Workbench& workbench_;
  const Report& report_;
  bool updated_ = false, own_sources_ = false;
};

}  // namespace steppe::build
