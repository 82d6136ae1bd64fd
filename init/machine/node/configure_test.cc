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
  Configuration found = configure({"console=ttyS0 quiet panic=30\n", {}, std::nullopt, {}, {}});
  EXPECT_EQ(found.problems, std::vector<std::string>());
  EXPECT_TRUE(found.config.network.others_by_dhcp);
  EXPECT_FALSE(found.complete) << "it waits to be told";
  EXPECT_TRUE(configure({"quiet steppe.standalone\n", {}, std::nullopt, {}, {}}).complete) << "asked for";
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

Document document(machine::Origin origin, std::string text) { return {origin, machine::trust_of(origin), "/x/steppe.hcl", std::move(text)}; }

TEST(Configure, SaysWhetherTheMachineKnowsEnough) {
  using machine::Origin;
  const std::string identity = "version = 1\nidentity {\n  hostname = \"a\"\n}\n", joins = "version = 1\njoin {\n  servers = [\"h\"]\n}\n",
                    network = "version = 1\nnetwork {\n  dns = [\"9.9.9.9\"]\n}\n", broken = "version = 1\nidentity {\n  hostname = 7 +\n}\n",
                    agent = "version = 1\nagent {\n  region = \"x\"\n}\n";
  struct Row {
    const char* why;
    std::string command_line;
    std::vector<Document> documents;
    bool complete;
  };
  const Row rows[] = {
      {"nothing", "", {}, false},
      {"an argument that says where it belongs", "steppe.retry_join=h", {}, true},
      {"the file of the ESP", "", {document(Origin::kEspFile, identity)}, true},
      {"a network is no identity", "", {document(Origin::kEspFile, network)}, false},
      {"a broken one", "", {document(Origin::kEspFile, broken)}, false},
      {"a host name beside a broken one", "steppe.hostname=b", {document(Origin::kEspFile, broken)}, false},
      {"where it belongs beside a broken one", "steppe.retry_join=h", {document(Origin::kEspFile, broken)}, true},
      {"an agent beside a broken one", "", {document(Origin::kEspFile, broken), document(Origin::kConfigPartition, agent)}, true},
      {"what was applied beside a broken one", "", {document(Origin::kEspFile, broken), document(Origin::kApplied, identity)}, true},
      {"a network that was applied beside a broken one", "steppe.hostname=b", {document(Origin::kEspFile, broken), document(Origin::kApplied, network)}, false},
      {"what a stranger may say", "", {document(Origin::kCloudMetadata, joins)}, true},
      {"what a stranger may not", "", {document(Origin::kCloudMetadata, agent)}, false},
      {"a broken one where a node by itself was asked for", "steppe.standalone", {document(Origin::kEspFile, broken)}, true},
      {"an argument that is none of ours", "steppe.hostname=a steppe.nonsense=1", {}, false},
  };
  for (const Row& row : rows) EXPECT_EQ(configure({row.command_line, {}, std::nullopt, row.documents, {}}).complete, row.complete) << row.why;
  const RawSources refused{"steppe.hostname=b", {}, std::nullopt, {document(Origin::kEspFile, agent)}, {}};
  EXPECT_TRUE(configure(refused).complete);
  const RawSources unreached{"steppe.hostname=b", {}, std::nullopt, {}, {"https://h/x: connect: refused"}};
  EXPECT_FALSE(configure(unreached).complete) << "what was not reached may be where it belongs";
  EXPECT_EQ(configure(unreached).problems, unreached.faults);
  EXPECT_FALSE(configure(refused, false).complete) << "an agent block that the agent refuses is a fault";
  const RawSources first{"", {}, std::nullopt, {document(Origin::kEspFile, identity), document(Origin::kApplied, "version = 1\nidentity {\n  hostname = \"applied\"\n}\n")}, {}};
  EXPECT_EQ(configure(first).config.identity.hostname, "applied") << "before all others";
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
  for (const char* directory : {"efi", "run/steppe/config", "run/steppe/applied", "state/config"}) {
    fs::create_directories(root + directory);
    std::ofstream(root + directory + "/steppe.hcl") << directory;
  }
  std::vector<std::string> texts;
  for (const Document& one : read_sources(root, problems).documents) texts.push_back(one.text + " " + one.name + " " + std::string(machine::origin_name(one.origin)));
  EXPECT_EQ(texts, (std::vector<std::string>{"state/config /state/config/steppe.hcl applied configuration", "efi /efi/steppe.hcl ESP",
                                             "run/steppe/config /run/steppe/config/steppe.hcl config partition"}));
  fs::remove_all(root + "state");
  EXPECT_EQ(read_sources(root, problems).documents[0].text, "run/steppe/applied");
  EXPECT_TRUE(problems.empty());
  std::ofstream(root + "proc/cmdline") << std::string(100'000, 'x');
  EXPECT_EQ(read_sources(root, problems).command_line, "");
  EXPECT_EQ(problems.size(), 1U) << "one that is too long is";
  fs::remove_all(root);
}

TEST(Configure, AMachineKnowsItsAddressesAndWhoMadeIt) {
  char name[] = "/tmp/steppe-node-XXXXXX";
  const std::string root = std::string(::mkdtemp(name)) + "/";
  EXPECT_TRUE(read_facts(root).macs.empty());
  auto device = [&](const std::string& link, const char* type, const char* address) {
    fs::create_directories(root + "sys/class/net/" + link);
    std::ofstream(root + "sys/class/net/" + link + "/type") << type << "\n";
    std::ofstream(root + "sys/class/net/" + link + "/address") << address << "\n";
  };
  device("lo", "772", "00:00:00:00:00:00");
  device("eth1", "1", "02:00:5E:10:00:02");
  device("eth0", "1", "02:00:5e:10:00:01");
  device("bond0", "1", "02:00:5e:10:00:01");
  device("ib0", "32", "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:31:78:f2");
  fs::create_directories(root + "sys/class/dmi/id");
  std::ofstream(root + "sys/class/dmi/id/product_uuid") << "12345678-ABCD-0000-0000-0123456789AB\n";
  std::ofstream(root + "sys/class/dmi/id/sys_vendor") << "Amazon EC2\n";
  machine::MachineFacts facts = read_facts(root);
  EXPECT_EQ(facts.macs, (std::vector<std::string>{"02:00:5e:10:00:01", "02:00:5e:10:00:02"}));
  EXPECT_EQ(facts.uuid, "12345678-abcd-0000-0000-0123456789ab");
  EXPECT_EQ(facts.vendor, "Amazon EC2");
  std::ofstream(root + "sys/class/dmi/id/product_uuid") << "../../etc/passwd\n";
  EXPECT_EQ(read_facts(root).uuid, "") << "it becomes part of a URL";
  fs::remove_all(root);
}

TEST(Configure, TrustProxiesAndTimeServers) {
  machine::MachineConfig config;
  EXPECT_EQ(agent_environment(config, "/run/steppe"), std::vector<std::string>{"SSL_CERT_FILE=/run/steppe/trust/ca-certificates.crt"});
  config.proxy = {"http://proxy:3128", "", {"10.0.0.0", ".lan"}};
  EXPECT_EQ(agent_environment(config, "/r"), (std::vector<std::string>{"SSL_CERT_FILE=/r/trust/ca-certificates.crt", "HTTP_PROXY=http://proxy:3128",
                                                                      "NO_PROXY=localhost,127.0.0.1,::1,10.0.0.0,.lan"}));
  EXPECT_EQ(trust_bundle("A\nB", {{"\n  C  \n", "D"}}), "A\nB\nC\nD\n");
  EXPECT_EQ(trust_bundle("", {}), "");
  const auto ip = [](const char* text) { return *kernel::IpAddress::parse(text); };
  const std::vector<network::Lease> leases{{"eth0", "dhcp", {}, {}, {ip("10.0.0.1"), ip("10.0.0.2")}}, {"eth1", "dhcp", {}, {}, {ip("10.0.0.1")}}};
  EXPECT_EQ(time_servers({}, {}), "servers pool.ntp.org\n");
  EXPECT_EQ(time_servers({}, leases), "server 10.0.0.1\nserver 10.0.0.2\n");
  EXPECT_EQ(time_servers({{"ntp.lan"}}, leases), "server ntp.lan\n");
}

}  // namespace
}  // namespace steppe::node
