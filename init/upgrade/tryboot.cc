#include "init/upgrade/tryboot.h"

#include <algorithm>

#include "init/base/text.h"
#include "init/upgrade/version.h"

namespace steppe::upgrade::tryboot {

namespace {

constexpr std::string_view kConfigText = "# written by steppe\n[all]\narm_64bit=1\nkernel=kernel.img\ninitramfs initrd.img followkernel\n";
constexpr uint64_t kRoom = 8 << 10;  // beyond the image and its unpacked parts: config.txt, names, the ends of clusters

size_t default_side(const Facts& facts) { return facts.sides[1].partition == facts.autoboot.always ? 1 : 0; }

// What runs: by its own section, and by the firmware's word where there is one. Nullopt when they contradict or neither is known.
std::optional<size_t> running_side(const Facts& facts) {
  std::optional<size_t> found;
  for (size_t i : {size_t{0}, size_t{1}}) {
    const Side& side = facts.sides[i];
    bool by_partition = !facts.running_partition || *facts.running_partition == side.partition;
    bool by_section = !facts.running_section || (side.manifest && side.section == *facts.running_section);
    if (!facts.running_partition && !facts.running_section) return std::nullopt;
    if (by_partition && by_section) {
      if (found) return std::nullopt;  // one image on both sides, and the firmware does not say which it started
      found = i;
    }
  }
  return found;
}

bool trial_runs(const Facts& facts) {
  std::optional<size_t> running = running_side(facts);
  return running && *running != default_side(facts);
}

Result<> check_candidate(const Facts& facts, const Candidate& candidate, Downgrade downgrade) {
  STEPPE_TRY_VOID(check_version(candidate.manifest.version));
  if (facts.record.refuses(candidate.digest))
    return {Code::kDenied, "the image " + hex(candidate.digest) + " was tried here and failed, or was turned back"};
  if (candidate.manifest.security_version < facts.record.security_floor)
    return {Code::kDenied, "version " + candidate.manifest.version + " has security version " + std::to_string(candidate.manifest.security_version) +
                               ", this machine has blessed " + std::to_string(facts.record.security_floor) + " and takes nothing below"};
  const Side& good = facts.sides[default_side(facts)];
  if (downgrade == Downgrade::kRefuse && good.manifest && compare_versions(candidate.manifest.version, good.manifest->version) < 0)
    return {Code::kInvalid, "version " + candidate.manifest.version + " is older than " + good.manifest->version +
                                ": a step back must be asked for as one"};
  return {};
}

Act record_act(Record record) { return {.kind = ActKind::kRecord, .record = std::move(record)}; }

// A trial that was started for the last time and is not what runs now has failed.
Record settled(const Facts& facts) {
  Record record = facts.record;
  if (!record.trial) return record;
  bool blessed = facts.sides[default_side(facts)].digest == record.trial->digest;  // and the power went before that was noted
  if (!blessed && (record.trial->left > 0 || trial_runs(facts))) return record;
  if (!blessed) record.refuse(record.trial->digest);
  record.trial.reset();
  return record;
}

}  // namespace

std::string format_autoboot(const Autoboot& autoboot) {
  std::string text = "[all]\ntryboot_a_b=1\nboot_partition=" + std::to_string(autoboot.always) +
                     "\n[tryboot]\nboot_partition=" + std::to_string(autoboot.once) + "\n#";
  text.resize(kAutobootBytes - 1, '#');
  return text + "\n";
}

Result<Autoboot> parse_autoboot(std::string_view text) {
  if (text.size() > 4096) return {Code::kInvalid, "autoboot.txt: longer than 4 KiB"};
  Autoboot autoboot;
  uint32_t* into = nullptr;
  bool both = false;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    if (line.empty() || line.starts_with('#')) continue;
    if (line == "[all]") into = &autoboot.always;
    else if (line == "[tryboot]") into = &autoboot.once;
    else if (line == "tryboot_a_b=1" && into == &autoboot.always) both = true;
    else if (Result<uint64_t> number = line.starts_with("boot_partition=") ? parse_uint(line.substr(15)) : Result<uint64_t>(Code::kInvalid, "");
             into && number.ok() && *number >= 1 && *number <= 63 && *into == 0) *into = static_cast<uint32_t>(*number);
    else return {Code::kInvalid, "autoboot.txt: \"" + std::string(line.substr(0, 80)) + "\" is not of the two-slot form"};
  }
  if (!both || autoboot.always == 0 || autoboot.once == 0 || autoboot.always == autoboot.once)
    return {Code::kInvalid, "autoboot.txt: expected tryboot_a_b=1 and two partitions"};
  return autoboot;
}

