#pragma once

#include <string>
#include <vector>

#include "init/base/bytes.h"
#include "init/base/result.h"

namespace steppe::io {

// Whole files by path, for command lines and configuration at start: these block, follow symbolic links, and are not for
// privileged code or for paths that tasks can touch.

// A regular file or a pipe; "-" is standard input. kExhausted when longer than `limit`.
Result<std::string> read_path(const std::string& path, Bytes limit);
// kExists when there is something already; nothing is left behind on failure.
Result<> create_path(const std::string& path, std::string_view content);
enum class PathKind : uint8_t { kMissing, kFile, kDirectory, kOther };
PathKind kind_of_path(const std::string& path);
// Names in a directory, sorted.
Result<std::vector<std::string>> list_path(const std::string& path);
Result<std::string> working_directory();

}  // namespace steppe::io
