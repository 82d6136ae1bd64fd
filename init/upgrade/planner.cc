#include "init/upgrade/planner.h"

#include <algorithm>

#include "init/base/assert.h"
#include "init/upgrade/version.h"

namespace steppe::upgrade {

namespace {

uint64_t in_clusters(uint64_t size, uint64_t cluster) { return (size + cluster - 1) / cluster * cluster; }

std::optional<SlotName> loader_value(const std::optional<std::string>& value) {
  return value ? parse_loader_value(*value) : std::nullopt;
}

}  // namespace

Planner::Planner(const Facts& facts) : facts_(facts) { recover(); }

Running Planner::running() const {
  Result<Running> found = find_running(facts_);
  return found.ok() ? *found : Running{};
}

std::optional<size_t> Planner::find(std::string_view version) const {
  for (size_t i = 0; i < files().size(); i++)
    if (auto name = parse_slot_name(files()[i].name); name && name->version == version) return i;
  return std::nullopt;
}

std::optional<size_t> Planner::last_good() const {
  for (size_t i : loader_order(files()))
    if (name(i).good()) return i;
  return std::nullopt;
}

bool Planner::is_protected(size_t file) const {
  if (running().file == file || last_good() == file) return true;
  auto entry = loader_value(facts_.entry_selected);
  return entry && name(file).version == entry->version;
}

bool Planner::shares_clusters(size_t file) const {
  const SlotFile& one = files()[file];
  if (one.size == 0) return false;
  for (size_t i = 0; i < files().size(); i++) {
    const SlotFile& other = files()[i];
    if (i == file || other.size == 0) continue;
    if (one.chain != 0 && other.chain != 0) {
      if (one.chain == other.chain) return true;
    } else if (one.size == other.size && one.digest == other.digest) {
      return true;  // it cannot be told, and leaving clusters unused harms less than freeing another name's
    }
  }
  return false;
}

void Planner::drop(size_t file) {
  bool shared = shares_clusters(file);
  plan_.steps.push_back({.kind = shared ? StepKind::kForget : StepKind::kRemove, .name = files()[file].name});
  if (!shared) facts_.free_bytes += in_clusters(files()[file].size, facts_.cluster_bytes);
  facts_.files.erase(facts_.files.begin() + static_cast<ptrdiff_t>(file));
  unsynced_ = true;
}

void Planner::rename(size_t file, SlotName to) {
  std::string text = slot_file_name(to);
  if (text == files()[file].name) return;
  plan_.steps.push_back({.kind = StepKind::kRename, .name = files()[file].name, .to = text});
  facts_.files[file].name = text;
  unsynced_ = true;
}

void Planner::write(const Candidate& candidate) {
  SlotName to{candidate.manifest.version, Counter{kTries, 0}};
  // The first image of a disk that is the one running here has proved itself; with a counter it could end at +0 alone.
  if (loader_order(files()).empty() && facts_.running_section == candidate.section) to.counter.reset();
  std::string part = part_name(candidate.manifest.version);
  sync();
  plan_.steps.push_back({.kind = StepKind::kWrite, .name = part, .digest = candidate.digest, .size = candidate.size});
  plan_.steps.push_back({.kind = StepKind::kRename, .name = part, .to = slot_file_name(to)});
  facts_.files.push_back({.name = slot_file_name(to), .size = candidate.size, .digest = candidate.digest,
                          .section = candidate.section, .manifest = candidate.manifest});
  facts_.free_bytes -= std::min(facts_.free_bytes, in_clusters(candidate.size, facts_.cluster_bytes));
  unsynced_ = true;
}

void Planner::sync() {
  if (unsynced_) plan_.steps.push_back({.kind = StepKind::kSync});
  unsynced_ = false;
}

void Planner::keep(Record record) {
  if (record == facts_.record) return;
  sync();  // what the record says happened must have happened
  plan_.steps.push_back({.kind = StepKind::kRecord, .record = record});
  facts_.record = std::move(record);
}

bool Planner::better(size_t a, size_t b) const {
  const SlotFile &one = files()[a], &other = files()[b];
  if (one.manifest.has_value() != other.manifest.has_value()) return one.manifest.has_value();
  if (facts_.running_section && one.section != other.section) {
    if (one.section == *facts_.running_section) return true;
    if (other.section == *facts_.running_section) return false;
  }
  SlotName first = name(a), second = name(b);
  // What was good stays good, and of two counters the one nearer to its end counts: an interrupted step forward is taken
  // again, an interrupted step back is kept.
  if (first.good() != second.good()) return first.good();
  if (first.good()) return false;
  if (first.counter->left != second.counter->left) return first.counter->left < second.counter->left;
  return first.counter->done > second.counter->done;
}

void Planner::merge_names() {
  for (size_t i = 0; i < files().size(); i++) {
    auto one = parse_slot_name(files()[i].name);
    for (size_t j = i + 1; one && j < files().size(); j++) {
      auto other = parse_slot_name(files()[j].name);
      if (!other || other->version != one->version) continue;
      size_t worse = better(j, i) ? i : j;
      bool differ = files()[i].manifest && files()[j].manifest && files()[i].digest != files()[j].digest;
      // No power cut makes two images of one version: somebody put one there. What runs and what is good both stay.
      if (differ && is_protected(worse)) worse = worse == i ? j : i;
      if (differ && is_protected(worse)) continue;
      drop(worse);
      return merge_names();
    }
  }
}

void Planner::recover() {
  merge_names();
  for (size_t i = files().size(); i-- > 0;) {
    bool empty_image = files()[i].size == 0 && parse_slot_name(files()[i].name);
    if (is_part_name(files()[i].name) || empty_image) drop(i);
  }
  sync();
  Record record = facts_.record;
  std::optional<size_t> active = running().file;
  for (size_t i = 0; i < files().size(); i++) {
    auto slot = parse_slot_name(files()[i].name);
    if (slot && slot->bad() && files()[i].manifest && i != active) record.refuse(files()[i].digest);
  }
  keep(std::move(record));
}

Result<> Planner::put_first(size_t file, Downgrade downgrade) {
  std::string version = name(file).version;
  drop_bad();
  file = *find(version);
  std::string text = files()[file].manifest->version;
  for (size_t i = 0; i < files().size(); i++) {
    auto slot = parse_slot_name(files()[i].name);
    if (i == file || !slot || !files()[i].manifest || !slot->good()) continue;
    if (compare_versions(files()[i].manifest->version, text) < 0) continue;
    if (downgrade == Downgrade::kRefuse)
      return {Code::kInvalid, "version " + version + " is older than " + slot->version +
                                  ", which is good here, so the loader would not start it: a step back must be asked for as one"};
    sync();  // what is to be tried stands before what it replaces steps aside
    rename(i, {slot->version, Counter{0, 0}});
  }
  return check_way(file);
}

void Planner::restore_good() {
  if (last_good()) return;
  for (size_t i : loader_order(files())) {
    if (!name(i).set_aside()) continue;
    rename(i, {name(i).version, std::nullopt});
    sync();
    return;
  }
}

void Planner::drop_bad() {
  for (size_t i = files().size(); i-- > 0;)
    if (auto slot = parse_slot_name(files()[i].name); slot && slot->bad() && !is_protected(i)) drop(i);
}

// What the loader does next, and what when the trial fails: among images without tries left it takes the newest, so one that
// was set aside is a way back only while nothing bad is newer.
Result<> Planner::check_way(size_t file) {
  std::string version = name(file).version;
  std::vector<size_t> order = loader_order(files());
  if (order.empty() || order.front() != file)
    return {Code::kInvalid, "the loader would start " + (order.empty() ? "nothing" : files()[order.front()].name) +
                                " before version " + version + ": remove or bless that one first"};
  std::vector<SlotFile> later = files();
  if (name(file).counter) later[file].name = slot_file_name({version, Counter{0, kTries}});
  size_t back = loader_order(later).front();
  if (back == file && order.size() > 1)
    return {Code::kInvalid, "should version " + version + " fail, the loader would start it again and again: there is no good image beside it"};
  return {};
}

Result<> Planner::make_room(uint64_t need) {
  uint64_t before = facts_.free_bytes;
  // Worth least first: what failed or is broken, what was set aside, then good ones from the oldest.
  auto worth = [&](size_t i) { return name(i).good() ? 2 : name(i).set_aside() ? 1 : 0; };
  while (facts_.free_bytes < need) {
    std::optional<size_t> least;
    for (size_t i = 0; i < files().size(); i++) {
      if (!parse_slot_name(files()[i].name) || is_protected(i)) continue;
      if (!least || worth(i) < worth(*least) ||
          (worth(i) == worth(*least) && compare_versions(name(i).version, name(*least).version) < 0))
        least = i;
    }
    if (!least)
      return {Code::kExhausted, "the image needs " + std::to_string(need) + " bytes on the ESP, " + std::to_string(before) +
                                    " are free and " + std::to_string(facts_.free_bytes) +
                                    " would be after removing all but the running and the last good image"};
    drop(*least);
  }
  return {};
}

Plan Planner::finish(std::string summary, Reboot reboot) {
  sync();
  plan_.summary = std::move(summary);
  plan_.reboot = reboot;
  return std::move(plan_);
}

}  // namespace steppe::upgrade
