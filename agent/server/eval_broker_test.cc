#include "agent/server/eval_broker.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

namespace steppe::server {
namespace {

using namespace std::chrono_literals;
using state::JobType;

const std::set<JobType> kAll = {JobType::kService, JobType::kBatch, JobType::kSystem, JobType::kSysBatch};

class BrokerTest : public ::testing::Test {
 protected:
  QueuedEval eval(const std::string& job, int32_t priority = 50, JobType type = JobType::kService) {
    ++index_;
    return {.id = EvalId::random(rng_), .job = job, .type = type, .priority = priority, .create_index = index_, .modify_index = index_};
  }
  EvalId add(const QueuedEval& eval) {
    EXPECT_TRUE(broker_.enqueue(eval, now_).ok());
    return eval.id;
  }
  void advance(Duration by) {
    now_ = now_ + by;
    broker_.expire(now_);
  }
  std::optional<Delivery> take() { return broker_.dequeue(kAll, now_); }

  SeededRng rng_{1};
  MonoTime now_{1'000'000'000};
  uint64_t index_ = 0;
  EvalBroker broker_{{}, rng_};
};

TEST_F(BrokerTest, PriorityThenAge) {
  const EvalId low = add(eval("a", 10));
  const EvalId first = add(eval("b", 50));
  const EvalId second = add(eval("c", 50, JobType::kBatch));
  const EvalId high = add(eval("d", 90, JobType::kSystem));
  for (const EvalId& want : {high, first, second, low}) EXPECT_EQ(take()->id, want);
  EXPECT_FALSE(take());
}

TEST_F(BrokerTest, OnlyTheAskedTypes) {
  add(eval("a", 50, JobType::kBatch));
  EXPECT_FALSE(broker_.dequeue({JobType::kService}, now_));
  EXPECT_TRUE(broker_.dequeue({JobType::kBatch}, now_));
}

TEST_F(BrokerTest, OneOfAJobAtATimeAndTheNewestOfTheRest) {
  const EvalId first = add(eval("job"));
  const EvalId older = add(eval("job"));
  const EvalId newest = add(eval("job"));
  const EvalId other = add(eval("other"));
  const Delivery out = *take();
  EXPECT_EQ(out.id, first);
  EXPECT_EQ(take()->id, other);
  EXPECT_FALSE(take());
  EXPECT_TRUE(broker_.ack(out.id, out.token, now_).ok());
  EXPECT_EQ(take()->id, newest);
  EXPECT_EQ(broker_.take_cancelable(10), std::vector<EvalId>{older});
  EXPECT_TRUE(broker_.take_cancelable(10).empty());
}

TEST_F(BrokerTest, PriorityWinsOverNewness) {
  add(eval("job"));
  const EvalId urgent = add(eval("job", 80));
  const EvalId newest = add(eval("job", 50));
  const Delivery out = *take();
  EXPECT_TRUE(broker_.ack(out.id, out.token, now_).ok());
  EXPECT_EQ(take()->id, urgent);
  EXPECT_EQ(broker_.take_cancelable(10), std::vector<EvalId>{newest});
}

TEST_F(BrokerTest, NackedComesBackLaterAndLaterThenFails) {
  const EvalId id = add(eval("job"));
  const EvalId behind = add(eval("job"));
  Delivery out = *take();
  EXPECT_TRUE(broker_.nack(id, out.token, now_).ok());
  EXPECT_FALSE(take());
  EXPECT_EQ(*broker_.next_deadline(), now_ + 1s);
  advance(1s);
  out = *take();
  EXPECT_EQ(out.id, id) << "it keeps its job's turn";
  EXPECT_EQ(out.deliveries, 2U);
  EXPECT_TRUE(broker_.nack(id, out.token, now_).ok());
  advance(19s);
  EXPECT_FALSE(take());
  advance(1s);
  out = *take();
  EXPECT_TRUE(broker_.nack(id, out.token, now_).ok());
  advance(1h);
  EXPECT_FALSE(take());
  EXPECT_EQ(broker_.stats().failed, 1U);
  const Delivery failed = *broker_.dequeue_failed(now_);
  EXPECT_EQ(failed.id, id);
  EXPECT_TRUE(broker_.ack(id, failed.token, now_).ok());
  EXPECT_EQ(take()->id, behind);
}

TEST_F(BrokerTest, NackTimerGivesBackAndOldTokensAreDead) {
  const EvalId id = add(eval("job"));
  const Delivery lost = *take();
  advance(59s);
  EXPECT_TRUE(broker_.outstanding(id));
  advance(1s);
  EXPECT_FALSE(broker_.outstanding(id));
  EXPECT_EQ(broker_.ack(id, lost.token, now_).error().code(), Code::kNotFound);
  advance(1s);
  const Delivery again = *take();
  EXPECT_EQ(broker_.ack(id, lost.token, now_).error().code(), Code::kDenied);
  EXPECT_TRUE(broker_.ack(id, again.token, now_).ok());
}

TEST_F(BrokerTest, PausedTimerWaits) {
  const EvalId id = add(eval("job"));
  const Delivery out = *take();
  EXPECT_TRUE(broker_.pause_nack(id, out.token).ok());
  advance(10min);
  EXPECT_TRUE(broker_.outstanding(id));
  EXPECT_TRUE(broker_.resume_nack(id, out.token, now_).ok());
  advance(60s);
  EXPECT_FALSE(broker_.outstanding(id));
}

TEST_F(BrokerTest, WaitsUntilItsTime) {
  QueuedEval later = eval("job");
  later.wait = 30s;
  add(later);
  const EvalId now = add(eval("job"));
  EXPECT_EQ(take()->id, now);
  EXPECT_FALSE(take());
  advance(30s);
  EXPECT_FALSE(take()) << "its job has one out";
}

TEST_F(BrokerTest, EnqueuedWhileOutComesAgain) {
  const QueuedEval known = eval("job");
  add(known);
  const Delivery out = *take();
  add(known);
  EXPECT_FALSE(take());
  EXPECT_TRUE(broker_.ack(known.id, out.token, now_).ok());
  EXPECT_EQ(take()->id, known.id);
}

TEST_F(BrokerTest, ForgottenEvalsLeaveTheirTurn) {
  const EvalId first = add(eval("job"));
  const EvalId second = add(eval("job"));
  broker_.forget(first);
  EXPECT_EQ(take()->id, second);
  broker_.forget(second);
  EXPECT_TRUE(broker_.outstanding(second)) << "what is out stays";
}

TEST_F(BrokerTest, FullBrokerRefuses) {
  EvalBroker small({.capacity = 2}, rng_);
  EXPECT_TRUE(small.enqueue(eval("a"), now_).ok());
  EXPECT_TRUE(small.enqueue(eval("b"), now_).ok());
  EXPECT_EQ(small.enqueue(eval("c"), now_).error().code(), Code::kExhausted);
}

// Random workers over random jobs: no two evaluations of a job are out at once, every evaluation ends as acked, canceled
// or failed, nothing is lost.
struct Violations {
  int two_of_a_job = 0;
  int lost = 0;
};
Violations run_seed(uint64_t seed, bool forget_pending) {
  SeededRng rng(seed);
  EvalBroker broker({}, rng);
  MonoTime now{1'000'000'000};
  std::map<EvalId, std::string> open;
  std::map<EvalId, Delivery> out;
  Violations found;
  uint64_t index = 0;
  for (int step = 0; step < 400; ++step) {
    switch (rng.below(6)) {
      case 0:
      case 1: {
        QueuedEval eval{.id = EvalId::random(rng), .job = "job" + std::to_string(rng.below(5)), .priority = static_cast<int32_t>(rng.below(3)), .create_index = ++index, .modify_index = index};
        if (rng.below(4) == 0) eval.wait = std::chrono::seconds(rng.below(100));
        static_cast<void>(broker.enqueue(eval, now));
        open.emplace(eval.id, eval.job);
        if (forget_pending && rng.below(10) == 0) broker.forget(eval.id);  // the planted bug
        break;
      }
      case 2:
      case 3: {
        const auto delivery = broker.dequeue(kAll, now);
        if (!delivery) break;
        for (const auto& [id, other] : out) {
          if (broker.outstanding(id) == other.token && open.at(id) == open.at(delivery->id)) ++found.two_of_a_job;
        }
        out[delivery->id] = *delivery;
        break;
      }
      case 4: {
        if (out.empty()) break;
        const auto [id, delivery] = *out.begin();
        out.erase(id);
        const bool ack = rng.below(3) > 0;
        if (ack && broker.ack(id, delivery.token, now).ok()) open.erase(id);
        if (!ack) static_cast<void>(broker.nack(id, delivery.token, now));
        break;
      }
      default:
        now = now + std::chrono::seconds(rng.below(40));
        broker.expire(now);
    }
    for (const EvalId& id : broker.take_cancelable(3)) open.erase(id);
  }
  // Everything that is left must come out in the end.
  for (int i = 0; i < 2000 && !open.empty(); ++i) {
    now = now + 30s;
    broker.expire(now);
    auto delivery = broker.dequeue(kAll, now);
    if (!delivery) delivery = broker.dequeue_failed(now);
    if (delivery && broker.ack(delivery->id, delivery->token, now).ok()) open.erase(delivery->id);
    for (const EvalId& id : broker.take_cancelable(100)) open.erase(id);
  }
  found.lost = static_cast<int>(open.size());
  return found;
}

TEST(BrokerSeeds, NothingIsLostAndJobsAreSerial) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    const Violations found = run_seed(seed, false);
    ASSERT_EQ(found.two_of_a_job, 0) << "seed " << seed;
    ASSERT_EQ(found.lost, 0) << "seed " << seed;
  }
}

TEST(BrokerSeeds, PlantedLossIsFound) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) lost += run_seed(seed, true).lost;
  EXPECT_GT(lost, 0);
}

}  // namespace
}  // namespace steppe::server
