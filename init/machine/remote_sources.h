#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "init/base/result.h"
#include "init/machine/sources.h"

namespace steppe::machine {

inline constexpr size_t kMaxRemoteSources = 16;

// By what a machine is told from others on the network.
struct MachineFacts {
  std::vector<std::string> macs;  // "02:00:5e:10:00:01", in the order of the devices' names
  std::string uuid;               // of SMBIOS, lower case; "" without one
  std::string vendor;             // sys_vendor of SMBIOS: "Amazon EC2", "Google", …
};

// One document that is to be asked for over the network.
struct RemoteSource {
  enum class Kind : uint8_t { kUrl, kEc2, kGce };  // the two clouds: user data, by their metadata services' own ways

  Kind kind = Kind::kUrl;
  Origin origin = Origin::kHttpByMac;
  Trust trust = Trust::kRemote;
  std::string url;     // kUrl, without the digest
  std::string sha256;  // 64 lower-case hex digits, or "": the document must have it
  // Sources of one link ask for one and the same thing: a machine has several addresses. That none of them has a document is a fault
  // when somebody named the link, and none for a cloud, where user data may be absent.
  size_t link = 0;
  bool may_be_absent = false;
  std::string name() const;  // for messages: the URL, "EC2 user data", "GCE user data"
  bool operator==(const RemoteSource&) const = default;
};

// Where else to ask, by settings and by what the machine is. In order:
// - steppe.config=URL, https or with a digest (`#sha256=HEX` at its end, or steppe.config_sha256=HEX). ${mac} in it stands for each of
//   the machine's hardware addresses in turn ("02-00-5e-10-00-01"), ${uuid} for its UUID. A digest makes the document as trusted as
//   the setting itself; without one it is remote.
// - steppe.config_server=URL: URL/mac-02-00-5e-10-00-01 for each address, URL/uuid-….
// - the metadata service of the cloud that the firmware names, or that steppe.metadata=ec2|gce names; steppe.metadata=none: none.
// kInvalid names the setting that is wrong. What needs a UUID or an address that the machine does not have is left out. Pure; at most
// kMaxRemoteSources.
Result<std::vector<RemoteSource>> remote_sources(const std::vector<Setting>& settings, const MachineFacts& facts);

}  // namespace steppe::machine
