#include "image/spec/lock.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::spec {
namespace {

constexpr std::string_view kVersionLine = "steppe-lock 1";

bool plain(std::string_view text) {
  return !text.empty() && text.size() <= 128 && std::ranges::all_of(text, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view(".+-~:_").contains(c);
  });
}

Result<Role> parse_role(std::string_view text) {
  for (const Role role : {Role::kKernel, Role::kRoot, Role::kTask, Role::kExtension}) {
    if (role_name(role) == text) return role;
  }
  return Error(Code::kInvalid, std::format("expected kernel, root, task or extension, found \"{}\"", text));
}

Result<> parse_line(std::string_view line, Lock& lock) {
  const auto words = split(line, ' ');
  if (words.size() == 3 && words[0] == "asked") {
    STEPPE_TRY(const Role role, parse_role(words[1]));
    if (!plain(words[2])) return Error(Code::kInvalid, "not the name of a package");
    lock.asked.emplace_back(role, words[2]);
    return {};
  }
  if (words.size() != 6 || words[0] != "package")
    return Error(Code::kInvalid, "expected \"asked ROLE NAME\" or \"package ROLE NAME VERSION ARCHITECTURE SHA256\"");
  STEPPE_TRY(const Role role, parse_role(words[1]));
  if (!plain(words[2]) || !plain(words[3]) || !plain(words[4]))
    return Error(Code::kInvalid, "a name or version holds other characters than letters, digits and .+-~:_");
  auto digest = unhex(words[5]);
  if (!digest.ok() || digest->size() != 32)
    return Error(Code::kInvalid, "expected the 64 hexadecimal digits of a SHA-256 at the end");
  lock.packages.push_back({role, std::string(words[2]), std::string(words[3]), std::string(words[4]), lower(words[5])});
  return {};
}

}  // namespace

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kKernel: return "kernel";
    case Role::kRoot: return "root";
    case Role::kTask: return "task";
    case Role::kExtension: return "extension";
  }
  return "";
}

std::string write_lock(const Lock& lock) {
  std::string out = std::string(kVersionLine) + "\n";
  for (const auto& [role, name] : lock.asked) out += std::format("asked {} {}\n", role_name(role), name);
  for (const LockedPackage& one : lock.packages)
    out += std::format("package {} {} {} {} {}\n", role_name(one.role), one.name, one.version, one.architecture,
                       one.digest);
  return out;
}

Result<Lock> parse_lock(std::string_view text, const std::string& file) {
  Lock lock;
  size_t number = 0;
  for (const std::string_view line : split(text, '\n')) {
    ++number;
    if (number == 1) {
      if (line == kVersionLine) continue;
      if (line.starts_with("steppe-lock "))
        return Error(Code::kUnsupported,
                     std::format("{}: written by a newer steppe-image: \"{}\", this one reads \"{}\"", file, line,
                                 kVersionLine));
      return Error(Code::kInvalid, std::format("{}:1: not a lock file: expected \"{}\"", file, kVersionLine));
    }
    if (line.empty()) continue;
    STEPPE_TRY_VOID(parse_line(line, lock).wrap(std::format("{}:{}", file, number)));
    if (lock.packages.size() > 10'000)
      return Error(Code::kExhausted, std::format("{}: more than 10,000 packages", file));
  }
  std::ranges::sort(lock.packages);
  std::ranges::sort(lock.asked);
  return lock;
}

std::vector<std::pair<Role, std::string>> wanted_packages(const Spec& spec) {
  std::vector<std::pair<Role, std::string>> out;
  if (!spec.kernel.package.empty()) out.emplace_back(Role::kKernel, spec.kernel.package);
  for (const PackageFiles& one : spec.packages) out.emplace_back(Role::kRoot, one.package);
  for (const Bundle& one : spec.bundles) out.emplace_back(Role::kRoot, one.package);
  for (const Extension& extension : spec.extensions)
    for (const PackageFiles& one : extension.packages) out.emplace_back(Role::kExtension, one.package);
  for (const std::string& name : spec.task_root.packages) out.emplace_back(Role::kTask, name);
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  return out;
}

Result<> check_lock(const Spec& spec, const Lock& lock, const std::string& file) {
  const auto wanted = wanted_packages(spec);
  if (wanted == lock.asked) return {};
  std::string changes;
  for (const auto& [role, name] : wanted) {
    if (!std::ranges::binary_search(lock.asked, std::pair(role, name)))
      changes += std::format(" +{} ({})", name, role_name(role));
  }
  for (const auto& [role, name] : lock.asked) {
    if (!std::ranges::binary_search(wanted, std::pair(role, name)))
      changes += std::format(" -{} ({})", name, role_name(role));
  }
  return Error(Code::kInvalid, std::format("{}: made for other packages than {} asks for:{}; run steppe-image lock {}",
                                           file, spec.file, changes, spec.file));
}

std::string lock_path(const std::string& spec_file) {
  const std::string_view stem = spec_file.ends_with(".hcl")
                                    ? std::string_view(spec_file).substr(0, spec_file.size() - 4)
                                    : std::string_view(spec_file);
  return std::string(stem) + ".lock";
}

}  // namespace steppe::spec
