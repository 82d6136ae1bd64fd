#include "init/upgrade/plan.h"

#include <algorithm>

#include "init/upgrade/planner.h"
#include "init/upgrade/version.h"

namespace steppe::upgrade {

namespace {

constexpr size_t kMaxGood = 3;  // images kept when there is room: what runs, the one before, one more

std::optional<SlotName> loader_value(const std::optional<std::string>& value) {
  return value ? parse_loader_value(*value) : std::nullopt;
}

Error trial_runs(const Planner& planner, size_t file) {
  return {Code::kUnavailable, "a trial of version " + planner.name(file).version + " is running: bless it or turn it back first"};
}

Result<> check_security(const Facts& facts, const Manifest& manifest) {
  if (manifest.security_version >= facts.record.security_floor) return {};
  return {Code::kDenied, "version " + manifest.version + " has security version " + std::to_string(manifest.security_version) +
                             ", this machine has blessed " + std::to_string(facts.record.security_floor) + " and takes nothing below"};
}

// What stands in the way of a name for the candidate.
Result<> check_names(const Planner& planner, const Candidate& candidate) {
  for (const SlotFile& file : planner.files()) {
    auto slot = parse_slot_name(file.name);
    if (!slot || slot->version == candidate.manifest.version) continue;
    if (compare_versions(slot->version, candidate.manifest.version) == 0)
      return {Code::kExists, "version " + candidate.manifest.version + " is the same as " + slot->version + " to the loader"};
  }
  return {};
}

// A file of the same version: nullopt when the plan must go on and write.
Result<std::optional<Plan>> reuse(Planner& planner, size_t file, const Candidate& candidate, Downgrade downgrade) {
  SlotName slot = planner.name(file);
  if (planner.files()[file].digest == candidate.digest && planner.files()[file].manifest) {
    if (slot.good()) return std::optional(planner.finish("version " + slot.version + " is here and good"));
    if (!slot.tries_left()) planner.rename(file, {slot.version, Counter{kTries, 0}});
    STEPPE_TRY_VOID(planner.put_first(file, downgrade));
    return std::optional(planner.finish("version " + slot.version + " is staged", Reboot::kFirmware));
  }
  if (slot.good() || planner.is_protected(file))
    return {Code::kExists, "version " + slot.version + " is here with other bytes (" + hex(planner.files()[file].digest) +
                               "): give the new image a version of its own"};
  planner.drop(file);
  return std::optional<Plan>();
}

void drop_pending(Planner& planner) {
  for (size_t i = planner.files().size(); i-- > 0;) {
    auto slot = parse_slot_name(planner.files()[i].name);
    if (slot && slot->tries_left() && !planner.is_protected(i)) planner.drop(i);
  }
}

// After the new image stands: good ones beyond what is worth keeping go.
void tidy_up(Planner& planner) {
  size_t good = 0;
  for (size_t i = 0; i < planner.files().size(); i++)
    if (auto slot = parse_slot_name(planner.files()[i].name); slot && slot->good()) good++;
  while (good > kMaxGood) {
    std::vector<size_t> order = loader_order(planner.files());
    auto last = std::ranges::find_if(order.rbegin(), order.rend(),
                                     [&](size_t i) { return planner.name(i).good() && !planner.is_protected(i); });
    if (last == order.rend()) return;
    planner.drop(*last);
    good--;
  }
}

// Why the running file may not be blessed; ok when it is proven to be what the loader counted.
Result<> check_evidence(const Facts& facts, const SlotFile& file, const SlotName& slot) {
  auto entry = loader_value(facts.entry_selected), counted = loader_value(facts.count_path);
  bool proven = facts.running_section && file.manifest && file.section == *facts.running_section;
  if (facts.entry_selected && (!entry || entry->version != slot.version))
    return {Code::kDenied, "the loader says that it started " + *facts.entry_selected + ", not " + file.name};
  if (slot.set_aside()) return {};  // the loader does not count it; find_running() has one proof of it
  if (facts.count_path && (!counted || counted->version != slot.version))
    return {Code::kDenied, "the loader counted " + *facts.count_path + ", not " + file.name + ": what it counted has failed"};
  if (entry && counted) return {};
  if (proven) return {};
  return {Code::kDenied, "nothing proves that " + file.name +
                             " is what runs: the loader names no counted entry and the running image's section is not known"};
}

// The best file to go back to from `from`: a good one; nullopt when there is none.
std::optional<size_t> way_back(const Planner& planner, size_t from) {
  for (size_t i : loader_order(planner.files())) {
    if (i == from || !planner.name(i).good()) continue;
    if (planner.facts().record.refuses(planner.files()[i].digest)) continue;
    if (check_security(planner.facts(), *planner.files()[i].manifest).ok()) return i;
  }
  return std::nullopt;
}

Result<Plan> end_trial(Planner& planner, size_t file) {
  SlotName slot = planner.name(file);
  if (!planner.last_good()) {
    std::optional<size_t> aside;
    for (size_t i : loader_order(planner.files()))
      if (planner.name(i).set_aside() && i != file && !aside) aside = i;
    if (!aside) return {Code::kNotFound, "there is no other good image to go back to from " + slot.version};
    planner.rename(*aside, {planner.name(*aside).version, std::nullopt});
    planner.sync();
  }
  planner.rename(file, {slot.version, Counter{0, std::max(slot.counter->done, 1u)}});
  Record record = planner.facts().record;
  record.refuse(planner.files()[file].digest);
  planner.keep(std::move(record));
  return planner.finish("the trial of version " + slot.version + " ended as bad", Reboot::kFirmware);
}

}  // namespace

Result<Running> find_running(const Facts& facts) {
  auto entry = loader_value(facts.entry_selected);
  std::vector<size_t> found;
  for (size_t i = 0; i < facts.files.size(); i++) {
    auto slot = parse_slot_name(facts.files[i].name);
    if (!slot) continue;
    bool by_section = facts.files[i].manifest && facts.running_section && facts.files[i].section == *facts.running_section;
    bool by_entry = entry && entry->version == slot->version;
    // The section is what runs, whatever a variable of an earlier start says; without it the loader's word stands.
    if (facts.running_section ? by_section : by_entry) found.push_back(i);
  }
  if (found.empty()) return Running{};
  size_t best = found.front();
  for (size_t i : found)
    if (entry && parse_slot_name(facts.files[i].name)->version == entry->version) best = i;
  SlotName slot = *parse_slot_name(facts.files[best].name);
  return Running{.file = best, .trial = slot.counter && !slot.set_aside()};
}

Result<Plan> recover(const Facts& facts) {
  Planner planner(facts);
  return planner.finish("slots looked at after a start");
}

Result<Plan> stage(const Facts& facts, const Candidate& candidate, Downgrade downgrade) {
  Planner planner(facts);
  STEPPE_TRY_VOID(check_version(candidate.manifest.version));
  Running running = planner.running();
  if (running.trial) return trial_runs(planner, *running.file);
  if (planner.facts().record.refuses(candidate.digest))
    return {Code::kDenied, "the image " + hex(candidate.digest) + " was tried here and failed, or was turned back: forgive it first"};
  STEPPE_TRY_VOID(check_security(planner.facts(), candidate.manifest));
  STEPPE_TRY_VOID(check_names(planner, candidate));
  if (auto same = planner.find(candidate.manifest.version)) {
    STEPPE_TRY(std::optional<Plan> plan, reuse(planner, *same, candidate, downgrade));
    if (plan) return *std::move(plan);
  }
  planner.restore_good();
  drop_pending(planner);
  // The file itself and clusters that the directory may take for a longer list of names.
  uint64_t cluster = facts.cluster_bytes;
  STEPPE_TRY_VOID(planner.make_room((candidate.size + cluster - 1) / cluster * cluster + 2 * cluster));
  planner.write(candidate);
  STEPPE_TRY_VOID(planner.put_first(planner.files().size() - 1, downgrade));
  tidy_up(planner);
  return planner.finish("version " + candidate.manifest.version + " staged", Reboot::kFirmware);
}

Result<Plan> try_version(const Facts& facts, std::string_view version, Downgrade downgrade) {
  Planner planner(facts);
  Running running = planner.running();
  if (running.trial) return trial_runs(planner, *running.file);
  std::optional<size_t> file = planner.find(version);
  if (!file) return {Code::kNotFound, "no slot has version " + std::string(version)};
  const SlotFile& chosen = planner.files()[*file];
  if (!chosen.manifest) return {Code::kCorrupt, chosen.name + " cannot be started: " + chosen.fault};
  if (running.file == file && planner.name(*file).good()) return {Code::kExists, "version " + std::string(version) + " is what runs"};
  STEPPE_TRY_VOID(check_security(planner.facts(), *chosen.manifest));
  Record record = planner.facts().record;
  std::erase(record.refused, chosen.digest);
  planner.restore_good();
  // The last good one needs no trial: it is what all trials fall back to.
  if (planner.last_good() == file) {
    planner.keep(std::move(record));
    return planner.finish("version " + std::string(version) + " is what the loader starts without trials", Reboot::kFirmware);
  }
  for (size_t i = planner.files().size(); i-- > 0;) {
    auto other = parse_slot_name(planner.files()[i].name);
    if (other && other->tries_left() && other->version != version && !planner.is_protected(i)) planner.drop(i);
  }
  file = planner.find(version);
  if (!planner.name(*file).tries_left()) planner.rename(*file, {std::string(version), Counter{kTries, 0}});
  STEPPE_TRY_VOID(planner.put_first(*file, downgrade));
  planner.keep(std::move(record));
  return planner.finish("version " + std::string(version) + " is tried at the next start", Reboot::kFirmware);
}

Result<Plan> bless(const Facts& facts) {
  Planner planner(facts);
  Running running = planner.running();
  if (!running.file) return {Code::kUnavailable, "what runs is in no slot (started from USB or over the network), so there is nothing to bless"};
  size_t file = *running.file;
  SlotName slot = planner.name(file);
  if (slot.counter) {
    STEPPE_TRY_VOID(check_evidence(planner.facts(), planner.files()[file], slot).wrap("bless " + planner.files()[file].name));
    planner.rename(file, {slot.version, std::nullopt});
  }
  Record record = planner.facts().record;
  if (planner.files()[file].manifest)
    record.security_floor = std::max(record.security_floor, planner.files()[file].manifest->security_version);
  planner.keep(std::move(record));
  return planner.finish("version " + slot.version + " is good");
}

Result<Plan> revert(const Facts& facts) {
  Planner planner(facts);
  Running running = planner.running();
  if (!running.file) return {Code::kUnavailable, "what runs is in no slot, so there is nothing to turn back"};
  size_t file = *running.file;
  if (running.trial) return end_trial(planner, file);
  std::optional<size_t> target = way_back(planner, file);
  SlotName slot = planner.name(file);
  if (!target) return {Code::kNotFound, "there is no other good image that this machine may go back to from " + slot.version};
  if (!slot.good()) {  // set aside and running: what it was set aside for has failed; a good one is there
    return planner.finish("version " + slot.version + " is set aside already", Reboot::kFirmware);
  }
  std::string back = planner.name(*target).version;
  if (compare_versions(back, slot.version) < 0) {
    planner.rename(*target, {back, Counter{kTries, 0}});
    STEPPE_TRY_VOID(planner.put_first(*target, Downgrade::kAllow));
  }
  Record record = planner.facts().record;
  record.refuse(planner.files()[file].digest);
  planner.keep(std::move(record));
  return planner.finish("back from version " + slot.version + " to " + back, Reboot::kFirmware);
}

Result<Plan> return_try(const Facts& facts) {
  Planner planner(facts);
  Running running = planner.running();
  if (!running.trial) return planner.finish("no trial is running");
  SlotName slot = planner.name(*running.file);
  if (slot.counter->done > 0 && slot.counter->left < kTries)
    planner.rename(*running.file, {slot.version, Counter{slot.counter->left + 1, slot.counter->done - 1}});
  return planner.finish("the try of version " + slot.version + " does not count", Reboot::kFirmware);
}

Result<Plan> forgive(const Facts& facts, const Digest& digest) {
  Planner planner(facts);
  Record record = planner.facts().record;
  if (std::erase(record.refused, digest) == 0) return {Code::kNotFound, "the digest " + hex(digest) + " is not refused here"};
  // A failed file left in place would be remembered again at the next start.
  for (size_t i = planner.files().size(); i-- > 0;) {
    auto slot = parse_slot_name(planner.files()[i].name);
    if (slot && slot->bad() && planner.files()[i].digest == digest && !planner.is_protected(i)) planner.drop(i);
  }
  planner.keep(std::move(record));
  return planner.finish("the image is no longer refused");
}

std::vector<Slot> list(const Facts& facts) {
  std::vector<size_t> order = loader_order(facts.files);
  std::optional<size_t> first = order.empty() ? std::nullopt : std::optional(order.front());
  std::vector<size_t> rest;
  for (size_t i = 0; i < facts.files.size(); i++)
    if (std::ranges::find(order, i) == order.end()) rest.push_back(i);
  std::ranges::sort(rest, {}, [&](size_t i) { return facts.files[i].name; });
  order.insert(order.end(), rest.begin(), rest.end());
  Result<Running> running = find_running(facts);
  std::vector<Slot> slots;
  for (size_t i : order) {
    const SlotFile& file = facts.files[i];
    Slot slot{.file = file.name, .next = first == i, .size = file.size, .note = file.fault};
    slot.running = running.ok() && running->file == i;
    if (auto name = parse_slot_name(file.name)) {
      slot.version = name->version;
      slot.tries_left = name->counter ? name->counter->left : 0;
      slot.state = !file.manifest ? SlotState::kDamaged : name->good() ? SlotState::kGood : name->set_aside() ? SlotState::kSetAside
                   : slot.running ? SlotState::kTrial : name->tries_left() ? SlotState::kPending : SlotState::kBad;
    } else if (is_part_name(file.name)) {
      slot.state = SlotState::kLeftover;
    }
    slots.push_back(std::move(slot));
  }
  return slots;
}

}  // namespace steppe::upgrade
