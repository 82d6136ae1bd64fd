#include "init/control/message.h"

#include <gtest/gtest.h>

#include <vector>

#include "init/frame/frame.h"
#include "init/frame/frame_type.h"

namespace steppe::control {
namespace {

std::string packed(const auto& message) {
  std::vector<std::byte> buffer(kMaxReply);
  auto bytes = encode(message, buffer);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Message, requests_survive_the_way) {
  for (Request request : {Request{Verb::kEnd, Ending::kPowerOff, std::string_view("rollout 7")}, Request{Verb::kEnd, Ending::kReboot, {}},
                          Request{.verb = Verb::kState}, Request{.verb = Verb::kTrial}, Request{.verb = Verb::kBlessed}}) {
    Request got{.verb = Verb::kTrial};
    std::string bytes = packed(request);
    EXPECT_LE(bytes.size(), kMaxRequest);
    ASSERT_TRUE(decode(as_bytes(bytes), got));
    EXPECT_EQ(got, request);
  }
}

TEST(Message, a_full_reply_fits_and_survives_the_way) {
  Reply reply{.trial = true, .trial_left_s = 17, .count = kMaxServices};
  for (size_t i = 0; i < kMaxServices; ++i) {
    reply.services[i] = {.name = std::string_view("a-name-of-24-bytes-exactly"), .state = ServiceState::kBackoff, .pid = INT32_MAX, .crashes = UINT64_MAX,
                         .last_end = std::string(64, 'x'), .status = std::string(120, static_cast<char>('a' + i))};
  }
  std::string bytes = packed(reply);
  ASSERT_FALSE(bytes.empty());
  Reply got;
  ASSERT_TRUE(decode(as_bytes(bytes), got));
  EXPECT_EQ(got, reply);
  EXPECT_EQ(got.services[7].name.view().size(), 24u);
}

TEST(Message, texts_are_printable_and_cut) {
  Request request{.verb = Verb::kEnd, .reason = std::string("\x1b[2J") + std::string(500, 'y')};
  EXPECT_EQ(request.reason.view().substr(0, 5), "?[2Jy");
  EXPECT_EQ(request.reason.view().size(), 120u);
}

// What each row does to a good packet makes it no packet; the message stays as it was.
TEST(Message, damage_is_refused) {
  frame::Builder other(frame::kControlReply, 1), newer(frame::kControlRequest, 2), twice(frame::kControlRequest, 1), nothing(frame::kControlRequest, 1),
      far(frame::kControlRequest, 1), how(frame::kControlRequest, 1), hasty(frame::kControlRequest, 1), narrow(frame::kControlRequest, 1);
  other.integer(1, 1);
  newer.integer(1, 2);
  twice.integer(1, 2).integer(1, 2);
  far.integer(1, 99);
  how.integer(1, 1).integer(2, 9);
  hasty.integer(1, 1);
  narrow.text(1, "\x02");
  std::string good = packed(Request{.verb = Verb::kState}), flipped = good;
  flipped[20] ^= 1;
  const std::pair<const char*, std::string> rows[] = {
      {"empty", ""}, {"cut", good.substr(0, good.size() - 1)}, {"more behind it", good + good}, {"a bit", flipped}, {"a reply", other.finish()},
      {"a newer version", newer.finish()}, {"two verbs", twice.finish()}, {"no verb", nothing.finish()}, {"an unknown verb", far.finish()},
      {"an unknown ending", how.finish()}, {"an end that does not say how", hasty.finish()}, {"a number of one byte", narrow.finish()},
      {"too long", std::string(kMaxRequest + 1, 'x')}};
  for (const auto& [name, bytes] : rows) {
    Request got{.verb = Verb::kBlessed};
    EXPECT_FALSE(decode(as_bytes(bytes), got)) << name;
    EXPECT_EQ(got, Request{.verb = Verb::kBlessed}) << name;
  }
}

TEST(Message, fields_of_a_newer_version_are_skipped) {
  frame::Builder builder(frame::kControlRequest, 1);
  builder.integer(1, 1).integer(2, 2).text(900, "something new");
  Request got;
  ASSERT_TRUE(decode(as_bytes(builder.finish()), got));
  EXPECT_EQ(got.ending, Ending::kPowerOff);
  frame::Builder reply(frame::kControlReply, 1);
  reply.integer(1, 1).integer(4, 1).text(256, "agent").integer(257, 200).text(256 + 15, "new").text(900, "new");
  Reply read;
  ASSERT_TRUE(decode(as_bytes(reply.finish()), read));
  EXPECT_EQ(read.services[0].name.view(), "agent");
  EXPECT_EQ(state_name(read.services[0].state), "unknown");
}

}  // namespace
}  // namespace steppe::control
