#include "agent/raft/engine.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "agent/raft/message.h"
#include "init/base/rng.h"

namespace steppe::raft {
namespace {

EngineSettings settings_of(PeerId id) { return {.id = id}; }

Saved fresh(std::vector<PeerId> voters) {
  Saved saved;
  saved.snapshot.conf.voters = std::move(voters);
  return saved;
}

std::unique_ptr<Engine> make(PeerId id, std::vector<PeerId> voters) {
  auto engine = Engine::create(settings_of(id), fresh(std::move(voters)));
  EXPECT_TRUE(engine.ok()) << engine.error().message();
  return std::move(*engine);
}

// Handles Readys as a shell with a perfect disk would; gives back what was sent and applied.
struct Drained {
  std::vector<OutgoingMessage> sent;
  std::vector<Entry> applied;
};

Drained drain(Engine& engine) {
  Drained all;
  while (engine.has_ready()) {
    Ready ready = engine.ready();
    for (auto& message : ready.messages) all.sent.push_back(std::move(message));
    engine.persisted(ready.number);
    for (auto& message : ready.messages_after_persist) all.sent.push_back(std::move(message));
    for (Entry& entry : ready.committed) {
      if (entry.type != EntryType::kNormal) EXPECT_TRUE(engine.apply_conf_entry(entry).ok());
      all.applied.push_back(std::move(entry));
    }
    if (!all.applied.empty() && all.applied.back().index > engine.status().applied) {
      engine.applied(all.applied.back().index);
    }
  }
  return all;
}

TEST(Engine, QuorumOfOneCommitsAfterPersist) {
  auto engine = make(1, {1});
  ASSERT_TRUE(engine->campaign().ok());
  EXPECT_EQ(engine->status().role, Role::kLeader);
  auto index = engine->propose(as_bytes("hello"));
  ASSERT_TRUE(index.ok());
  EXPECT_EQ(*index, 2u);
  const Ready first = engine->ready();
  EXPECT_TRUE(first.must_sync);
  EXPECT_TRUE(first.committed.empty());
  ASSERT_EQ(first.entries.size(), 2u);
  EXPECT_EQ(first.entries[1].data, "hello");
  EXPECT_FALSE(engine->has_ready());  // one at a time
  engine->persisted(first.number);
  const Ready second = engine->ready();
  EXPECT_FALSE(second.must_sync);
  ASSERT_EQ(second.committed.size(), 2u);
  EXPECT_EQ(second.committed[1].data, "hello");
  engine->persisted(second.number);
  engine->applied(2);
}

TEST(Engine, RefusesSavedStateThatNoEngineLeaves) {
  struct Case {
    const char* name;
    Saved saved;
  };
  const Entry one{1, 1, EntryType::kNormal, ""};
  const Entry three{3, 1, EntryType::kNormal, ""};
  const Entry late{1, 5, EntryType::kNormal, ""};
  std::vector<Case> cases = {
      {"a snapshot of no voters", {{1, 1, 0}, {1, 1, {}}, {}}},
      {"learners without voters", {{1, 1, 0}, {0, 0, {.learners = {1}}}, {}}},
      {"hole", {{1, 1, 0}, {0, 0, {.voters = {1}}}, {one, three}}},
      {"commit past the log", {{1, 1, 9}, {0, 0, {.voters = {1}}}, {one}}},
      {"entry newer than the term", {{1, 1, 0}, {0, 0, {.voters = {1}}}, {late}}},
      {"voter is a learner", {{1, 1, 0}, {0, 0, {.voters = {1}, .learners = {1}}}, {one}}},
      {"voter twice", {{1, 1, 0}, {0, 0, {.voters = {1, 1}}}, {one}}},
  };
  for (const Case& c : cases) {
    auto engine = Engine::create(settings_of(1), c.saved);
    ASSERT_FALSE(engine.ok()) << c.name;
    EXPECT_EQ(engine.error().code(), Code::kInvalid) << c.name;
  }
}

TEST(Engine, ElectionTimeoutIsOursWhateverTheCrateDraws) {
  auto engine = make(1, {1, 2, 3});
  ASSERT_TRUE(engine->set_election_timeout(17).ok());
  for (int i = 0; i < 200; ++i) {
    engine->tick();
    drain(*engine);
    EXPECT_EQ(engine->status().election_timeout, 17u);
  }
  EXPECT_FALSE(engine->set_election_timeout(20).ok());
  EXPECT_FALSE(engine->set_election_timeout(9).ok());
}

TEST(Engine, PeerBytesNeverEndTheProcess) {
  SeededRng rng(7);
  auto engine = make(2, {1, 2, 3});
  for (int round = 0; round < 20000; ++round) {
    Message message;
    message.type = static_cast<MessageType>(rng.below(20));
    message.to = rng.chance(9, 10) ? 2 : rng.below(4);
    message.from = rng.below(5);
    message.term = rng.below(6);
    message.log_term = rng.below(6);
    message.index = rng.below(8);
    message.commit = rng.below(12);
    message.commit_term = rng.below(6);
    message.reject_hint = rng.below(8);
    message.reject = rng.chance(1, 2);
    Index next = message.index + (rng.chance(9, 10) ? 1 : rng.below(5));
    for (uint64_t i = rng.below(4); i > 0; --i) {
      message.entries.push_back({next++, rng.below(6), EntryType::kNormal, "x"});
    }
    if (message.type == MessageType::kSnapshot) {
      message.snapshot = {rng.below(10), rng.below(6), {.voters = {1, 2, rng.below(4)}}};
    }
    (void)engine->step(as_bytes(encode_message(message)));
    if (rng.chance(1, 3)) engine->tick();
    drain(*engine);
  }
  std::string noise(64, '\0');
  for (int round = 0; round < 20000; ++round) {
    for (char& c : noise) c = static_cast<char>(rng.next());
    (void)engine->step(as_bytes(std::string_view(noise).substr(0, rng.below(64))));
  }
}

TEST(Engine, AHeartbeatPastOurLogIsCorruptionNotACrash) {
  auto engine = make(2, {1, 2});
  auto stepped = engine->step(as_bytes(encode_message({.type = MessageType::kHeartbeat, .to = 2, .from = 1, .term = 1, .commit = 7})));
  ASSERT_FALSE(stepped.ok());
  EXPECT_EQ(stepped.error().code(), Code::kCorrupt);
}

TEST(Engine, ARemovedLeaderStepsDown) {
  auto engine = make(1, {1, 2});
  ASSERT_TRUE(engine->campaign().ok());
  drain(*engine);
  const Message pre{.type = MessageType::kRequestPreVoteResponse, .to = 1, .from = 2, .term = 1};
  ASSERT_TRUE(engine->step(as_bytes(encode_message(pre))).ok());
  drain(*engine);
  const Message vote{.type = MessageType::kRequestVoteResponse, .to = 1, .from = 2, .term = 1};
  ASSERT_TRUE(engine->step(as_bytes(encode_message(vote))).ok());
  drain(*engine);
  ASSERT_EQ(engine->status().role, Role::kLeader);
  ASSERT_TRUE(engine->propose_conf_change({.changes = {{ChangeType::kRemove, 1}}}).ok());
  EXPECT_FALSE(engine->propose_conf_change({.changes = {{ChangeType::kRemove, 2}}}).ok());  // one at a time
  drain(*engine);
  const Message ack{.type = MessageType::kAppendResponse, .to = 1, .from = 2, .term = 1, .index = 2};
  ASSERT_TRUE(engine->step(as_bytes(encode_message(ack))).ok());
  drain(*engine);
  EXPECT_EQ(engine->status().role, Role::kFollower);
  EXPECT_EQ(engine->conf_state().voters, std::vector<PeerId>{2});
  EXPECT_TRUE(engine->step(as_bytes(encode_message(ack))).ok());  // would end the process without the guard
}

// A group in one thread with a lossy network: the trace of everything that was applied and every role
// that was taken, from a seed.
struct Group {
  explicit Group(uint64_t seed) : rng(seed) {
    for (PeerId id = 1; id <= 3; ++id) {
      engines[id] = make(id, {1, 2, 3});
      draw(id);
    }
  }
  void draw(PeerId id) {
    EXPECT_TRUE(engines[id]->set_election_timeout(10 + rng.below(10)).ok());
    const EngineStatus status = engines[id]->status();
    drawn[id] = {status.term, status.role};
  }
  void settle(PeerId id) {
    Drained all = drain(*engines[id]);
    for (auto& message : all.sent) wire.push_back({message.to, std::move(message.bytes)});
    for (const Entry& entry : all.applied) note(id, entry.index, entry.term, entry.data);
    const EngineStatus status = engines[id]->status();
    if (drawn[id] != std::pair{status.term, status.role}) {
      draw(id);
      note(id, status.term, static_cast<uint64_t>(status.role), "");
    }
  }
  void note(PeerId id, uint64_t a, uint64_t b, std::string_view data) {
    const uint64_t values[] = {id, a, b};
    hash = crc32c(as_bytes(data), crc32c(std::as_bytes(std::span(values)), hash));
    log_hash[id] = crc32c(as_bytes(data), crc32c(std::as_bytes(std::span(values).subspan(1)), log_hash[id]));
  }
  void step() {
    const PeerId id = 1 + rng.below(3);
    if (rng.chance(1, 4)) {
      engines[id]->tick();
      settle(id);
    }
    if (rng.chance(1, 20)) {
      (void)engines[id]->propose(as_bytes(std::to_string(rng.next())));
      settle(id);
    }
    if (wire.empty()) return;
    auto [to, bytes] = std::move(wire.front());
    wire.pop_front();
    if (rng.chance(1, 20)) return;  // lost
    if (rng.chance(1, 20)) wire.push_back({to, bytes});
    (void)engines[to]->step(as_bytes(bytes));
    settle(to);
  }
  SeededRng rng;
  std::map<PeerId, std::unique_ptr<Engine>> engines;
  std::map<PeerId, std::pair<Term, Role>> drawn;
  std::map<PeerId, uint32_t> log_hash;
  std::deque<std::pair<PeerId, std::string>> wire;
  uint32_t hash = 0;
};

TEST(Engine, ThreeVotersReplayASeedToEqualHashes) {
  std::map<uint32_t, int> distinct;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Group first(seed);
    Group second(seed);
    for (int i = 0; i < 4000; ++i) first.step();
    for (int i = 0; i < 4000; ++i) second.step();
    EXPECT_EQ(first.hash, second.hash) << "seed " << seed;
    EXPECT_GT(first.engines[1]->status().commit, 5u) << "seed " << seed;
    ++distinct[first.hash];
  }
  EXPECT_GT(distinct.size(), 15u);
}

}  // namespace
}  // namespace steppe::raft
