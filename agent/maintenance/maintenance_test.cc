#include <gtest/gtest.h>

#include "agent/maintenance/maintenance_api.h"

namespace steppe::maintenance {
namespace {

using namespace std::chrono_literals;
using Verdict = CodeDesk::Verdict;

class HandClock final : public Clock {
 public:
  MonoTime now() const override { return at; }
  WallTime wall() const override { return {}; }
  MonoTime at{1'000'000'000'000};
};

TEST(Code, IsReadOffAScreen) {
  SeededRng rng(7);
  std::string all;
  for (int i = 0; i < 200; ++i) {
    const std::string code = make_code(rng).reveal();
    ASSERT_EQ(code.size(), 11u);
    EXPECT_EQ(code[5], '-');
    all += code;
  }
  EXPECT_EQ(all.find_first_of("IO01"), all.npos) << "what looks alike";
  EXPECT_NE(make_code(rng).reveal(), make_code(rng).reveal());
}

TEST(CodeDesk, TakesItHoweverItIsTyped) {
  CodeDesk desk(Secret("7K2QX-M9ZRB"));
  const MonoTime now{1'000'000'000'000};
  for (const char* code : {"7K2QX-M9ZRB", "7k2qxm9zrb", "7K2QX M9ZRB"}) EXPECT_EQ(desk.check("10.0.0.1:7", code, now), Verdict::kRight) << code;
  for (const char* code : {"", "7K2QX-M9ZR", "7K2QX-M9ZRBB", "8K2QX-M9ZRB"}) EXPECT_EQ(desk.check("10.0.0.2:7", code, now), Verdict::kWrong) << code;
  EXPECT_EQ(desk.wrong(), 4u);
}

TEST(CodeDesk, WhoGuessesWaits) {
  CodeDesk desk(Secret("7K2QX-M9ZRB"));
  MonoTime now{1'000'000'000'000};
  for (int i = 0; i < CodeDesk::kWrongOfOne; ++i) EXPECT_EQ(desk.check("10.0.0.1:" + std::to_string(1000 + i), "x", now), Verdict::kWrong);
  EXPECT_EQ(desk.check("10.0.0.1:9", "7K2QX-M9ZRB", now), Verdict::kLater) << "even with the right one, or it could be guessed";
  EXPECT_EQ(desk.check("10.0.0.2:9", "7K2QX-M9ZRB", now), Verdict::kRight) << "others need not";
  EXPECT_EQ(desk.check("10.0.0.1:9", "7K2QX-M9ZRB", now + CodeDesk::kWindow), Verdict::kRight);
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) wrong += desk.check("[fd00:" + std::to_string(i) + "::1]:9", "x", now + CodeDesk::kWindow) == Verdict::kWrong;
  EXPECT_EQ(wrong, CodeDesk::kWrongOfAll) << "many addresses are no more tries";
}

TEST(CodeDesk, CountsNetworksOfIpv6AndMappedAddressesAsWhatTheyAre) {
  EXPECT_EQ(counted_address("10.0.0.7:4646"), "10.0.0.7");
  EXPECT_EQ(counted_address("[::ffff:10.0.0.7]:4646"), "10.0.0.7");
  EXPECT_EQ(counted_address("[2001:db8:1:2:3:4:5:6]:1"), counted_address("[2001:db8:1:2:ffff::]:1"));
  EXPECT_NE(counted_address("[2001:db8:1:2::]:1"), counted_address("[2001:db8:1:3::]:1"));
  EXPECT_EQ(counted_address("unix:/x"), "?");
}

struct World {
  HandClock clock;
  std::string kept;
  bool full = false;
  int told = 0;
  MaintenanceApi api{Secret("7K2QX-M9ZRB"), clock,
                     {.store =
                          [this](const std::string& text) {
                            if (full) return Result<Stored>(Code::kExhausted, "no space left");
                            kept = text;
                            return Result<Stored>(Stored{"/state/config/steppe.hcl", true});
                          },
                      .lines = [] { return std::vector<std::string>{"eth0 10.0.2.15/24", "a \"fault\""}; },
                      .wrong_code = [this](const std::string&) { ++told; }}};

  http::Response ask(std::string method, std::string path, std::string body = "", std::string code = "Bearer 7K2QX-M9ZRB") {
    http::Request request;
    request.method = std::move(method);
    request.path = std::move(path);
    request.body = std::move(body);
    request.remote = "10.0.0.1:4711";
    if (!code.empty()) request.headers.emplace_back("authorization", std::move(code));
    return api.answer(request);
  }
};

TEST(MaintenanceApi, NothingWithoutTheCode) {
  World world;
  for (const char* code : {"", "Bearer nope", "7K2QX-M9ZRB", "Basic 7K2QX-M9ZRB"}) {
    http::Response answer = world.ask("PUT", "/v1/machine/config", "version = 1\nidentity {\n  hostname = \"a\"\n}\n", code);
    EXPECT_EQ(answer.status, 401) << code;
  }
  EXPECT_EQ(world.ask("GET", "/v1/machine/status", "", "").status, 401);
  EXPECT_EQ(world.ask("GET", "/v1/machine/status").status, 429);
  EXPECT_EQ(world.told, 5);
  EXPECT_EQ(world.kept, "");
  world.clock.at = world.clock.at + 1min;
  http::Response status = world.ask("GET", "/v1/machine/status");
  EXPECT_EQ(status.status, 200);
  EXPECT_NE(status.body.find("\"State\":\"maintenance\""), std::string::npos) << status.body;
  EXPECT_NE(status.body.find("\"Lines\":[\"eth0 10.0.2.15/24\",\"a \\\"fault\\\"\"]"), std::string::npos) << status.body;
}

TEST(MaintenanceApi, TakesOneDocumentThatSaysEnough) {
  World world;
  const std::string good = "version = 1\nidentity {\n  hostname = \"rig-7\"\n}\nagent {\n  log_level = \"DEBUG\"\n}\n";
  struct Row {
    std::string text;
    const char* says;
  };
  const Row wrong[] = {
      {"version = 1\nidentity {\n  hostnam = \"a\"\n}\n", "config:3,3"},
      {"version = 2\nidentity {}\n", "version"},
      {"", "version"},
      {"version = 1\nnetwork {\n  dns = [\"9.9.9.9\"]\n}\n", "neither identity, join nor agent"},
      {"version = 1\nagent {\n  log_levle = \"DEBUG\"\n}\n", "config:3,3"},
      {std::string("version = 1\n\xff"), "UTF-8"},
  };
  for (const Row& row : wrong) {
    http::Response answer = world.ask("PUT", "/v1/machine/config", row.text);
    EXPECT_EQ(answer.status, 400) << row.text;
    EXPECT_NE(answer.body.find(row.says), std::string::npos) << answer.body;
  }
  EXPECT_EQ(world.kept, "");
  world.full = true;
  EXPECT_EQ(world.ask("PUT", "/v1/machine/config", good).status, 500);
  EXPECT_FALSE(world.api.taken());
  world.full = false;
  http::Response answer = world.ask("PUT", "/v1/machine/config", good);
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.body, "{\"Stored\":\"/state/config/steppe.hcl\",\"Kept\":true}");
  EXPECT_EQ(world.kept, good);
  EXPECT_TRUE(world.api.taken());
  EXPECT_EQ(world.ask("PUT", "/v1/machine/config", good).status, 409) << "the code serves once";
  EXPECT_EQ(world.ask("GET", "/v1/machine/config").status, 405);
  EXPECT_EQ(world.ask("GET", "/v1/jobs").status, 404);
}

}  // namespace
}  // namespace steppe::maintenance
