#pragma once

#include <array>
#include <cstdint>
#include <string_view>

// The disk of a machine: the one place that names its partitions. The builder writes them, PID 1 finds them by type, and by
// label where several disks have them.
namespace steppe::machine {

// A GUID as text, as sfdisk and people write it. In a GPT its first three groups are little-endian.
inline constexpr std::string_view kTypeEsp = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";    // UEFI specification 5.3.3
inline constexpr std::string_view kTypeState = "53544550-5045-4E53-9A01-5354415445A1";  // ours
inline constexpr std::string_view kTypeData = "53544550-5045-4E53-9A02-444154415FA1";   // ours
inline constexpr std::string_view kTypeConfig = "53544550-5045-4E53-9A03-434F4E4649A1"; // ours: a partition with steppe.hcl

inline constexpr std::string_view kLabelEsp = "STEPPE-ESP";
inline constexpr std::string_view kLabelState = "STEPPE-STATE";
inline constexpr std::string_view kLabelData = "STEPPE-DATA";
inline constexpr std::string_view kLabelConfig = "STEPPE-CONFIG";

inline constexpr uint64_t kMinEspMib = 512;    // two images, a third while it is written, and what firmware leaves
inline constexpr uint64_t kMinStateMib = 128;
inline constexpr uint64_t kStateMib = 1024;    // when a disk is laid out
inline constexpr uint64_t kMinDataMib = 512;
inline constexpr uint64_t kAlignMib = 1;       // every partition starts on such a boundary

// Below the ESP's root.
inline constexpr std::string_view kImageDirectory = "EFI/Linux";
inline constexpr std::string_view kLoaderX64 = "EFI/BOOT/BOOTX64.EFI";
inline constexpr std::string_view kLoaderArm64 = "EFI/BOOT/BOOTAA64.EFI";
inline constexpr std::string_view kConfigFile = "steppe.hcl";

}  // namespace steppe::machine
