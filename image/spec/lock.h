#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "image/spec/spec.h"
#include "init/base/result.h"

namespace steppe::spec {

// What a package is fetched for.
enum class Role : uint8_t { kKernel, kRoot, kTask, kExtension };
std::string_view role_name(Role role);

struct LockedPackage {
  Role role = Role::kKernel;
  std::string name, version, architecture, digest;  // SHA-256 of the package file, hexadecimal
  friend auto operator<=>(const LockedPackage&, const LockedPackage&) = default;
};

// The file beside a spec that pins what its packages are. Text, one record a line:
//   steppe-lock 1
//   asked ROLE NAME
//   package ROLE NAME VERSION ARCHITECTURE SHA256
struct Lock {
  std::vector<LockedPackage> packages;              // sorted
  std::vector<std::pair<Role, std::string>> asked;  // what the spec wanted when it was made, sorted
};

std::string write_lock(const Lock& lock);
// kInvalid names the line; kUnsupported is a newer version of the format.
Result<Lock> parse_lock(std::string_view text, const std::string& file);

// What the spec wants from Debian, sorted: compared with Lock::asked.
std::vector<std::pair<Role, std::string>> wanted_packages(const Spec& spec);
// kInvalid, with the difference and what to do, when the lock was made for other wishes.
Result<> check_lock(const Spec& spec, const Lock& lock, const std::string& file);

// "image/steppe.hcl" -> "image/steppe.lock".
std::string lock_path(const std::string& spec_file);

}  // namespace steppe::spec
