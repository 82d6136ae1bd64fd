#include <array>
#include <format>

#include "agent/jobspec/function_families.h"
#include "init/base/text.h"

namespace steppe::jobspec {
namespace {

using hcl::Kind;
using hcl::Number;
using hcl::Value;

using Address = unsigned __int128;  // the first `bits` bits of the network order, right-aligned

struct Network {
  Address address = 0;
  int bits = 32;  // of the family
  int prefix = 0;

  Address mask() const {
    Address all = bits == 128 ? ~Address{0} : (Address{1} << 32) - 1;
    return prefix == 0 ? 0 : all << (bits - prefix) & all;
  }
};

std::optional<Address> parse_v4(std::string_view text) {
  auto parts = split(text, '.');
  if (parts.size() != 4) return std::nullopt;
  Address address = 0;
  for (std::string_view part : parts) {
    auto byte = parse_uint(part);
    if (!byte.ok() || *byte > 255 || part.size() > 3 || (part.size() > 1 && part[0] == '0')) return std::nullopt;
    address = address << 8 | *byte;
  }
  return address;
}

// One side of "::", as 16-bit groups; a dotted tail counts as two.
bool parse_groups(std::string_view text, std::vector<uint16_t>& groups) {
  if (text.empty()) return true;
  auto parts = split(text, ':');
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].contains('.')) {
      auto tail = i + 1 == parts.size() ? parse_v4(parts[i]) : std::nullopt;
      if (!tail) return false;
      groups.push_back(static_cast<uint16_t>(*tail >> 16));
      groups.push_back(static_cast<uint16_t>(*tail));
      continue;
    }
    if (parts[i].empty() || parts[i].size() > 4) return false;
    uint16_t group = 0;
    for (char c : parts[i]) {
      int digit = c >= '0' && c <= '9'   ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                         : -1;
      if (digit < 0) return false;
      group = static_cast<uint16_t>(group << 4 | digit);
    }
    groups.push_back(group);
  }
  return groups.size() <= 8;
}

std::optional<Address> parse_v6(std::string_view text) {
  std::vector<uint16_t> front, back;
  size_t gap = text.find("::");
  if (gap == text.npos) {
    if (!parse_groups(text, front) || front.size() != 8) return std::nullopt;
  } else {
    if (text.find("::", gap + 1) != text.npos) return std::nullopt;
    if (!parse_groups(text.substr(0, gap), front) || !parse_groups(text.substr(gap + 2), back)) return std::nullopt;
    if (front.size() + back.size() > 7) return std::nullopt;
    front.resize(8 - back.size(), 0);
    front.insert(front.end(), back.begin(), back.end());
  }
  Address address = 0;
  for (uint16_t group : front) address = address << 16 | group;
  return address;
}

// RFC 5952: lower case, the longest run of zero groups (two at least, the first of equals) as "::".
std::string v6_text(Address address) {
  std::array<uint16_t, 8> groups;
  for (size_t i = 8; i-- > 0; address >>= 16) groups[i] = static_cast<uint16_t>(address);
  size_t best = 8, best_length = 1;
  for (size_t i = 0; i < 8; ++i) {
    size_t end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i > best_length) best = i, best_length = end - i;
  }
  std::string out;
  for (size_t i = 0; i < 8; ++i) {
    if (i == best) {
      out += "::";
      i += best_length - 1;
      continue;
    }
    if (!out.empty() && !out.ends_with(':')) out += ':';
    out += std::format("{:x}", groups[i]);
  }
  return out;
}

std::string address_text(Address address, int bits) {
  if (bits == 128) return v6_text(address);
  auto part = [&](int shift) { return static_cast<unsigned>(address >> shift & 0xFF); };
  return std::format("{}.{}.{}.{}", part(24), part(16), part(8), part(0));
}
std::string network_text(const Network& network) {
  return std::format("{}/{}", address_text(network.address, network.bits), network.prefix);
}

