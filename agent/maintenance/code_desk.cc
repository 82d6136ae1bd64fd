#include "agent/maintenance/code_desk.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "init/io/stream.h"
#include "init/sys/kernel/ip_prefix.h"

namespace steppe::maintenance {

namespace {

constexpr std::string_view kLetters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";  // 32: five bits each
constexpr size_t kCodeLength = 10;

std::string plain(std::string_view code) {
  std::string out;
  for (char c : code.substr(0, 64)) {
    if (c != '-' && c != ' ') out.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return out;
}

}  // namespace

Secret make_code(Rng& rng) {
  std::array<std::byte, kCodeLength> bytes;
  rng.fill(bytes);
  std::string out;
  for (size_t i = 0; i < kCodeLength; ++i) {
    if (i == kCodeLength / 2) out.push_back('-');
    out.push_back(kLetters[static_cast<size_t>(bytes[i]) % kLetters.size()]);
  }
  return Secret(std::move(out));
}

std::string counted_address(std::string_view peer) {
  Result<io::Address> address = io::Address::parse(peer);
  Result<kernel::IpAddress> ip = address.ok() ? kernel::IpAddress::parse(address->ip) : Result<kernel::IpAddress>(Code::kInvalid, "");
  if (!ip.ok()) return "?";
  if (ip->size != 16) return ip->text();
  const bool mapped = std::all_of(ip->bytes.begin(), ip->bytes.begin() + 10, [](auto byte) { return byte == 0; }) && ip->bytes[10] == 0xff && ip->bytes[11] == 0xff;
  kernel::IpAddress out = *ip;
  if (mapped) {
    out.size = 4;
    std::copy_n(ip->bytes.begin() + 12, 4, out.bytes.begin());
    std::fill(out.bytes.begin() + 4, out.bytes.end(), 0);
  } else {
    std::fill(out.bytes.begin() + 8, out.bytes.end(), 0);
  }
  return out.text();
}

CodeDesk::Verdict CodeDesk::check(std::string_view peer, std::string_view code, MonoTime now) {
  if (now - window_ >= kWindow) {
    window_ = now;
    of_one_.clear();
    of_all_ = 0;
  }
  int& of_one = of_one_[counted_address(peer)];
  if (of_one >= kWrongOfOne || of_all_ >= kWrongOfAll) return Verdict::kLater;
  if (equal_in_constant_time(plain(code_.reveal()), plain(code))) return Verdict::kRight;
  ++of_one;
  ++of_all_;
  ++wrong_;
  return Verdict::kWrong;
}

}  // namespace steppe::maintenance
