#include "drivers/api/config_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "drivers/exec/exec_driver.h"
#include "drivers/mock/mock_driver.h"
#include "drivers/raw_exec/raw_exec_driver.h"
#include "init/io/epoll_loop.h"

namespace steppe::drivers {
namespace {

std::string listed(std::string_view driver) {
  std::string out;
  for (const std::string_view key : config_keys(driver)) out += std::string(out.empty() ? "" : ", ") + std::string(key);
  return out;
}

// What the driver itself says that it knows, when it meets a key that no driver has.
std::string known_to(const Driver& driver) {
  const Result<> refused = driver.validate({{"command", "/bin/true"}, {"no_such_key", 1}});
  if (refused.ok()) return "(it takes every key)";
  const std::string& text = refused.error().message();
  static constexpr std::string_view kMark = "known are: ";
  const size_t at = text.find(kMark);
  return at == std::string::npos ? text : text.substr(at + kMark.size());
}

TEST(ConfigKeys, AreThoseOfTheDrivers) {
  // A driver that cannot run here judges configs all the same, and needs no host.
  exec::Options unfit;
  unfit.allow_caps = {"no_such_capability"};
  EXPECT_EQ(known_to(*exec::make_driver(nullptr, unfit)), listed("exec"));
  EXPECT_EQ(known_to(*raw_exec::make_driver(nullptr, {})), listed("raw_exec"));
  EXPECT_EQ(known_to(*mock::make_driver(io::system_clock())), listed("mock_driver"));
  EXPECT_EQ(listed("docker"), "");
  for (const char* driver : {"exec", "raw_exec", "mock_driver"}) EXPECT_TRUE(std::ranges::is_sorted(config_keys(driver))) << driver;
}

}  // namespace
}  // namespace steppe::drivers
