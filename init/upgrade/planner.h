#pragma once

#include <string>
#include <vector>

#include "init/upgrade/plan.h"

namespace steppe::upgrade {

// Makes one plan: keeps the facts as they will be after the steps so far, so that each decision sees what the ones before it do.
class Planner {
 public:
  // With the steps of recover() already in it.
  explicit Planner(const Facts& facts);

  const Facts& facts() const { return facts_; }
  const std::vector<SlotFile>& files() const { return facts_.files; }
  SlotName name(size_t file) const { return *parse_slot_name(facts_.files[file].name); }

  Running running() const;
  // Index of the file of that version, if there is one.
  std::optional<size_t> find(std::string_view version) const;
  // The good file that the loader would take without counted ones; nullopt when there is none.
  std::optional<size_t> last_good() const;
  bool is_protected(size_t file) const;  // what runs, what the loader says it started, the last good one

  void drop(size_t file);  // kRemove, or kForget when another name has its clusters
  void rename(size_t file, SlotName to);
  void write(const Candidate& candidate);  // the .part, then its name with all tries (or none, for a first image)
  void sync();
  void keep(Record record);  // kRecord when it differs
  // The loader must start `file` next: newer good ones are set aside when that is allowed.
  Result<> put_first(size_t file, Downgrade downgrade);
  // Without a good image, the one that was set aside and that the loader starts is good again.
  void restore_good();
  void drop_bad();
  // Removes what is worth least until `need` bytes are free; kExhausted with the numbers.
  Result<> make_room(uint64_t need);

  Plan finish(std::string summary, Reboot reboot = Reboot::kNone);

 private:
  Result<> check_way(size_t file);
  void recover();
  void merge_names();
  bool shares_clusters(size_t file) const;
  bool better(size_t a, size_t b) const;  // of two names for one version

  Facts facts_;
  Plan plan_;
  bool unsynced_ = false;
};

}  // namespace steppe::upgrade
