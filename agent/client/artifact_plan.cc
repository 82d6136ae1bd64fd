#include "agent/client/artifact_plan.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"

namespace steppe::client {
namespace {

Error invalid(std::string why) { return Error(Code::kInvalid, "artifact: " + std::move(why)); }

bool printable(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c != 0x7f; });
}

struct Suffix {
  std::string_view text;
  ArchiveKind kind;
  Compression compression;
};
constexpr Suffix kSuffixes[] = {
    {".tar.gz", ArchiveKind::kTar, Compression::kGzip},  {".tgz", ArchiveKind::kTar, Compression::kGzip},
    {".tar.zst", ArchiveKind::kTar, Compression::kZstd}, {".tzst", ArchiveKind::kTar, Compression::kZstd},
    {".tar.xz", ArchiveKind::kTar, Compression::kXz},    {".txz", ArchiveKind::kTar, Compression::kXz},
    {".tar", ArchiveKind::kTar, Compression::kNone},     {".zip", ArchiveKind::kZip, Compression::kNone},
    {".gz", ArchiveKind::kSingle, Compression::kGzip},   {".zst", ArchiveKind::kSingle, Compression::kZstd},
    {".xz", ArchiveKind::kSingle, Compression::kXz},
};

const Suffix* find_suffix(std::string_view name) {
  for (const Suffix& suffix : kSuffixes) {
    if (name.ends_with(suffix.text) && name.size() > suffix.text.size()) return &suffix;
  }
  return nullptr;
}

Result<> read_checksum(std::string_view text, ArtifactPlan& out) {
  struct Kind {
    std::string_view name;
    size_t digits;
  };
  constexpr Kind kKinds[] = {{"md5", 32}, {"sha1", 40}, {"sha256", 64}, {"sha512", 128}};
  size_t colon = text.find(':');
  std::string_view type = colon == text.npos ? "" : text.substr(0, colon);
  std::string digits = lower(colon == text.npos ? text : text.substr(colon + 1));
  if (type == "file") return Error(Code::kUnsupported, "artifact: checksum files (checksum = \"file:...\") are not supported; give the checksum itself");
  for (const Kind& kind : kKinds) {
    if (!type.empty() ? kind.name != type : kind.digits != digits.size()) continue;
    if (digits.size() != kind.digits || !unhex(digits).ok()) {
      return invalid(std::format("checksum \"{}\": {} needs {} hexadecimal digits", text, kind.name, kind.digits));
    }
    out.checksum_type = kind.name;
    out.checksum = digits;
    return {};
  }
  return invalid(std::format("checksum \"{}\": expected md5, sha1, sha256 or sha512, as in sha256:<digits>", text));
}

// Percent escapes of a path's last part; what is no file name is replaced.
std::string file_name_of(std::string_view target) {
  target = target.substr(0, target.find_first_of("?#"));
  while (target.ends_with('/')) target.remove_suffix(1);
  std::string_view name = target.substr(target.rfind('/') == target.npos ? 0 : target.rfind('/') + 1);
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '%' && i + 2 < name.size()) {
      if (auto byte = unhex(name.substr(i + 1, 2)); byte.ok()) {
        out += *byte;
        i += 2;
        continue;
      }
    }
    out += name[i];
  }
  bool odd = out.empty() || out == "." || out == ".." || out.size() > 200 || out.find('/') != out.npos || out.find('\0') != out.npos;
  return odd ? "artifact" : out;
}

// Takes `checksum` and `archive` out of the URL's query: they are for us.
std::string take_query_options(std::string source, std::map<std::string, std::string>& options) {
  size_t mark = source.find('?');
  if (mark == source.npos) return source;
  std::string query = source.substr(mark + 1), kept;
  source.resize(mark);
  for (std::string_view part : split(query, '&')) {
    size_t equals = part.find('=');
    std::string key(part.substr(0, equals));
    if ((key == "checksum" || key == "archive" || key == "filename") && equals != part.npos) {
      options.try_emplace(key, part.substr(equals + 1));
    } else if (!part.empty()) {
      kept += (kept.empty() ? "" : "&") + std::string(part);
    }
  }
  return kept.empty() ? source : source + "?" + kept;
}

Result<> choose_archive(const std::string& wanted, std::string_view name, ArtifactPlan& out) {
  if (wanted == "false" || wanted == "0") return {};
  std::string as = wanted.empty() ? std::string(name) : "x." + wanted;
  if (as.ends_with(".bz2") || as.ends_with(".tbz2")) return Error(Code::kUnsupported, "artifact: bzip2 archives are not supported; use gz, zst or xz");
  const Suffix* suffix = find_suffix(as);
  if (suffix == nullptr) {
    if (!wanted.empty()) return invalid(std::format("archive = \"{}\": expected tar, tar.gz, tar.zst, tar.xz, zip, gz, zst, xz or false", wanted));
    return {};
  }
  out.archive = suffix->kind;
  out.compression = suffix->compression;
  if (suffix->kind == ArchiveKind::kSingle && wanted.empty()) out.file_name.resize(out.file_name.size() - suffix->text.size());
  return {};
}

}  // namespace