Result<Plan> recover(const Facts& facts) {
  Plan plan{.summary = "slots looked at after a start"};
  if (Record record = settled(facts); record != facts.record) plan.acts.push_back(record_act(std::move(record)));
  return plan;
}

Result<Plan> stage(const Facts& facts, const Candidate& candidate, Downgrade downgrade) {
  if (trial_runs(facts)) return {Code::kUnavailable, "a trial is running: bless it or turn it back first"};
  STEPPE_TRY_VOID(check_candidate(facts, candidate, downgrade));
  size_t idle = 1 - default_side(facts);
  const Side& side = facts.sides[idle];
  Record record = settled(facts);
  if (side.complete && side.digest == candidate.digest && record.trial && record.trial->digest == candidate.digest && record.trial->left > 0)
    return Plan{.reboot = Reboot::kTryboot, .summary = "version " + candidate.manifest.version + " is staged"};
  uint64_t need = 2 * candidate.size + kRoom;
  if (side.free_bytes + side.used_bytes < need)
    return {Code::kExhausted, "the image needs " + std::to_string(need) + " bytes on partition " + std::to_string(side.partition) + ", " +
                                  std::to_string(side.free_bytes + side.used_bytes) + " are there"};
  Plan plan{.reboot = Reboot::kTryboot, .summary = "version " + candidate.manifest.version + " staged"};
  // While the side is rewritten nothing may start it, and no old count may speak for it.
  record.trial.reset();
  if (record != facts.record) plan.acts.push_back(record_act(record));
  plan.acts.push_back({.kind = ActKind::kClear, .side = idle});
  plan.acts.push_back({.kind = ActKind::kWrite,
                       .side = idle,
                       .write = {.kind = StepKind::kWrite,
                                 .name = std::string(kImage) + ".part",
                                 .to = std::string(kImage),
                                 .digest = candidate.digest,
                                 .size = candidate.size}});
  plan.acts.push_back({.kind = ActKind::kUnpack, .side = idle});
  plan.acts.push_back({.kind = ActKind::kActivate, .side = idle});
  record.trial = CountedTrial{candidate.digest, kTries};
  plan.acts.push_back(record_act(std::move(record)));
  return plan;
}

Result<Plan> try_staged(const Facts& facts) {
  if (trial_runs(facts)) return {Code::kUnavailable, "a trial is running: bless it or turn it back first"};
  const Side& side = facts.sides[1 - default_side(facts)];
  Record record = settled(facts);
  if (!side.complete || !side.manifest || !record.trial || record.trial->digest != side.digest || record.trial->left == 0)
    return {Code::kNotFound, "nothing is staged that may be tried"};
  record.trial->left--;  // before the start: a trial that never comes up must have been counted
  Plan plan{.reboot = Reboot::kTryboot, .summary = "version " + side.manifest->version + " is tried at the next start"};
  plan.acts.push_back(record_act(std::move(record)));
  return plan;
}

