#include "init/machine/node/console_line.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::node {
namespace {

using kernel::IpAddress;
using kernel::IpPrefix;

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> out;
  while (!line.empty()) {
    const size_t start = std::min(line.find_first_not_of(" \t\r\n"), line.size());
    line.remove_prefix(start);
    const size_t end = std::min(line.find_first_of(" \t\r\n"), line.size());
    if (end > 0) out.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return out;
}

// Only what can be shown again goes into a message.
std::string shown(std::string_view word) {
  std::string out(word.substr(0, 40));
  std::ranges::replace_if(out, [](char c) { return c < 0x21 || c > 0x7e; }, '?');
  return out;
}

bool device_name(std::string_view name) {
  return !name.empty() && name.size() < 16 && name != "." && name != ".." && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
  });
}

Result<> take_pair(std::string_view key, std::string_view value, ConsoleLine& out) {
  const IpAddress& own = out.link.addresses[0].address;
  if (key == "device") {
    if (!device_name(value)) return Error(Code::kInvalid, std::format("\"{}\" is no device's name", shown(value)));
    out.link.match.name = value;
    return {};
  }
  if (key != "gateway" && key != "dns") return Error(Code::kInvalid, std::format("\"{}\" is not known: expected gateway, dns or device", shown(key)));
  Result<IpAddress> address = IpAddress::parse(value);
  if (!address.ok()) return Error(Code::kInvalid, std::format("{}: \"{}\" is no address", key, shown(value)));
  if (key == "dns") {
    if (out.dns.size() == network::kMaxServers) return Error(Code::kExhausted, "too many name servers");
    out.dns.push_back(*address);
    return {};
  }
  if (address->size != own.size) return Error(Code::kInvalid, "the gateway is of the other kind of address");
  if (!out.link.routes.empty()) return Error(Code::kInvalid, "one gateway is enough");
  out.link.routes.push_back({.destination = {.address = {.size = address->size}, .length = 0}, .gateway = *address});
  return {};
}

Result<ConsoleLine> read_address(const std::vector<std::string_view>& words) {
  ConsoleLine out{.kind = ConsoleLine::Kind::kAddress};
  out.link.dhcp = false;
  Result<IpPrefix> address = words.size() > 1 && words[1].find('/') != words[1].npos ? IpPrefix::parse(words[1]) : Result<IpPrefix>(Code::kInvalid, "");
  if (!address.ok() || address->length == 0) return Error(Code::kInvalid, "expected: address ADDRESS/LENGTH, such as address 192.0.2.5/24 gateway 192.0.2.1");
  out.link.addresses.push_back(*address);
  for (size_t i = 2; i < words.size(); i += 2) {
    if (i + 1 == words.size()) return Error(Code::kInvalid, std::format("\"{}\" wants a value", shown(words[i])));
    STEPPE_TRY_VOID(take_pair(words[i], words[i + 1], out));
  }
  return out;
}

}  // namespace

Result<ConsoleLine> read_console_line(std::string_view line) {
  if (line.size() > kMaxConsoleLine) return Error(Code::kInvalid, std::format("a line has {} bytes at most", kMaxConsoleLine));
  const std::vector<std::string_view> words = words_of(line);
  if (words.empty()) return ConsoleLine{};
  if (words[0] == "address") return read_address(words);
  if (words.size() == 1 && words[0] == "help") return ConsoleLine{.kind = ConsoleLine::Kind::kHelp};
  if (words.size() == 1 && words[0] == "show") return ConsoleLine{.kind = ConsoleLine::Kind::kShow};
  return Error(Code::kInvalid, std::format("\"{}\" is not known: type help", shown(words[0])));
}

}  // namespace steppe::node