Result<Url> Url::parse(std::string_view text) {
  if (text.size() > 8192) return invalid("source is longer than 8192 bytes");
  if (!printable(text)) return invalid("source holds a space or a control character");
  if (size_t forced = text.find("::"); forced != text.npos && forced < 12 && text.find("://") > forced) {
    return Error(Code::kUnsupported, std::format("artifact: source \"{}::...\": only http, https and file are supported", text.substr(0, forced)));
  }
  size_t end = text.find("://");
  Url out;
  if (end == text.npos) {
    if (text.starts_with('/')) {
      out.scheme = "file";
      out.target = text;
      return out;
    }
    return Error(Code::kUnsupported, "artifact: source has no scheme; only http, https and file are supported");
  }
  out.scheme = lower(text.substr(0, end));
  std::string_view rest = text.substr(end + 3);
  if (out.scheme == "file") {
    if (!rest.starts_with('/')) return invalid("file:// needs an absolute path");
    out.target = rest.substr(0, rest.find('?'));
    return out;
  }
  if (out.scheme != "http" && out.scheme != "https") {
    return Error(Code::kUnsupported, std::format("artifact: source with scheme \"{}\": only http, https and file are supported", out.scheme.substr(0, 20)));
  }
  rest = rest.substr(0, rest.find('#'));
  size_t slash = rest.find_first_of("/?");
  std::string_view authority = rest.substr(0, slash);
  out.target = slash == rest.npos ? "/" : std::string(rest.substr(slash));
  if (out.target.starts_with('?')) out.target.insert(0, "/");
  if (size_t at = authority.rfind('@'); at != authority.npos) {
    out.authorization = "Basic " + base64(as_bytes(authority.substr(0, at)));
    authority.remove_prefix(at + 1);
  }
  size_t colon = authority.starts_with('[') ? authority.find("]:") : authority.rfind(':');
  if (colon != authority.npos && authority.starts_with('[')) ++colon;
  out.port = out.scheme == "https" ? 443 : 80;
  if (colon != authority.npos) {
    auto port = parse_uint(authority.substr(colon + 1));
    if (!port.ok() || *port == 0 || *port > 65535) return invalid("source has a bad port");
    out.port = static_cast<uint16_t>(*port);
    authority = authority.substr(0, colon);
  }
  if (authority.starts_with('[') && authority.ends_with(']')) authority = authority.substr(1, authority.size() - 2);
  out.host = authority;
  if (out.host.empty() || out.host.size() > 255) return invalid("source has no host");
  return out;
}

Result<Url> Url::resolve(std::string_view location) const {
  if (location.find("://") != location.npos) return parse(location);
  if (location.starts_with("//")) return parse(scheme + ":" + std::string(location));
  if (!printable(location) || location.empty()) return invalid("a redirect to an unreadable place");
  Url out = *this;
  out.target = location.starts_with('/') ? std::string(location) : target.substr(0, target.rfind('/') + 1) + std::string(location);
  return out;
}

std::string Url::shown() const {
  if (scheme == "file") return "file://" + target;
  bool usual = port == (scheme == "https" ? 443 : 80);
  return std::format("{}://{}{}{}", scheme, host, usual ? "" : std::format(":{}", port), target.substr(0, target.find('?')));
}

Result<ArtifactPlan> ArtifactPlan::make(const ArtifactFetcher::Request& request) {
  std::map<std::string, std::string> options = request.options;
  std::string source = take_query_options(request.source, options);
  ArtifactPlan out;
  STEPPE_TRY(out.url, Url::parse(source));
  size_t scheme = source.find("://");
  if (source.find("//", scheme == source.npos ? 0 : scheme + 3) < source.find('?')) {
    return Error(Code::kUnsupported, "artifact: subdirectories of an archive (source with //) are not supported");
  }
  out.file_name = options.contains("filename") ? file_name_of(options["filename"]) : file_name_of(out.url.target);
  if (options.contains("checksum")) STEPPE_TRY_VOID(read_checksum(options["checksum"], out));
  for (const auto& [key, value] : options) {
    if (key != "checksum" && key != "archive" && key != "filename") {
      return Error(Code::kUnsupported, std::format("artifact: option \"{}\" is not supported; known are checksum, archive and filename", key.substr(0, 40)));
    }
  }
  if (request.mode != "any" && request.mode != "file" && request.mode != "dir") {
    return invalid(std::format("mode \"{}\": expected any, file or dir", request.mode.substr(0, 40)));
  }
  std::string wanted = options.contains("archive") ? options["archive"] : "";
  if (request.mode != "file" || !wanted.empty()) STEPPE_TRY_VOID(choose_archive(wanted, out.file_name, out));
  STEPPE_TRY(std::string destination, clean_entry_name(request.destination.starts_with('/') ? std::string_view(request.destination).substr(1) : request.destination).wrap("artifact destination"));
  if (request.mode == "file" && out.archive != ArchiveKind::kTar && out.archive != ArchiveKind::kZip) {
    size_t slash = destination.rfind('/');
    if (destination.empty()) return invalid("mode \"file\" needs a destination that names the file");
    out.file_name = slash == destination.npos ? destination : destination.substr(slash + 1);
    destination = slash == destination.npos ? "" : destination.substr(0, slash);
  }
  out.directory = destination;
  for (const auto& [key, value] : request.headers) {
    if (!printable(key) || value.find_first_of("\r\n") != value.npos) return invalid("a header holds a control character");
    out.headers[key] = value;
  }
  out.insecure = request.insecure;
  return out;
}

}  // namespace steppe::client
