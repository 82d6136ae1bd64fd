#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "agent/client/archive.h"
#include "agent/client/client_context.h"
#include "init/base/result.h"

namespace steppe::client {

struct Url {
  std::string scheme;  // "http", "https", "file"
  std::string host;
  uint16_t port = 0;
  std::string target;  // "/path?query" for http(s), the path for file
  std::string authorization;  // "Basic ..." from user:password@, never shown

  // kInvalid with the reason; the text shown holds neither user information nor the query.
  static Result<Url> parse(std::string_view text);
  // Of a redirect's Location against the URL that answered.
  Result<Url> resolve(std::string_view location) const;
  std::string shown() const;
  bool same_origin(const Url& other) const { return scheme == other.scheme && host == other.host && port == other.port; }
};

enum class ArchiveKind : uint8_t { kNone, kTar, kZip, kSingle };  // kSingle: one compressed file

// What an artifact block asks for, checked. Pure.
struct ArtifactPlan {
  Url url;
  std::string checksum_type, checksum;  // "sha256" and lower-case hex; empty: none asked
  ArchiveKind archive = ArchiveKind::kNone;
  Compression compression = Compression::kNone;
  std::string directory;  // where things go, relative to the task directory; "" is itself
  std::string file_name;  // of a file that is not unpacked
  std::map<std::string, std::string> headers;
  bool insecure = false;

  static Result<ArtifactPlan> make(const ArtifactFetcher::Request& request);
};

}  // namespace steppe::client
