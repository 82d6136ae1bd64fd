#include <cstdint>
#include <cstdlib>

#include "init/upgrade/plan.h"
#include "init/upgrade/tryboot.h"
#include "init/upgrade/version.h"

// Names, loader variables, versions, manifests and records from bytes; then a directory made of the lines, for which every plan must
// be made without touching the last good image.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace steppe;
  using namespace steppe::upgrade;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto manifest = decode_manifest(as_bytes(text)); manifest.ok() && *decode_manifest(as_bytes(*encode_manifest(*manifest))) != *manifest) std::abort();
  if (auto record = decode_record(as_bytes(text)); record.ok() && *decode_record(as_bytes(encode_record(*record))) != *record) std::abort();
  (void)parse_loader_value(text);
  if (auto autoboot = tryboot::parse_autoboot(text);
      autoboot.ok() && *tryboot::parse_autoboot(tryboot::format_autoboot(*autoboot)) != *autoboot)
    std::abort();

  Facts facts{.free_bytes = 10000, .cluster_bytes = 512};
  for (size_t at = 0; at < text.size() && facts.files.size() < kMaxNames;) {
    size_t end = std::min(text.find('\n', at), text.size());
    SlotFile file{.name = std::string(text.substr(at, end - at)), .size = end - at, .chain = (end - at) % 5};
    at = end + 1;
    auto name = parse_slot_name(file.name);
    if (name && slot_file_name(*name).size() > 200) std::abort();
    if (name && parse_slot_name(slot_file_name(*name)) != name) std::abort();
    bool repeated = false;
    for (const SlotFile& other : facts.files) repeated = repeated || other.name == file.name;
    if (repeated) continue;
    if (!facts.files.empty()) {
      auto one = compare_versions(file.name, facts.files.back().name), other = compare_versions(facts.files.back().name, file.name);
      if ((one < 0) != (other > 0) || (one == 0) != (other == 0)) std::abort();
    }
    file.digest = file.section = sha256(as_bytes(file.name));
    if (name) file.manifest = Manifest{.version = name->version, .arch = "x86-64"};
    facts.files.push_back(std::move(file));
  }
  if (!facts.files.empty()) facts.running_section = facts.files[size % facts.files.size()].section;
  std::string last_good;
  for (size_t i : loader_order(facts.files))
    if (last_good.empty() && parse_slot_name(facts.files[i].name)->good()) last_good = facts.files[i].name;
  Candidate candidate{.manifest = {.version = "5", .arch = "x86-64"}, .size = 300};
  for (const Result<Plan>& plan : {recover(facts), stage(facts, candidate, Downgrade::kRefuse), stage(facts, candidate, Downgrade::kAllow), bless(facts),
                                   revert(facts), return_try(facts), try_version(facts, "5", Downgrade::kAllow)})
    if (plan.ok())
      for (const Step& step : plan->steps)
        if (step.kind == StepKind::kRemove && step.name == last_good) std::abort();
  (void)list(facts);
  return 0;
}
