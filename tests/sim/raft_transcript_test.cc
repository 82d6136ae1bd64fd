#include "tests/sim/raft_transcript.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "init/base/text.h"

namespace steppe::sim {
namespace {

using namespace steppe::raft;

// The scenario files of etcd's Raft core (data, Apache-2.0), found through STEPPE_CASES.
std::string read_case(const std::string& name) {
  const char* cases = std::getenv("STEPPE_CASES");
  if (cases == nullptr) return {};
  std::ifstream file(std::string(cases) + "/raft/" + name + ".txt");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}
#define READ_CASE_OR_SKIP(text, name)                                                             \
  const std::string text = read_case(name);                                                       \
  if (text.empty()) GTEST_SKIP() << "SKIPPED: no " << (name) << ".txt under $STEPPE_CASES/raft: the transcripts are not here"

struct Scenario {
  const char* file;
  // Facts that this engine states otherwise, and why that is right too. Everything else must be equal.
  std::vector<std::string> differs;
  const char* why = "";
  const char* skip = nullptr;
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.file; }

class RaftScenario : public testing::TestWithParam<Scenario> {};

TEST_P(RaftScenario, StatesTheSameFacts) {
  const Scenario& scenario = GetParam();
  if (scenario.skip != nullptr) GTEST_SKIP() << "SKIPPED " << scenario.file << ": " << scenario.skip;
  READ_CASE_OR_SKIP(text, scenario.file);
  TranscriptGroup group;
  for (const TranscriptStep& step : parse_transcript(text)) {
    ASSERT_TRUE(group.run(step)) << scenario.file << ":" << step.line << ": no such operation: " << step.command;
  }
  // An append without entries only tells a commit index: who learned of which commit is stated by the
  // commits. The two engines choose different moments for them, and for the answers to them.
  const auto without_announcements = [](const std::string& key, std::vector<std::string> list) {
    if (key.find("->") == key.npos) return list;
    std::set<std::string> answered;
    std::erase_if(list, [&answered](const std::string& line) {
      if (line.find("MsgApp ") != line.npos) return line.find("Entries:") == line.npos;
      if (line.find("MsgAppResp ") != line.npos && line.find("Rejected") == line.npos) return !answered.insert(line).second;
      return false;
    });
    return list;
  };
  std::map<std::string, bool> keys;
  for (const auto& [key, list] : group.expected().of) keys[key] = true;
  for (const auto& [key, list] : group.found().of) keys[key] = true;
  int equal = 0;
  for (const auto& [key, unused] : keys) {
    if (key == "last link") continue;
    const auto want = group.expected().of.find(key);
    const auto have = group.found().of.find(key);
    const std::vector<std::string> none;
    const auto wanted = without_announcements(key, want == group.expected().of.end() ? none : want->second);
    const auto found = without_announcements(key, have == group.found().of.end() ? none : have->second);
    if (std::ranges::find(scenario.differs, key) != scenario.differs.end()) {
      EXPECT_NE(wanted, found) << scenario.file << ": \"" << key << "\" is listed as different and is not: " << scenario.why;
      continue;
    }
    EXPECT_EQ(wanted, found) << scenario.file << ": " << key << "\nwanted:\n  " << join(wanted, "\n  ") << "\nfound:\n  " << join(found, "\n  ");
    equal += static_cast<int>(wanted.size());
  }
  EXPECT_GT(equal, 0);
  std::cout << scenario.file << ": " << equal << " facts equal";
  if (!scenario.differs.empty()) std::cout << "; stated otherwise: " << join(scenario.differs, ", ") << " (" << scenario.why << ")";
  std::cout << "\n";
}

constexpr const char* kOneVoter = "a group of one: this engine leads within the call that starts the election";
const Scenario kScenarios[] = {
    {.file = "testdata_campaign"},
    {.file = "testdata_campaign_learner_must_vote"},
    {.file = "testdata_confchange_v1_add_single", .differs = {"1 roles"}, .why = kOneVoter},
    {.file = "testdata_confchange_v1_remove_leader_stepdown"},
    {.file = "testdata_confchange_v2_add_double_auto",
     .differs = {"1 roles", "1->2", "1->3"},
     .why = "a group of one leads at once; entries that wait behind a probe travel in one message, with a newer commit"},
    {.file = "testdata_confchange_v2_add_double_implicit", .differs = {"1 roles"}, .why = kOneVoter},
    {.file = "testdata_confchange_v2_add_single_auto", .differs = {"1 roles"}, .why = kOneVoter},
    {.file = "testdata_confchange_v2_add_single_explicit",
     .differs = {"1 roles", "1 entries", "2 entries", "1 commits", "2 commits", "1->2", "2->1"},
     .why = "a membership change that cannot be taken now is an error of propose, not an empty entry in its place"},
    {.file = "testdata_confchange_v2_replace_leader"},
    {.file = "testdata_heartbeat_resp_recovers_from_probing"},
    {.file = "testdata_prevote"},
    {.file = "testdata_probe_and_replicate"},
    {.file = "testdata_replicate_pause", .differs = {"1->3"}, .why = "a paused follower is probed with the next entries instead of an empty append"},
    {.file = "testdata_single_node", .differs = {"1 roles"}, .why = kOneVoter},
    {.file = "testdata_slow_follower_after_compaction"},
    {.file = "testdata_snapshot_succeed_via_app_resp", .differs = {"status"}, .why = "next of a follower that gets a snapshot is printed as before the snapshot"},
    {.file = "testdata_confchange_v1_remove_leader",
     .skip = "a leader that was removed steps down at once here; remove_leader_stepdown is the scenario for that"},
    {.file = "testdata_confchange_disable_validation", .skip = "validation of membership changes cannot be switched off"},
    {.file = "testdata_async_storage_writes", .skip = "storage threads as message peers: here ready(), persisted() and applied() are that interface"},
    {.file = "testdata_forget_leader", .skip = "no operation to forget a leader"},
    {.file = "testdata_forget_leader_read_only_lease_based", .skip = "no operation to forget a leader, no lease reads"},
};
INSTANTIATE_TEST_SUITE_P(Files, RaftScenario, testing::ValuesIn(kScenarios),
                         [](const auto& info) { return std::string(info.param.file).substr(9); });

// ---- Quorum and configuration files: pure functions there, driven here through an engine.

constexpr PeerId kJudge = 99;  // a member of the group that has no say in it

Message from_peer(MessageType type, PeerId peer, Term term) { return {.type = type, .to = kJudge, .from = peer, .term = term}; }

void drain(Engine& engine) {
  while (engine.has_ready()) {
    const Ready ready = engine.ready();
    engine.persisted(ready.number);
    if (!ready.committed.empty()) engine.applied(ready.committed.back().index);
  }
}

std::unique_ptr<Engine> judge_of(std::vector<PeerId> voters) {
  Saved saved;
  saved.snapshot.conf.voters = std::move(voters);
  auto engine = Engine::create({.id = kJudge, .max_message = {1 << 20}, .check_quorum = false, .pre_vote = false}, saved);
  EXPECT_TRUE(engine.ok());
  return *std::move(engine);
}

// Makes `voters` (and `outgoing`, if joint) the configuration, kJudge a learner.
void configure(Engine& engine, const std::vector<PeerId>& voters, const std::vector<PeerId>& outgoing) {
  const std::vector<PeerId>& first = outgoing.empty() ? voters : outgoing;
  ConfChange enter{.transition = Transition::kJointExplicit};
  for (const PeerId old : engine.conf_state().voters) {
    if (old != kJudge) enter.changes.push_back({ChangeType::kRemove, old});
  }
  enter.changes.push_back({ChangeType::kAddLearner, kJudge});
  for (const PeerId id : first) enter.changes.push_back({ChangeType::kAddVoter, id});
  EXPECT_TRUE(engine.apply_conf_change(enter).ok());
  EXPECT_TRUE(engine.apply_conf_change({}).ok());
  if (outgoing.empty()) return;
  ConfChange joint{.transition = Transition::kJointExplicit};
  for (const PeerId id : outgoing) {
    if (std::ranges::find(voters, id) == voters.end()) joint.changes.push_back({ChangeType::kRemove, id});
  }
  for (const PeerId id : voters) joint.changes.push_back({ChangeType::kAddVoter, id});
  EXPECT_TRUE(engine.apply_conf_change(joint).ok());
}

// Ids in the order in which "idx" and "votes" name them: those of cfg, then the new ones of cfgj.
std::vector<PeerId> named_order(const std::vector<PeerId>& voters, const std::vector<PeerId>& outgoing) {
  std::vector<PeerId> order = voters;
  for (const PeerId id : outgoing) {
    if (std::ranges::find(order, id) == order.end()) order.push_back(id);
  }
  return order;
}

uint64_t committed_by(const TranscriptStep& step) {
  const std::vector<PeerId> voters = parse_ids(step.option("cfg"));
  const std::vector<PeerId> outgoing = parse_ids(step.option("cfgj"));
  auto engine = judge_of({kJudge});
  EXPECT_TRUE(engine->campaign().ok());
  drain(*engine);
  configure(*engine, voters, outgoing);
  constexpr Index kBase = 1;  // the leader's own first entry
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(engine->propose(as_bytes("x")).ok());
  drain(*engine);
  const std::vector<PeerId> order = named_order(voters, outgoing);
  const std::vector<uint64_t> known = parse_ids(step.option("idx"));
  EXPECT_EQ(order.size(), known.size()) << "line " << step.line;
  for (size_t i = 0; i < std::min(order.size(), known.size()); ++i) {
    if (known[i] == 0) continue;
    Message ack = from_peer(MessageType::kAppendResponse, order[i], 1);
    ack.index = kBase + known[i];
    EXPECT_TRUE(engine->step(as_bytes(encode_message(ack))).ok());
  }
  return engine->status().commit - kBase;
}

std::string vote_by(const TranscriptStep& step) {
  const std::vector<PeerId> voters = parse_ids(step.option("cfg"));
  auto engine = judge_of({kJudge, 98});
  EXPECT_TRUE(engine->campaign().ok());
  drain(*engine);
  configure(*engine, voters, {});
  const std::string votes = step.option("votes");
  const std::vector<std::string_view> named = split(std::string_view(votes).substr(1, votes.size() - 2), ',');
  for (size_t i = 0; i < voters.size(); ++i) {
    if (named.at(i) == "_") continue;
    Message vote = from_peer(MessageType::kRequestVoteResponse, voters[i], 1);
    vote.reject = named[i] == "n";
    EXPECT_TRUE(engine->step(as_bytes(encode_message(vote))).ok());
  }
  const Role role = engine->status().role;
  return role == Role::kLeader ? "VoteWon" : role == Role::kCandidate ? "VotePending" : "VoteLost";
}

class RaftQuorum : public testing::TestWithParam<const char*> {};

TEST_P(RaftQuorum, DecidesTheSame) {
  READ_CASE_OR_SKIP(text, GetParam());
  int judged = 0;
  int skipped = 0;
  for (const TranscriptStep& step : parse_transcript(text)) {
    if (parse_ids(step.option("cfg")).empty()) {
      ++skipped;  // a group without voters has no engine that could commit
      continue;
    }
    ++judged;
    if (step.command == "vote") EXPECT_EQ(vote_by(step), step.expected.back()) << GetParam() << ":" << step.line;
    else EXPECT_EQ(std::to_string(committed_by(step)), step.expected.back()) << GetParam() << ":" << step.line;
  }
  EXPECT_GT(judged, 10);
  std::cout << GetParam() << ": " << judged << " decisions equal, " << skipped << " SKIPPED (no voters)\n";
}
INSTANTIATE_TEST_SUITE_P(Files, RaftQuorum,
                         testing::Values("quorum_testdata_majority_commit", "quorum_testdata_majority_vote", "quorum_testdata_joint_commit"),
                         [](const auto& info) { return std::string(info.param).substr(16); });

std::string print_configuration(const Engine& engine) {
  const ConfState conf = engine.conf_state();
  const auto list = [](const std::vector<PeerId>& ids) {
    std::vector<std::string> parts;
    for (const PeerId id : ids) parts.push_back(std::to_string(id));
    return "(" + join(parts, " ") + ")";
  };
  std::string out = "voters=" + list(conf.voters);
  if (!conf.voters_outgoing.empty()) out += "&&" + list(conf.voters_outgoing);
  if (!conf.learners.empty()) out += " learners=" + list(conf.learners);
  if (!conf.learners_next.empty()) out += " learners_next=" + list(conf.learners_next);
  if (conf.auto_leave) out += " autoleave";
  for (const PeerProgress& peer : engine.progress()) {
    out += "\n" + std::to_string(peer.peer) + ": StateProbe match=" + std::to_string(peer.match) + " next=" + std::to_string(std::max<Index>(1, peer.next));
    if (peer.learner) out += " learner";
  }
  return out;
}

// The changes of a step, in calls. Several members outside a joint configuration are asked of the engine
// one by one (together they would take it through a joint one): the same end when they are allowed, but
// whether they are refused together cannot be asked.
std::vector<ConfChange> changes_of(const TranscriptStep& step) {
  ConfChange all;
  if (step.command == "enter-joint") {
    all.transition = step.option("autoleave") == "true" ? Transition::kJointImplicit : Transition::kJointExplicit;
  }
  for (const std::string& line : step.input) {
    for (const std::string_view word : split(line, ' ')) {
      const char letter = word.at(0);
      if (letter == 'u') continue;  // an update changes no configuration; this engine has none
      const ChangeType type = letter == 'v' ? ChangeType::kAddVoter : letter == 'r' ? ChangeType::kRemove : ChangeType::kAddLearner;
      all.changes.push_back({type, parse_uint(word.substr(1)).value_or(0)});
    }
  }
  if (step.command == "leave-joint") return {all};
  if (step.command == "enter-joint") return all.changes.empty() ? std::vector<ConfChange>{} : std::vector<ConfChange>{all};
  std::vector<ConfChange> singles;
  for (const auto& single : all.changes) singles.push_back({.changes = {single}});
  return singles;
}

class RaftConfChange : public testing::TestWithParam<const char*> {};

TEST_P(RaftConfChange, ConfiguresTheSame) {
  READ_CASE_OR_SKIP(text, GetParam());
  auto engine = judge_of({});
  int equal = 0;
  int skipped = 0;
  Index last = 0;
  for (const TranscriptStep& step : parse_transcript(text)) {
    const std::string before = print_configuration(*engine);
    const std::string wanted = join(step.expected, "\n");
    const bool refused = !wanted.starts_with("voters=");
    const std::vector<ConfChange> changes = changes_of(step);
    if (changes.empty() || (refused && changes.size() > 1)) {
      ++skipped;
      if (!refused) EXPECT_EQ(before, wanted) << GetParam() << ":" << step.line;  // what follows builds on it
    } else {
      bool ok = true;
      for (const ConfChange& change : changes) ok &= engine->apply_conf_change(change).ok();
      EXPECT_EQ(ok, !refused) << GetParam() << ":" << step.line << ": " << wanted;
      EXPECT_EQ(print_configuration(*engine), refused ? before : wanted) << GetParam() << ":" << step.line;
      ++equal;
    }
    // A new member's next index tells when it was added: each step is one entry later.
    Message append = from_peer(MessageType::kAppend, 98, 1);
    append.index = last;
    append.log_term = last == 0 ? 0 : 1;
    append.entries.push_back({++last, 1, EntryType::kNormal, "x"});
    ASSERT_TRUE(engine->step(as_bytes(encode_message(append))).ok());
    drain(*engine);
  }
  std::cout << GetParam() << ": " << equal << " configurations equal, " << skipped << " SKIPPED (refusals of several members at once outside a joint change; empty joint changes)\n";
  EXPECT_GT(equal, 0);
}
INSTANTIATE_TEST_SUITE_P(Files, RaftConfChange,
                         testing::Values("confchange_testdata_joint_autoleave", "confchange_testdata_joint_idempotency",
                                         "confchange_testdata_joint_learners_next", "confchange_testdata_simple_idempotency",
                                         "confchange_testdata_simple_promote_demote", "confchange_testdata_simple_safety",
                                         "confchange_testdata_update", "confchange_testdata_zero"),
                         [](const auto& info) { return std::string(info.param).substr(20); });

}  // namespace
}  // namespace steppe::sim
