#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "init/base/result.h"

namespace steppe::upgrade {

inline constexpr size_t kMaxVersion = 64;    // bytes of a version
inline constexpr uint32_t kMaxTries = 9999;  // in a counter
inline constexpr uint32_t kTries = 3;        // that a new image gets

// The counter in a file name, UAPI.1 "Boot counting": LEFT tries to go, DONE gone.
struct Counter {
  uint32_t left = 0;
  uint32_t done = 0;
  friend bool operator==(Counter, Counter) = default;
};

// `steppe-VERSION[+LEFT[-DONE]].efi`. The loader takes LEFT down and DONE up before each start; no counter means good;
// +0-DONE means bad; +0-0, which no loader ever makes, is a good image that was set aside for a deliberate step back.
struct SlotName {
  std::string version;             // [a-z0-9][a-z0-9.~^-]*, at most kMaxVersion bytes
  std::optional<Counter> counter;
  bool good() const { return !counter; }
  bool tries_left() const { return counter && counter->left > 0; }
  bool set_aside() const { return counter && counter->left == 0 && counter->done == 0; }
  bool bad() const { return counter && counter->left == 0 && counter->done > 0; }
  friend bool operator==(const SlotName&, const SlotName&) = default;
};

// A version that can stand in a file name; the error says what is wrong with it. Lower case only: FAT knows no difference.
Result<> check_version(std::string_view version);

// Nullopt for every name that is not exactly of that form (ASCII letters in any case, as FAT and firmware may show them).
std::optional<SlotName> parse_slot_name(std::string_view name);
std::string slot_file_name(const SlotName& name);
// "steppe-1.2.efi+…" is written under this name first: slot_file_name of its version and ".part".
std::string part_name(std::string_view version);
bool is_part_name(std::string_view name);

// What an EFI variable of the loader names: LoaderEntrySelected ("steppe-2+3.efi" in systemd 252, "steppe-2.efi" in 257)
// or LoaderBootCountPath ("\EFI\Linux\steppe-2+2-1.efi"). Nullopt when it is not a file of ours.
std::optional<SlotName> parse_loader_value(std::string_view value);

}  // namespace steppe::upgrade
