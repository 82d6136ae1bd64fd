#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "init/base/result.h"
#include "init/base/rng.h"

namespace steppe {

// 128 random bits in the RFC 9562 version 4 layout, printed as 8-4-4-4-12 lower-case hex digits.
struct Uuid {
  std::array<std::byte, 16> bytes{};

  static Uuid random(Rng& rng);
  static Result<Uuid> parse(std::string_view text);  // exactly 36 characters, either case
  std::string text() const;
  std::string short_text() const { return text().substr(0, 8); }
  bool nil() const { return *this == Uuid{}; }
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

// A Uuid that knows what it names: an AllocId is not a NodeId.
template <class Tag>
struct Id : Uuid {
  Id() = default;
  explicit Id(const Uuid& uuid) : Uuid(uuid) {}
  static Id random(Rng& rng) { return Id(Uuid::random(rng)); }
  static Result<Id> parse(std::string_view text) {
    auto uuid = Uuid::parse(text);
    if (!uuid.ok()) return std::move(uuid).error();
    return Id(*uuid);
  }
  friend auto operator<=>(const Id&, const Id&) = default;
};

using AllocId = Id<struct AllocTag>;
using NodeId = Id<struct NodeTag>;
using EvalId = Id<struct EvalTag>;
using DeploymentId = Id<struct DeploymentTag>;

}  // namespace steppe

template <>
struct std::hash<steppe::Uuid> {
  size_t operator()(const steppe::Uuid& id) const noexcept {
    // Random by construction: any eight of its bytes are a hash.
    size_t value;
    __builtin_memcpy(&value, id.bytes.data() + 8, sizeof value);
    return value;
  }
};
template <class Tag>
struct std::hash<steppe::Id<Tag>> : std::hash<steppe::Uuid> {};
