#include "tests/sim/slots/slot_walk.h"

#include <algorithm>

namespace steppe::sim {

using upgrade::BootFacts;
using upgrade::Candidate;
using upgrade::Digest;
using upgrade::Downgrade;
using upgrade::Facts;
using upgrade::Judged;
using upgrade::Manifest;
using upgrade::Plan;
using upgrade::SlotDirectory;
using upgrade::Store;

namespace {

// The manifest stands first; what follows it is the body, whose last bytes prove that it is whole.
std::string end_of(const std::string& body) { return hex(upgrade::sha256(as_bytes(body))).substr(0, 16); }

Result<Judged> judge_content(const std::string& content, bool whole) {
  size_t cut = content.find("BODY");
  if (cut == content.npos) return {Code::kInvalid, "not an image"};
  STEPPE_TRY(Manifest manifest, upgrade::decode_manifest(as_bytes(content).first(cut)));
  if (whole && content.substr(content.size() - 16) != end_of(content.substr(0, content.size() - 16)))
    return {Code::kCorrupt, "the image is damaged"};
  return Judged{manifest, upgrade::sha256(as_bytes(content).first(cut))};
}

class ContentJudge final : public upgrade::ImageJudge {
 public:
  Result<Judged> judge(SlotDirectory& directory, const std::string& name, uint64_t size) override {
    std::string content(size, '\0');
    STEPPE_TRY(size_t got, directory.read(name, 0, std::as_writable_bytes(std::span(content))));
    if (got != size || size < 16) return {Code::kCorrupt, "short"};
    return judge_content(content, true);
  }
};

class TextSource final : public upgrade::ImageSource {
 public:
  explicit TextSource(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<size_t> read(uint64_t offset, ByteSpan into) override {
    size_t length = offset >= bytes_.size() ? 0 : std::min<size_t>({into.size(), bytes_.size() - offset, 150});
    std::ranges::copy(as_bytes(bytes_).subspan(std::min<size_t>(offset, bytes_.size()), length), into.begin());
    return length;
  }

 private:
  std::string bytes_;
};

}  // namespace

SlotWalk::SlotWalk(uint64_t seed, SlotMutant mutant)
    : rng_(seed), mutant_(std::move(mutant)), disk_(rng_, 90), record_disk_(rng_, 120) {
  loader_.names_counters = rng_.chance(1, 2);
  has_variables_ = rng_.chance(2, 3);
  loader_.version_of = [](const std::string& content) -> std::optional<std::string> {
    Result<Judged> judged = judge_content(content, false);
    return judged.ok() ? std::optional(judged->manifest.version) : std::nullopt;
  };
  loader_.loads = [this](const std::string& content) {
    const Made* made = made_of(content);
    return made && made->behaviour != Behaviour::kUnloadable;
  };
  disk_.faults = mutant_.faults;
  Made first = make("1", Behaviour::kHealthy, 0);
  (void)disk_.create("steppe-1.efi");
  (void)disk_.append("steppe-1.efi", as_bytes(first.bytes));
  (void)disk_.append("steppe-1.efi", {});
  (void)disk_.sync_directory();
}

SlotWalk::Made SlotWalk::make(const std::string& version, Behaviour behaviour, uint64_t security) {
  Made made{.behaviour = behaviour};
  made.candidate.manifest = {.version = version, .arch = "x86-64", .security_version = security, .kernel = "6.12"};
  rng_.fill(made.candidate.manifest.build_id);
  std::string section = *upgrade::encode_manifest(made.candidate.manifest);
  std::string body = section + "BODY" + std::string(64 + rng_.below(400), static_cast<char>('a' + rng_.below(26)));
  made.bytes = body + end_of(body);
  made.candidate.digest = upgrade::sha256(as_bytes(made.bytes));
  made.candidate.section = upgrade::sha256(as_bytes(section));
  made.candidate.size = made.bytes.size();
  made_[made.bytes] = made;
  return made;
}

const SlotWalk::Made* SlotWalk::made_of(const std::string& content) const {
  auto found = made_.find(content);
  return found == made_.end() ? nullptr : &found->second;
}

void SlotWalk::broken(std::string what) {
  if (!broken_.empty()) return;
  broken_ = std::move(what) + "; on disk:";
  if (disk_.off()) disk_.power_on();
  for (const upgrade::DirectoryEntry& entry : *disk_.list())
    broken_ += " " + entry.name + "(" + std::to_string(entry.size) + "@" + std::to_string(entry.chain) + ")";
}

// No name of an image over anything but a whole image. An empty one is what a cut rename leaves.
void SlotWalk::check_disk() {
  for (const upgrade::DirectoryEntry& entry : *disk_.list()) {
    if (!upgrade::parse_slot_name(entry.name) || entry.size == 0) continue;
    Result<std::string> content = disk_.content(entry.name);
    if (!content.ok() || !made_of(*content)) broken(entry.name + " is not a whole image");
  }
}

// From what is on disk, with nobody's help: trials fail, the loader counts, a healthy image comes up.
void SlotWalk::check_future() {
  SeededRng chance(rng_.next());
  FatDisk disk = disk_.fork(chance);
  LoaderVariables variables{.entry_default = variables_.entry_default};
  for (int i = 0; i < 40; i++) {
    std::optional<Started> started = boot(disk, loader_, variables);
    const Made* made = started ? made_of(started->content) : nullptr;
    if (made && made->behaviour == Behaviour::kHealthy) return;
  }
  broken("no healthy image is reached");
}

std::string SlotWalk::run(int starts) {
  for (int i = 0; i < starts && broken_.empty(); i++) start_once();
  return broken_;
}

void SlotWalk::start_once() {
  disk_.power_on();
  record_disk_.power_on();
  if (rng_.chance(1, 2)) disk_.reclaim();
  check_disk();
  check_future();
  if (!broken_.empty()) return;
  if (rng_.chance(1, 2)) variables_ = {.entry_default = variables_.entry_default};  // the power was off, not a mere reset
  if (rng_.chance(1, 8)) disk_.cut_after(1 + rng_.below(6));
  std::optional<Started> started = boot(disk_, loader_, variables_);
  if (!started) {
    (disk_.off() ? cuts_ : stood_still_)++;
    variables_ = {.entry_default = variables_.entry_default};
    return;
  }
  disk_.cut_after(0);
  live(*started);
  if (disk_.off()) {
    cuts_++;
    record_disk_.power_cut();
    variables_ = {.entry_default = variables_.entry_default};
  }
  disk_.power_cut();  // a reset loses what was not synced, too
  record_disk_.power_cut();
}

void SlotWalk::live(const Started& started) {
  const Made running = *made_of(started.content);
  if (running.behaviour == Behaviour::kPanics) return;
  if (rng_.chance(2, 3)) disk_.cut_after(1 + rng_.below(90));
  if (rng_.chance(1, 10)) record_disk_.cut_after(1 + rng_.below(40));
  ContentJudge judge;
  Store store{disk_, record_disk_, judge};
  BootFacts boot;
  if (has_variables_) {
    boot.entry_selected = variables_.entry_selected;
    boot.count_path = variables_.count_path;
  }
  if (!has_variables_ || rng_.chance(3, 4)) boot.running_section = running.candidate.section;
  if (mutant_.bless_counted_path && variables_.count_path && running.behaviour == Behaviour::kHealthy) {
    if (auto slot = upgrade::parse_loader_value(*variables_.count_path); slot && slot->counter)
      (void)disk_.rename(upgrade::slot_file_name(*slot), "steppe-" + slot->version + ".efi");
  }
  Result<Facts> facts = survey(store, boot);
  if (!facts.ok() || !carry(recover(*facts), store, nullptr)) return;
  check_settled(store, boot);
  if (!broken_.empty() || disk_.off()) return;
  act(store, boot, running);
}

// What recovery promises, once it was carried out to its end.
void SlotWalk::check_settled(Store& store, const BootFacts& boot) {
  Result<Facts> facts = survey(store, boot);
  if (!facts.ok()) return;
  std::set<std::string> versions;
  std::set<uint64_t> chains;
  for (const upgrade::SlotFile& file : facts->files) {
    auto slot = upgrade::parse_slot_name(file.name);
    if (upgrade::is_part_name(file.name)) broken("a leftover stays: " + file.name);
    if (slot && !versions.insert(slot->version).second) broken("two names for " + slot->version);
    if (file.chain && !chains.insert(file.chain).second) broken("two names share clusters: " + file.name);
    if (slot && slot->bad() && find_running(*facts)->file != static_cast<size_t>(&file - facts->files.data())) must_refuse_.insert(file.digest);
  }
  if (facts->record.refused.size() == upgrade::kMaxRefused) must_refuse_.clear();  // the oldest go
  for (const Digest& digest : must_refuse_)
    if (!facts->record.refuses(digest)) broken("a failed image is no longer refused: " + hex(digest).substr(0, 12));
}

bool SlotWalk::carry(Result<Plan> plan, Store& store, upgrade::ImageSource* source) {
  if (!plan.ok()) return false;
  if (mutant_.plan) mutant_.plan(*plan);
  bool done = carry_out(*plan, store, source).ok();
  if (record_disk_.off()) disk_.power_cut();  // one machine, one power
  return done;
}

void SlotWalk::act(Store& store, const BootFacts& boot, const Made& running) {
  auto facts = [&] { return survey(store, boot); };
  for (int i = 0; i < 4 && !disk_.off() && broken_.empty(); i++) {
    Result<Facts> now = facts();
    if (!now.ok()) return;
    Result<upgrade::Running> found = find_running(*now);
    bool trial = found.ok() && found->trial;
    if (running.behaviour != Behaviour::kHealthy) {
      if (rng_.chance(1, 2) && carry(revert(*now), store, nullptr)) reverted_++;
      return;
    }
    if (trial && rng_.chance(1, 6)) return (void)carry(return_try(*now), store, nullptr);
    if (trial || rng_.chance(1, 3)) {
      Result<Plan> plan = bless(*now);
      bool change = plan.ok() && !plan->steps.empty();
      if (carry(std::move(plan), store, nullptr) && change) blessed_++;
    }
    if (disk_.off()) return;
    uint64_t what = rng_.below(10);
    if (what < 6) {
      stage_something(store, boot);
    } else if (what < 8) {
      now = facts();
      if (!now.ok() || now->files.empty()) return;
      const upgrade::SlotFile& file = now->files[rng_.below(now->files.size())];
      auto slot = upgrade::parse_slot_name(file.name);
      if (!slot) continue;
      Result<Plan> plan = try_version(*now, slot->version, rng_.chance(1, 2) ? Downgrade::kAllow : Downgrade::kRefuse);
      if (plan.ok()) must_refuse_.erase(file.digest);  // forgiven, unless the power goes first
      (void)carry(std::move(plan), store, nullptr);
    } else if (what == 8) {
      now = facts();
      if (now.ok() && carry(revert(*now), store, nullptr)) reverted_++;
      return;
    } else {
      return;
    }
  }
}

void SlotWalk::stage_something(Store& store, const BootFacts& boot) {
  Result<Facts> now = survey(store, boot);
  if (!now.ok() || record_disk_.off()) return;
  bool back = rng_.chance(1, 5);
  uint64_t number = next_version_++;
  // An older version than some: 5~3 sorts before 5.
  std::string version = std::to_string(back ? std::max<uint64_t>(number / 2, 2) : number) + (back ? "~" + std::to_string(number) : "");
  static constexpr Behaviour kKinds[] = {Behaviour::kHealthy, Behaviour::kHealthy, Behaviour::kHealthy,
                                         Behaviour::kNeverHealthy, Behaviour::kPanics, Behaviour::kUnloadable};
  Made image = make(version, kKinds[rng_.below(6)], now->record.security_floor + (rng_.chance(1, 9) ? 1 : 0));
  if (!must_refuse_.empty() && rng_.chance(1, 4)) {
    Candidate again = image.candidate;
    again.digest = *must_refuse_.begin();
    Result<Plan> plan = stage(*now, again, Downgrade::kAllow);
    if (plan.ok()) broken("a refused digest can be staged");
    return;
  }
  TextSource source(image.bytes);
  Result<Plan> plan = stage(*now, image.candidate, back ? Downgrade::kAllow : Downgrade::kRefuse);
  if (plan.ok() && !plan->steps.empty()) disk_.faults.bad_write_per_million = mutant_.faults.bad_write_per_million;
  if (!carry(std::move(plan), store, &source)) return;
  staged_++;
  if (mutant_.pin_default) variables_.entry_default = "steppe-" + version + ".efi";
}

}  // namespace steppe::sim
