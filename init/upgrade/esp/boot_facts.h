#pragma once

#include <optional>
#include <string>

#include "init/base/bytes.h"
#include "init/upgrade/carry.h"
#include "init/upgrade/manifest.h"

namespace steppe::esp {

// Of systemd's boot loader ("The Boot Loader Interface", LoaderEntrySelected and LoaderBootCountPath).
inline constexpr std::string_view kLoaderGuid = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

// The text of a loader's variable as efivarfs shows it: four bytes of attributes, then UTF-16 with zeros at its end. What is not
// ASCII becomes '?'. Nullopt when it is no such text, or longer than 512 characters. Pure.
std::optional<std::string> loader_text(ByteView variable);

// What runs: its manifest, and the digest of that, from the copy that PID 1 kept.
struct RunningImage {
  upgrade::Manifest manifest;
  upgrade::Digest section{};
};
Result<RunningImage> read_running(const std::string& manifest_path);

// The loader's variables below `efivars` and the running image; each absent where it cannot be read.
upgrade::BootFacts read_boot_facts(const std::string& efivars, const std::string& manifest_path);

}  // namespace steppe::esp
