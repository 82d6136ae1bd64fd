#include "init/sys/kernel/ip_prefix.h"

#include <arpa/inet.h>

#include <format>

#include "init/base/text.h"

namespace steppe::kernel {

Result<IpAddress> IpAddress::parse(std::string_view text) {
  IpAddress out;
  const bool six = text.contains(':');
  out.size = six ? 16 : 4;
  if (text.size() >= INET6_ADDRSTRLEN || ::inet_pton(six ? AF_INET6 : AF_INET, std::string(text).c_str(), out.bytes.data()) != 1) {
    return Error(Code::kInvalid, std::format("\"{}\" is not an IP address", text.substr(0, 64)));
  }
  return out;
}

std::string IpAddress::text() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (size != 0) ::inet_ntop(size == 16 ? AF_INET6 : AF_INET, bytes.data(), text, sizeof text);
  return text;
}

Result<IpPrefix> IpPrefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  IpPrefix out;
  STEPPE_TRY(out.address, IpAddress::parse(text.substr(0, slash)));
  out.length = static_cast<uint8_t>(out.address.size * 8);
  if (slash == text.npos) return out;
  const std::string_view digits = text.substr(slash + 1);
  auto length = parse_uint(digits);
  if (!length.ok() || *length > out.address.size * 8u) {
    return Error(Code::kInvalid, std::format("\"{}\": the network's length is a number from 0 to {}", text.substr(0, 64), out.address.size * 8));
  }
  out.length = static_cast<uint8_t>(*length);
  return out;
}

std::string IpPrefix::text() const { return std::format("{}/{}", address.text(), length); }

}  // namespace steppe::kernel
