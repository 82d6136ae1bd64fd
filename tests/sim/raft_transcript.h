#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/raft/engine.h"
#include "agent/raft/message.h"

namespace steppe::sim {

// One step of a scenario file: "command word key=value", perhaps input lines, "----", the expected
// output up to a blank line. '#' begins a comment line.
struct TranscriptStep {
  int line = 0;
  std::string command;
  std::vector<std::string> words;              // the arguments without a key
  std::map<std::string, std::string> options;  // "(1, 2)" keeps its commas and loses its spaces
  std::vector<std::string> input;
  std::vector<std::string> expected;
  std::string option(const std::string& key, const std::string& otherwise = "") const {
    const auto found = options.find(key);
    return found == options.end() ? otherwise : found->second;
  }
};
std::vector<TranscriptStep> parse_transcript(std::string_view text);
std::vector<uint64_t> parse_ids(std::string_view text);  // "(1,2,3)" and "2"; others, as "_", are 0

// What a scenario states, in one print for both sides: what each member persisted, committed and became,
// what it sent to whom, and the answers to questions. The steps that a scenario ran with output off
// state nothing.
struct Facts {
  std::map<std::string, std::vector<std::string>> of;  // "1 entries", "1 commits", "1 roles", "1 term and vote", "1->2"
};

// The members of a scenario with their messages in flight, driven by its commands.
class TranscriptGroup {
 public:
  // Runs a step; false when this engine has no such operation.
  bool run(const TranscriptStep& step);
  const Facts& expected() const { return expected_; }
  const Facts& found() const { return found_; }

 private:
  struct Member {
    std::unique_ptr<raft::Engine> engine;
    std::vector<raft::Entry> log;
    raft::SnapshotPoint point;
    raft::HardState hard;
    std::string role;
  };
  bool act(const TranscriptStep& step);
  void add_nodes(const TranscriptStep& step);
  void process_ready(raft::PeerId id);
  void apply(raft::PeerId id, const std::vector<raft::Entry>& committed);
  bool deliver(raft::PeerId to, bool drop);
  void stabilize(std::vector<uint64_t> ids);
  bool propose_change(const TranscriptStep& step);
  void answer(const std::string& key, std::string line);
  void status(raft::PeerId id);
  void raft_log(raft::PeerId id);
  void raft_state();
  void read_expected(const TranscriptStep& step);
  void read_ready_line(const std::string& line, raft::PeerId id, std::string& section);

  std::map<raft::PeerId, Member> members_;
  std::vector<raft::Message> wire_;
  bool quiet_ = false;       // log-level none
  bool step_quiet_ = false;
  Facts expected_;
  Facts found_;
};

std::string print_message(const raft::Message& message);
std::string print_entry(const raft::Entry& entry);

}  // namespace steppe::sim