Result<Network> parse_network(const Value& value) {
  std::string_view text = value.string();
  size_t slash = text.find('/');
  auto fail = [&] { return invalid(std::format("invalid CIDR expression: \"{}\"", text.substr(0, 64))); };
  if (slash == text.npos) return fail();
  Network network;
  std::string_view host = text.substr(0, slash);
  auto address = host.contains(':') ? parse_v6(host) : parse_v4(host);
  network.bits = host.contains(':') ? 128 : 32;
  auto prefix = parse_uint(text.substr(slash + 1));
  if (!address || !prefix.ok() || *prefix > static_cast<uint64_t>(network.bits)) return fail();
  network.prefix = static_cast<int>(*prefix);
  network.address = *address & network.mask();
  return network;
}

Result<Value> host(Arguments a, hcl::Budget&) {
  STEPPE_TRY(Network network, parse_network(a[0]));
  STEPPE_TRY(int64_t number, whole(a[1]));
  int room = network.bits - network.prefix;
  Address size = room >= 127 ? ~Address{0} : Address{1} << room;
  Address wanted = number < 0 ? static_cast<Address>(-(number + 1)) + 1 : static_cast<Address>(number);
  // Negative numbers count from the end: -1 is the last address.
  if (number < 0 ? wanted > size : wanted >= size) {
    return invalid(std::format("prefix of {} does not accommodate a host numbered {}", network.prefix, number));
  }
  Address offset = number < 0 ? size - wanted : wanted;
  return Value(address_text(network.address | offset, network.bits));
}

Result<Value> netmask(Arguments a, hcl::Budget&) {
  STEPPE_TRY(Network network, parse_network(a[0]));
  return Value(address_text(network.mask(), network.bits));
}

Result<Network> extend(const Network& network, int64_t by) {
  if (by < 0 || by > network.bits - network.prefix) {
    return invalid(std::format("insufficient address space to extend prefix of {} by {}", network.prefix, by));
  }
  Network out = network;
  out.prefix += static_cast<int>(by);
  return out;
}

Result<Value> subnet(Arguments a, hcl::Budget&) {
  STEPPE_TRY(Network network, parse_network(a[0]));
  STEPPE_TRY(int64_t by, whole(a[1]));
  STEPPE_TRY(int64_t number, whole(a[2]));
  STEPPE_TRY(Network part, extend(network, by));
  bool fits = number >= 0 && (by >= 63 || number < (int64_t{1} << by));
  if (!fits)
    return invalid(std::format("prefix extension of {} does not accommodate a subnet numbered {}", by, number));
  if (part.bits > part.prefix) {
    part.address |= static_cast<Address>(number) << (part.bits - part.prefix);
  } else {
    part.address |= static_cast<Address>(number);
  }
  return Value(network_text(part));
}

// Consecutive networks, each aligned to its own size.
Result<Value> subnets(Arguments a, hcl::Budget&) {
  STEPPE_TRY(Network network, parse_network(a[0]));
  Value::Sequence out;
  Address next = network.address;
  bool full = false;
  for (const Value& value : a.subspan(1)) {
    STEPPE_TRY(int64_t by, whole(value));
    if (by < 1) return invalid("must extend prefix by at least one bit");
    if (by > 32) return invalid("may not extend prefix by more than 32 bits");
    STEPPE_TRY(Network part, extend(network, by));
    int room = part.bits - part.prefix;
    Address size = Address{1} << room;
    Address start = (next + size - 1) & ~(size - 1);
    Address last = network.address |
                   (network.bits == 128 && network.prefix == 0 ? ~Address{0}
                                                               : (Address{1} << (network.bits - network.prefix)) - 1);
    if (full || start < next || start > last || size - 1 > last - start) {
      return invalid(
          std::format("not enough remaining address space for a subnet with a prefix of {} bits", part.prefix));
    }
    part.address = start;
    out.emplace_back(network_text(part));
    full = start + (size - 1) == last;
    next = start + size;
  }
  return Value::make_sequence(Kind::kList, std::move(out));
}

}  // namespace

void add_networks(hcl::FunctionTable& table) {
  auto prefix = text_parameter("prefix");
  add(table, "cidrhost", {prefix, number_parameter("hostnum")}, host);
  add(table, "cidrnetmask", {prefix}, netmask);
  add(table, "cidrsubnet", {prefix, number_parameter("newbits"), number_parameter("netnum")}, subnet);
  add_variadic(table, "cidrsubnets", {prefix}, number_parameter("newbits"), subnets);
}

}  // namespace steppe::jobspec
