#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "init/upgrade/carry.h"
#include "tests/sim/slots/loader_model.h"

namespace steppe::sim {

// What a test plants in the code under test; the walk must then find a broken promise.
struct SlotMutant {
  FatFaults faults;
  std::function<void(upgrade::Plan&)> plan;                    // changes each plan before it is carried out
  bool bless_counted_path = false;                             // renames what LoaderBootCountPath names, whoever runs
  bool pin_default = false;                                    // sets LoaderEntryDefault to what it stages
};

// How an image behaves once it runs. The truth, which only the walk knows.
enum class Behaviour : uint8_t { kHealthy, kNeverHealthy, kPanics, kUnloadable };

// One machine's life from a seed: stage, try, bless, revert, power cuts at any change of the disk, images that fail in every
// way. After every restart it is checked that
//   - with no more help from outside, the loader alone (and restarts of what does not become healthy) reaches a healthy image;
//   - no name of an image stands over bytes that are not one whole image;
//   - a digest whose trial failed, or was turned back, is refused from the next completed start on;
//   - after recovery no leftover, no second name and no shared cluster is there.
class SlotWalk {
 public:
  SlotWalk(uint64_t seed, SlotMutant mutant);
  // Empty, or the first promise that was broken.
  std::string run(int starts);
  uint64_t cuts() const { return cuts_; }
  uint64_t staged() const { return staged_; }
  uint64_t blessed() const { return blessed_; }
  uint64_t reverted() const { return reverted_; }
  uint64_t doubles() const { return doubles_; }
  uint64_t stood_still() const { return stood_still_; }

 private:
  struct Made {
    std::string bytes;
    upgrade::Candidate candidate;
    Behaviour behaviour = Behaviour::kHealthy;
  };

  Made make(const std::string& version, Behaviour behaviour, uint64_t security);
  void start_once();
  void live(const Started& started);
  void act(upgrade::Store& store, const upgrade::BootFacts& boot, const Made& running);
  void stage_something(upgrade::Store& store, const upgrade::BootFacts& boot);
  bool carry(Result<upgrade::Plan> plan, upgrade::Store& store, upgrade::ImageSource* source);
  void check_disk();
  void check_future();
  void check_settled(upgrade::Store& store, const upgrade::BootFacts& boot);
  void broken(std::string what);
  const Made* made_of(const std::string& content) const;

  SeededRng rng_;
  SlotMutant mutant_;
  FatDisk disk_, record_disk_;
  Loader loader_;
  LoaderVariables variables_;
  bool has_variables_ = true;
  std::map<std::string, Made> made_;       // by content
  std::set<upgrade::Digest> must_refuse_;  // recorded for good
  uint64_t next_version_ = 2;
  std::string broken_;
  uint64_t cuts_ = 0, staged_ = 0, blessed_ = 0, reverted_ = 0, doubles_ = 0, stood_still_ = 0;
};

}  // namespace steppe::sim
