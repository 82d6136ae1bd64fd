#include "agent/model/reschedule.h"

#include <vector>

#include "agent/model/alloc_status.h"
#include "agent/schema/alloc.pb.h"
#include "gtest/gtest.h"

namespace steppe::model {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

schema::ReschedulePolicy policy(const char* function, int64_t delay_s, int64_t max_s, bool unlimited = true) {
  schema::ReschedulePolicy made;
  made.set_delay_function(function);
  made.set_delay(delay_s * kSecond);
  made.set_max_delay(max_s * kSecond);
  made.set_unlimited(unlimited);
  return made;
}

// The delays of a chain of allocs, each of which fails right after it started.
std::vector<int64_t> chain(const schema::ReschedulePolicy& policy, int length) {
  schema::Allocation alloc;
  WallTime now{1000 * kSecond};
  std::vector<int64_t> seconds;
  for (int i = 0; i < length; ++i) {
    const Duration delay =
        next_delay(policy, alloc.has_reschedule_tracker() ? &alloc.reschedule_tracker() : nullptr, now);
    seconds.push_back(delay.count() / kSecond);
    now = now + delay;
    *alloc.mutable_reschedule_tracker() = next_tracker(alloc, policy, now, delay);
  }
  return seconds;
}

TEST(Reschedule, DelayFunctions) {
  EXPECT_EQ(chain(policy("constant", 5, 0), 4), (std::vector<int64_t>{5, 5, 5, 5}));
  EXPECT_EQ(chain(policy("exponential", 30, 300), 6), (std::vector<int64_t>{30, 60, 120, 240, 300, 300}));
  EXPECT_EQ(chain(policy("fibonacci", 5, 40), 7), (std::vector<int64_t>{5, 5, 10, 15, 25, 40, 40}));
  EXPECT_EQ(chain(policy("exponential", 30, 0), 3), (std::vector<int64_t>{30, 60, 120}));
}

TEST(Reschedule, ALongLifeResetsTheDelay) {
  const auto rules = policy("exponential", 30, 100);
  schema::RescheduleTracker tracker;
  auto* event = tracker.add_events();
  event->set_delay(80 * kSecond);
  event->set_reschedule_time(1000 * kSecond);
  EXPECT_EQ(next_delay(rules, &tracker, WallTime{1050 * kSecond}).count(), 100 * kSecond);
  EXPECT_EQ(next_delay(rules, &tracker, WallTime{1101 * kSecond}).count(), 30 * kSecond);
}

TEST(Reschedule, Decides) {
  const auto rules = policy("constant", 30, 0);
  schema::Allocation alloc;
  alloc.set_desired_status("run");
  alloc.set_client_status("failed");
  const WallTime failed{1000 * kSecond};
  EXPECT_EQ(reschedule_decision(alloc, rules, failed, failed).verdict, RescheduleVerdict::kLater);
  EXPECT_EQ(reschedule_decision(alloc, rules, failed, failed).at, WallTime{1030 * kSecond});
  EXPECT_EQ(reschedule_decision(alloc, rules, failed, WallTime{1029 * kSecond}).verdict, RescheduleVerdict::kNow);

  schema::Allocation done = alloc;
  done.set_client_status("complete");
  EXPECT_EQ(reschedule_decision(done, rules, failed, failed).verdict, RescheduleVerdict::kNever);
  schema::Allocation replaced = alloc;
  replaced.set_next_allocation("b");
  EXPECT_EQ(reschedule_decision(replaced, rules, failed, failed).verdict, RescheduleVerdict::kNever);
  schema::Allocation stopped = alloc;
  stopped.set_desired_status("stop");
  EXPECT_EQ(reschedule_decision(stopped, rules, failed, failed).verdict, RescheduleVerdict::kNever);

  const auto off = policy("constant", 30, 0, false);
  EXPECT_EQ(reschedule_decision(alloc, off, failed, failed).verdict, RescheduleVerdict::kNever);
  schema::Allocation forced = alloc;
  forced.mutable_desired_transition()->set_force_reschedule(true);
  EXPECT_EQ(reschedule_decision(forced, off, failed, failed).verdict, RescheduleVerdict::kNow);
}

TEST(Reschedule, AttemptsCountWithinTheInterval) {
  auto rules = policy("constant", 5, 0, false);
  rules.set_attempts(2);
  rules.set_interval(600 * kSecond);
  schema::Allocation alloc;
  alloc.set_client_status("failed");
  const auto verdict_at = [&](int64_t second) {
    const WallTime at{second * kSecond};
    return reschedule_decision(alloc, rules, at, at).verdict;
  };
  EXPECT_EQ(verdict_at(1000), RescheduleVerdict::kLater);
  *alloc.mutable_reschedule_tracker() = next_tracker(alloc, rules, WallTime{1000 * kSecond}, Duration(5 * kSecond));
  EXPECT_EQ(verdict_at(1010), RescheduleVerdict::kLater);
  *alloc.mutable_reschedule_tracker() = next_tracker(alloc, rules, WallTime{1010 * kSecond}, Duration(5 * kSecond));
  EXPECT_EQ(verdict_at(1020), RescheduleVerdict::kNever);
  EXPECT_EQ(verdict_at(1605), RescheduleVerdict::kLater);  // the first attempt left the interval
  // A delay as long as the interval can never be within it.
  rules.set_delay(600 * kSecond);
  EXPECT_EQ(verdict_at(1605), RescheduleVerdict::kNever);
}

TEST(Reschedule, TrackerKeepsWhatThePolicyNeeds) {
  const auto unlimited = policy("constant", 5, 0);
  schema::Allocation alloc;
  alloc.set_node_id("n");
  for (int i = 0; i < 9; ++i) {
    alloc.set_id(std::to_string(i));
    *alloc.mutable_reschedule_tracker() = next_tracker(alloc, unlimited, WallTime{i * kSecond}, Duration(5));
  }
  ASSERT_EQ(alloc.reschedule_tracker().events_size(), 6);  // five of the past and the new one
  EXPECT_EQ(alloc.reschedule_tracker().events(5).prev_alloc_id(), "8");
  EXPECT_EQ(alloc.reschedule_tracker().events(0).prev_alloc_id(), "3");

  auto limited = policy("constant", 5, 0, false);
  limited.set_attempts(10);
  limited.set_interval(3 * kSecond);
  const auto next = next_tracker(alloc, limited, WallTime{9 * kSecond}, Duration(5));
  EXPECT_EQ(next.events_size(), 4);  // those at 6, 7 and 8 s, and the new one
}

TEST(AllocStatus, Predicates) {
  schema::Allocation alloc;
  alloc.set_desired_status("run");
  alloc.set_client_status("running");
  EXPECT_FALSE(terminal(alloc));
  for (const char* status : {"complete", "failed", "lost"}) {
    alloc.set_client_status(status);
    EXPECT_TRUE(client_terminal(alloc)) << status;
  }
  alloc.set_client_status("unknown");
  EXPECT_FALSE(client_terminal(alloc));
  alloc.set_desired_status("evict");
  EXPECT_TRUE(server_terminal(alloc));
  EXPECT_EQ(alloc_index("my.job.group[12]"), 12u);
  EXPECT_EQ(alloc_index("group[]"), std::nullopt);
  EXPECT_EQ(alloc_index("group"), std::nullopt);
  EXPECT_EQ(alloc_name("j", "g", 3), "j.g[3]");
  EXPECT_EQ(last_finished(alloc), std::nullopt);
  (*alloc.mutable_task_states())["a"].set_finished_at(5);
  (*alloc.mutable_task_states())["b"].set_finished_at(7);
  EXPECT_EQ(last_finished(alloc), WallTime{7});
  EXPECT_FALSE(ran_successfully(alloc));
  (*alloc.mutable_task_states())["a"].set_state("dead");
  (*alloc.mutable_task_states())["b"].set_state("dead");
  EXPECT_TRUE(ran_successfully(alloc));
  (*alloc.mutable_task_states())["b"].set_failed(true);
  EXPECT_FALSE(ran_successfully(alloc));
}

}  // namespace
}  // namespace steppe::model
