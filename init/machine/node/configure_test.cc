#include "init/machine/node/configure.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "init/base/text.h"

namespace steppe::node {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDocument = R"(version = 1
identity {
  hostname   = "rig-7"
  datacenter = "cellar"
  meta = { "rack" = "a ${1}" }
}
agent {
  bind_addr = "0.0.0.0"
}
)";

TEST(Configure, NothingIsAMachineByItself) {
  Configuration found = configure({"console=ttyS0 quiet panic=30\n", {}, std::nullopt});
  EXPECT_EQ(found.problems, std::vector<std::string>());
  EXPECT_TRUE(found.config.network.others_by_dhcp);
  auto files = agent_files(found.config, "/run/steppe", true);
  ASSERT_EQ(files.size(), 3U);
  EXPECT_NE(files["10-image.hcl"].find("\"/run/steppe/network/resolv.conf.d\" = \"/run/resolv.conf.d\""), std::string::npos) << files["10-image.hcl"];
  EXPECT_NE(files["15-alone.hcl"].find("bind_addr = \"127.0.0.1\""), std::string::npos) << "nobody reaches what nobody configured";
  EXPECT_EQ(files["20-machine.hcl"], "");
}

TEST(Configure, TheKernelsArgumentsComeBeforeTheDocument) {
  RawSources sources;
  sources.command_line = "quiet steppe.hostname=node-1 steppe.retry_join=10.0.0.1,10.0.0.2:4648 steppe.ip=eth0:10.0.0.7/24:10.0.0.1";
  sources.fw_cfg = std::string(kDocument);
  Configuration found = configure(sources);
  EXPECT_EQ(found.problems, std::vector<std::string>()) << join(found.problems, "\n");
  EXPECT_EQ(found.config.identity.hostname, "node-1") << "a section comes whole from one source";
  EXPECT_EQ(found.config.identity.datacenter, "");
  ASSERT_EQ(found.config.network.links.size(), 1U);
  EXPECT_EQ(found.config.network.links[0].addresses[0].text(), "10.0.0.7/24");
  auto files = agent_files(found.config, "/run/steppe", true);
  EXPECT_FALSE(files.contains("15-alone.hcl"));
  EXPECT_EQ(files["20-machine.hcl"], "name = \"node-1\"\nclient {\n  server_join {\n    retry_join = [\"10.0.0.1\", \"10.0.0.2:4648\"]\n  }\n}\n");
  EXPECT_NE(files["30-agent.hcl"].find("bind_addr = \"0.0.0.0\""), std::string::npos);
  EXPECT_FALSE(agent_files(found.config, "/run/steppe", false).contains("30-agent.hcl"));
}

TEST(Configure, AFaultCostsItsSourceAndSaysWhere) {
  RawSources sources;
  sources.command_line = "steppe.hostname=node-1";
  sources.fw_cfg = "version = 1\nidentity {\n  hostnam = \"x\"\n}\n";
  Configuration found = configure(sources);
  ASSERT_FALSE(found.problems.empty());
  EXPECT_TRUE(found.problems[0].starts_with("opt/steppe/config:3")) << found.problems[0];
  EXPECT_EQ(found.config.identity.hostname, "node-1") << "the other source holds";
  sources.command_line = "steppe.hostname=-bad- steppe.nonsense=1";
  found = configure(sources);
  EXPECT_EQ(found.config.identity.hostname, "");
  const std::string all = join(found.problems, "\n");
  EXPECT_NE(all.find("hostname"), std::string::npos) << all;
  EXPECT_NE(all.find("nonsense"), std::string::npos) << all;
  sources.oem_strings = {std::string("\x0b\x05\x00", 3)};
  EXPECT_GT(configure(sources).problems.size(), found.problems.size()) << "a table that is cut";
}

TEST(Configure, TextsStayTexts) {
  EXPECT_EQ(hcl_text("plain"), "\"plain\"");
  EXPECT_EQ(hcl_text("a\"b\\c\n\t${x} %{y} $z"), "\"a\\\"b\\\\c\\n\\t$${x} %%{y} $z\"");
  machine::MachineConfig config;
  config.identity.meta = {{"k\"} evil {", "v\nenabled = false"}};
  EXPECT_EQ(agent_files(config, "/run/steppe", true)["20-machine.hcl"], "client {\n  meta {\n    \"k\\\"} evil {\" = \"v\\nenabled = false\"\n  }\n}\n");
}

TEST(Configure, SourcesAreReadWhereTheKernelHasThem) {
  char name[] = "/tmp/steppe-node-XXXXXX";
  const std::string root = std::string(::mkdtemp(name)) + "/";
  std::vector<std::string> problems;
  EXPECT_EQ(read_sources(root, problems).command_line, "");
  EXPECT_TRUE(problems.empty()) << "what is not there is no fault";
  fs::create_directories(root + "proc");
  fs::create_directories(root + "sys/firmware/dmi/entries/11-0");
  fs::create_directories(root + "sys/firmware/dmi/entries/12-0");
  fs::create_directories(root + "sys/firmware/qemu_fw_cfg/by_name/opt/steppe/config");
  std::ofstream(root + "proc/cmdline") << "steppe.hostname=a\n";
  std::ofstream(root + "sys/firmware/dmi/entries/11-0/raw") << "eleven";
  std::ofstream(root + "sys/firmware/dmi/entries/12-0/raw") << "twelve";
  std::ofstream(root + "sys/firmware/qemu_fw_cfg/by_name/opt/steppe/config/raw") << kDocument;
  const RawSources read = read_sources(root, problems);
  EXPECT_EQ(read.command_line, "steppe.hostname=a\n");
  EXPECT_EQ(read.oem_strings, std::vector<std::string>{"eleven"});
  EXPECT_EQ(read.fw_cfg, std::string(kDocument));
  EXPECT_TRUE(problems.empty());
  std::ofstream(root + "proc/cmdline") << std::string(100'000, 'x');
  EXPECT_EQ(read_sources(root, problems).command_line, "");
  EXPECT_EQ(problems.size(), 1U) << "one that is too long is";
  fs::remove_all(root);
}

}  // namespace
}  // namespace steppe::node