Result<Plan> bless(const Facts& facts) {
  std::optional<size_t> running = running_side(facts);
  if (!running) return {Code::kUnavailable, "nothing proves which side runs, or it is neither"};
  const Side& side = facts.sides[*running];
  if (!facts.running_section)
    return {Code::kDenied,
            "the running image's section is not known, so nothing proves that partition " + std::to_string(side.partition) + " holds it"};
  Plan plan{.summary = "version " + side.manifest->version + " is good"};
  Record record = settled(facts);
  if (*running != default_side(facts)) {
    plan.acts.push_back({.kind = ActKind::kAutoboot, .autoboot = {.always = side.partition, .once = facts.sides[1 - *running].partition}});
    record.trial.reset();
  }
  record.security_floor = std::max(record.security_floor, side.manifest->security_version);
  if (record != facts.record) plan.acts.push_back(record_act(std::move(record)));
  return plan;
}

Result<Plan> revert(const Facts& facts) {
  std::optional<size_t> running = running_side(facts);
  if (!running) return {Code::kUnavailable, "nothing proves which side runs, or it is neither"};
  const Side &side = facts.sides[*running], &other = facts.sides[1 - *running];
  Record record = settled(facts);
  record.refuse(side.digest);
  if (*running != default_side(facts)) {
    record.trial.reset();
    Plan plan{.reboot = Reboot::kFirmware, .summary = "the trial ended as bad"};
    plan.acts.push_back(record_act(std::move(record)));
    return plan;
  }
  bool fit = other.complete && other.manifest && !record.refuses(other.digest) && other.manifest->security_version >= record.security_floor;
  if (!fit) return {Code::kNotFound, "there is no other good image to go back to"};
  record.trial = CountedTrial{other.digest, kTries - 1};
  Plan plan{.reboot = Reboot::kTryboot, .summary = "back to version " + other.manifest->version};
  plan.acts.push_back(record_act(std::move(record)));
  return plan;
}

std::vector<Slot> list(const Facts& facts) {
  std::vector<Slot> slots;
  std::optional<size_t> running = running_side(facts);
  for (size_t i : {size_t{0}, size_t{1}}) {
    const Side& side = facts.sides[i];
    Slot slot{.file = "partition " + std::to_string(side.partition), .state = SlotState::kDamaged, .running = running == i, .size = side.used_bytes};
    if (side.manifest) slot.version = side.manifest->version;
    bool usual = i == default_side(facts), counted = facts.record.trial && facts.record.trial->digest == side.digest;
    slot.next = usual;
    if (counted) slot.tries_left = facts.record.trial->left;
    if (side.complete && side.manifest)
      slot.state = usual ? SlotState::kGood : slot.running ? SlotState::kTrial : facts.record.refuses(side.digest) ? SlotState::kBad
                   : counted && slot.tries_left > 0 ? SlotState::kPending : SlotState::kSetAside;
    slots.push_back(std::move(slot));
  }
  return slots;
}

