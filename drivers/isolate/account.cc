#include "drivers/isolate/account.h"

#include <algorithm>
#include <format>
#include <optional>

#include "init/base/text.h"

namespace steppe::isolate {
namespace {

constexpr uint64_t kMaxId = 0x7ffffffe;

Result<uint32_t> parse_id(std::string_view text, std::string_view user) {
  auto id = parse_uint(text);
  if (!id.ok() || *id > kMaxId) return {Code::kInvalid, std::format("user \"{}\": {} is not an id between 0 and {}", user, text, kMaxId)};
  return static_cast<uint32_t>(*id);
}

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// The first line whose field `field` equals `value`.
std::optional<std::vector<std::string_view>> find_line(std::string_view file, size_t field, std::string_view value, size_t fields) {
  for (std::string_view line : split(file, '\n')) {
    std::vector<std::string_view> parts = split(line, ':');
    if (parts.size() >= fields && parts[field] == value) return parts;
  }
  return std::nullopt;
}

}  // namespace

Result<Account> resolve_account(const kernel::Beneath& etc, std::string_view user) {
  auto passwd = etc.read("passwd", Bytes::mib(4));
  auto group = etc.read("group", Bytes::mib(4));
  for (const auto* file : {&passwd, &group}) {
    if (!file->ok() && file->error().code() != Code::kNotFound) return file->error().wrap(std::format("user \"{}\"", user));
  }
  std::string users = passwd.ok() ? *passwd : "", groups = group.ok() ? *group : "";
  size_t colon = user.find(':');
  std::string_view who = user.substr(0, colon);
  Account account;
  account.name = who;
  auto line = find_line(users, is_number(who) ? 2 : 0, who, 7);
  if (line) {
    STEPPE_TRY(account.uid, parse_id((*line)[2], user));
    STEPPE_TRY(account.gid, parse_id((*line)[3], user));
    account.name = (*line)[0];
    account.home = (*line)[5];
  } else if (is_number(who)) {
    STEPPE_TRY(account.uid, parse_id(who, user));
    account.gid = account.uid;
  } else if (who != "nobody") {
    return {Code::kInvalid, std::format("user \"{}\": no such user in the task's /etc/passwd", user)};
  }
  if (colon != std::string_view::npos) {
    std::string_view wanted = user.substr(colon + 1);
    auto found = find_line(groups, is_number(wanted) ? 2 : 0, wanted, 3);
    if (!found && !is_number(wanted)) return {Code::kInvalid, std::format("user \"{}\": no such group in the task's /etc/group", user)};
    STEPPE_TRY(account.gid, parse_id(found ? (*found)[2] : wanted, user));
    return account;  // a stated group stands alone
  }
  if (!line) return account;
  for (std::string_view entry : split(groups, '\n')) {
    std::vector<std::string_view> parts = split(entry, ':');
    if (parts.size() < 4) continue;
    std::vector<std::string_view> members = split(parts[3], ',');
    if (std::ranges::find(members, std::string_view(account.name)) == members.end()) continue;
    STEPPE_TRY(uint32_t gid, parse_id(parts[2], user));
    account.groups.push_back(gid);
    if (account.groups.size() > 1024) return {Code::kExhausted, std::format("user \"{}\": in more than 1024 groups", user)};
  }
  std::ranges::sort(account.groups);
  return account;
}

std::optional<AccountCache::Seen> AccountCache::look(const kernel::Beneath& etc, std::string_view file) {
  auto info = etc.stat(file);
  // A link may lead elsewhere tomorrow without changing itself.
  if (!info.ok() || info->type != kernel::FileType::kFile) return std::nullopt;
  return Seen{info->device, info->inode, info->size.count, info->modified_ns};
}

Result<Account> AccountCache::resolve(const kernel::Beneath& etc, std::string_view user) {
  auto passwd = look(etc, "passwd"), group = look(etc, "group");
  if (!passwd || !group) return resolve_account(etc, user);
  std::array<Seen, 2> now = {*passwd, *group};
  {
    std::lock_guard lock(mutex_);
    if (now != seen_ || known_.size() > 256) {
      known_.clear();
      seen_ = now;
    }
    if (auto it = known_.find(user); it != known_.end()) return it->second;
  }
  STEPPE_TRY(Account account, resolve_account(etc, user));
  std::lock_guard lock(mutex_);
  if (now == seen_) known_.emplace(user, account);
  return account;
}

Result<bool> id_is_listed(std::string_view ranges, uint32_t id) {
  for (std::string_view part : split(ranges, ',')) {
    part = trim(part);
    if (part.empty()) continue;
    size_t dash = part.find('-');
    auto low = parse_uint(part.substr(0, dash));
    auto high = dash == std::string_view::npos ? low : parse_uint(part.substr(dash + 1));
    if (!low.ok() || !high.ok() || *low > *high) return {Code::kInvalid, std::format("\"{}\" is not a range of ids", part)};
    if (id >= *low && id <= *high) return true;
  }
  return false;
}

}  // namespace steppe::isolate
