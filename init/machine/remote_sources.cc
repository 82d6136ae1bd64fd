#include "init/machine/remote_sources.h"

#include <algorithm>
#include <array>
#include <utility>

#include "init/base/text.h"

namespace steppe::machine {

namespace {

constexpr std::string_view kMac = "${mac}", kUuid = "${uuid}", kDigest = "#sha256=";

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + with.size())) text.replace(at, what.size(), with);
  return text;
}

std::string path_of(std::string_view mac) {
  std::string out = lower(mac);
  std::ranges::replace(out, ':', '-');
  return out;
}

class Collector {
 public:
  explicit Collector(const MachineFacts& facts) : facts_(facts) {}

  // One link; its variables become as many sources as the machine has of what they stand for.
  void add(RemoteSource source, const std::string& pattern) {
    source.link = link_;
    if (pattern.find(kUuid) != pattern.npos && facts_.uuid.empty()) return;
    const std::string with_uuid = replaced(pattern, kUuid, lower(facts_.uuid));
    if (with_uuid.find(kMac) == with_uuid.npos) return push(source, with_uuid);
    for (const std::string& mac : facts_.macs) push(source, replaced(with_uuid, kMac, path_of(mac)));
  }
  void next_link() { ++link_; }
  std::vector<RemoteSource> take() { return std::move(out_); }

 private:
  void push(RemoteSource source, std::string url) {
    source.url = std::move(url);
    if (out_.size() < kMaxRemoteSources) out_.push_back(std::move(source));
  }

  const MachineFacts& facts_;
  size_t link_ = 0;
  std::vector<RemoteSource> out_;
};

void add_config(const std::string& config, Collector& into) {
  RemoteSource source{.origin = Origin::kKernelArguments};
  const size_t digest = config.find(kDigest);
  if (digest != config.npos) {
    source.sha256 = lower(config.substr(digest + kDigest.size()));
    source.trust = Trust::kLocal;
  } else if (config.find(kMac) != config.npos) {
    source.origin = Origin::kHttpByMac;
  } else if (config.find(kUuid) != config.npos) {
    source.origin = Origin::kHttpByUuid;
  }
  into.add(std::move(source), config.substr(0, digest));
}

Result<RemoteSource::Kind> cloud_of(std::string_view word) {
  if (word == "ec2") return RemoteSource::Kind::kEc2;
  if (word == "gce") return RemoteSource::Kind::kGce;
  return Error(Code::kInvalid, "steppe.metadata is \"" + std::string(word.substr(0, 40)) + "\", expected ec2, gce or none");
}

}  // namespace

std::string RemoteSource::name() const {
  if (kind == Kind::kEc2) return "EC2 user data";
  if (kind == Kind::kGce) return "GCE user data";
  // Without the query: it may hold what is nobody's business.
  return url.substr(0, url.find('?'));
}

Result<std::vector<RemoteSource>> remote_sources(const std::vector<Setting>& settings, const MachineFacts& facts) {
  STEPPE_TRY(const ConfigLinks links, config_links(settings));
  Collector collector(facts);
  if (!links.config.empty()) add_config(links.config, collector);
  collector.next_link();
  if (!links.config_server.empty()) {
    std::string base = links.config_server.substr(0, links.config_server.find('#'));
    while (base.ends_with('/')) base.pop_back();
    collector.add({.origin = Origin::kHttpByMac}, base + "/mac-" + std::string(kMac));
    collector.add({.origin = Origin::kHttpByUuid}, base + "/uuid-" + std::string(kUuid));
  }
  collector.next_link();
  std::string cloud = facts.vendor == "Amazon EC2" ? "ec2" : facts.vendor == "Google" ? "gce" : "none";
  for (const Setting& setting : settings) {
    if (setting.name == "metadata") cloud = setting.value;
  }
  if (cloud != "none") {
    STEPPE_TRY(const RemoteSource::Kind kind, cloud_of(cloud));
    collector.add({.kind = kind, .origin = Origin::kCloudMetadata, .may_be_absent = true}, "");
  }
  return collector.take();
}

}  // namespace steppe::machine