namespace {

Result<std::optional<DirectoryEntry>> entry_of(SlotDirectory& directory, std::string_view name) {
  STEPPE_TRY(std::vector<DirectoryEntry> entries, directory.list());
  for (DirectoryEntry& entry : entries)
    if (equals_ignoring_case(entry.name, name)) return std::optional(std::move(entry));
  return std::optional<DirectoryEntry>();
}

std::vector<std::string> our_names() {
  std::vector<std::string> names = {std::string(kConfig), std::string(kConfig) + ".part", std::string(kImage), std::string(kImage) + ".part"};
  for (std::string_view name : kUnpacked) names.emplace_back(name);
  return names;
}

Result<> clear(SlotDirectory& directory) {
  for (const std::string& name : our_names()) {
    STEPPE_TRY(std::optional<DirectoryEntry> entry, entry_of(directory, name));
    if (!entry) continue;
    STEPPE_TRY_VOID(directory.remove(entry->name).wrap("remove " + entry->name));
    // config.txt comes first: without it the firmware takes nothing of this side.
    if (name == kConfig) STEPPE_TRY_VOID(directory.sync_directory());
  }
  return directory.sync_directory();
}

Result<> write_named(SlotDirectory& directory, std::string_view name, std::string_view content) {
  std::string part = std::string(name) + ".part";
  STEPPE_TRY_VOID(directory.create(part));
  STEPPE_TRY_VOID(directory.append(part, as_bytes(content)));
  STEPPE_TRY_VOID(directory.sync_file(part));
  STEPPE_TRY_VOID(directory.rename(part, std::string(name)));
  return directory.sync_directory();
}

Result<> set_autoboot(SlotDirectory& boot, const Autoboot& autoboot) {
  STEPPE_TRY(std::optional<DirectoryEntry> entry, entry_of(boot, kAutoboot));
  if (!entry || entry->size != kAutobootBytes)
    return {Code::kInvalid, "autoboot.txt must be there with " + std::to_string(kAutobootBytes) + " bytes, so that it can be overwritten in place"};
  STEPPE_TRY_VOID(boot.overwrite(entry->name, 0, as_bytes(format_autoboot(autoboot))));
  return boot.sync_file(entry->name);
}

Result<> carry_act(const Act& act, Store& store, ImageSource* source) {
  SlotDirectory& side = *store.sides[act.side];
  switch (act.kind) {
    case ActKind::kClear: return clear(side);
    case ActKind::kWrite:
      STEPPE_TRY_VOID(write_verified(side, store.judge, act.write, source));
      STEPPE_TRY_VOID(side.rename(act.write.name, act.write.to));
      return side.sync_directory();
    case ActKind::kUnpack: return store.unpacker.unpack(side, std::string(kImage)).wrap("unpack the image");
    case ActKind::kActivate: return write_named(side, kConfig, kConfigText).wrap("write config.txt");
    case ActKind::kAutoboot: return set_autoboot(store.boot, act.autoboot);
    case ActKind::kRecord: return write_record(store.record, act.record).wrap("write the slot record");
  }
  return {};
}

Result<Side> look_at(Store& store, size_t index, uint32_t partition) {
  SlotDirectory& directory = *store.sides[index];
  Side side{.partition = partition, .complete = true};
  STEPPE_TRY(Space space, directory.space());
  side.free_bytes = space.free_bytes;
  STEPPE_TRY(std::vector<DirectoryEntry> entries, directory.list());
  auto size_of = [&](std::string_view name) {
    auto found = std::ranges::find_if(entries, [&](const DirectoryEntry& entry) { return equals_ignoring_case(entry.name, name); });
    return found == entries.end() ? 0 : found->size;
  };
  for (const std::string& name : our_names()) side.used_bytes += size_of(name);
  for (std::string_view name : kUnpacked) side.complete = side.complete && size_of(name) > 0;
  uint64_t size = size_of(kImage);
  side.complete = side.complete && size > 0 && size <= kMaxImage && size_of(kConfig) == kConfigText.size();
  if (size == 0 || size > kMaxImage) return side;
  Result<Digest> digest = digest_of(directory, std::string(kImage), size);
  Result<Judged> judged = digest.ok() ? store.judge.judge(directory, std::string(kImage), size) : Result<Judged>(digest.error());
  if (!judged.ok()) {
    side.complete = false;
    return side;
  }
  side.digest = *digest;
  side.section = judged->section;
  side.manifest = std::move(judged->manifest);
  return side;
}

}  // namespace

Result<Facts> survey(Store& store, const uint32_t partitions[2], std::optional<uint32_t> running_partition, std::optional<Digest> running_section) {
  Facts facts{.running_partition = running_partition, .running_section = running_section};
  for (size_t i : {size_t{0}, size_t{1}}) {
    STEPPE_TRY(facts.sides[i], look_at(store, i, partitions[i]));
  }
  std::string text(kAutobootBytes, '\0');
  STEPPE_TRY(size_t got, store.boot.read(std::string(kAutoboot), 0, std::as_writable_bytes(std::span(text))));
  STEPPE_TRY(facts.autoboot, parse_autoboot(std::string_view(text).substr(0, got)));
  facts.record = read_record(store.record);
  return facts;
}

Result<> carry_out(const Plan& plan, Store& store, ImageSource* source) {
  for (const Act& act : plan.acts) STEPPE_TRY_VOID(carry_act(act, store, source));
  return {};
}

}  // namespace steppe::upgrade::tryboot
