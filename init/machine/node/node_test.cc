#include <gtest/gtest.h>

#include "init/base/text.h"
#include "init/machine/node/agent_command.h"
#include "init/machine/node/console_line.h"
#include "init/machine/node/remote_documents.h"
#include "init/machine/node/time_command.h"

namespace steppe::node {
namespace {

using Kind = ConsoleLine::Kind;

TEST(ConsoleLine, TakesAnAddress) {
  Result<ConsoleLine> read = read_console_line("  address 192.0.2.5/24 gateway 192.0.2.1 dns 192.0.2.2 dns 2001:db8::1  device eth0 ");
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read->kind, Kind::kAddress);
  EXPECT_FALSE(read->link.dhcp);
  EXPECT_EQ(read->link.match.name, "eth0");
  EXPECT_EQ(read->link.addresses.at(0).text(), "192.0.2.5/24");
  EXPECT_EQ(read->link.routes.at(0).gateway.text(), "192.0.2.1");
  EXPECT_EQ(read->link.routes.at(0).destination.length, 0);
  EXPECT_EQ(read->dns.size(), 2u);
  EXPECT_EQ(read_console_line("address fd00::7/64 gateway fd00::1")->link.routes.at(0).gateway.text(), "fd00::1");
  EXPECT_EQ(read_console_line("address 192.0.2.5/24")->link.match.name, "");
  EXPECT_EQ(read_console_line("help")->kind, Kind::kHelp);
  EXPECT_EQ(read_console_line("show\r")->kind, Kind::kShow);
  EXPECT_EQ(read_console_line(" \t")->kind, Kind::kNothing);
}

TEST(ConsoleLine, SaysWhatItExpected) {
  const std::pair<std::string, const char*> rows[] = {
      {"address", "expected: address"},
      {"address 192.0.2.5", "expected: address"},
      {"address 192.0.2.5/33", "expected: address"},
      {"address 192.0.2.5/0", "expected: address"},
      {"address 192.0.2.5/24 gateway", "wants a value"},
      {"address 192.0.2.5/24 gateway nowhere", "is no address"},
      {"address 192.0.2.5/24 gateway fd00::1", "other kind"},
      {"address 192.0.2.5/24 gateway 192.0.2.1 gateway 192.0.2.2", "one gateway"},
      {"address 192.0.2.5/24 device ../../x", "no device's name"},
      {"address 192.0.2.5/24 device abcdefghijklmnop", "no device's name"},
      {"address 192.0.2.5/24 colour red", "\"colour\" is not known"},
      {"reboot now", "\"reboot\" is not known"},
      {"help me", "\"help\" is not known"},
      {"\x1b[2J", "\"?[2J\" is not known"},
      {std::string(kMaxConsoleLine + 1, 'x'), "256 bytes"},
      {"address 192.0.2.5/24 dns 1.1.1.1 dns 1.1.1.1 dns 1.1.1.1 dns 1.1.1.1 dns 1.1.1.1 dns 1.1.1.1 dns 1.1.1.1 dns 1.1.1.1 dns 1.1.1.1", "too many"},
  };
  for (const auto& [line, says] : rows) {
    Result<ConsoleLine> read = read_console_line(line);
    ASSERT_FALSE(read.ok()) << line;
    EXPECT_NE(read.error().message().find(says), std::string::npos) << line << ": " << read.error().message();
  }
}

machine::RemoteSource source(const char* url, size_t link, bool may_be_absent = false) {
  machine::RemoteSource out;
  out.url = url;
  out.link = link;
  out.may_be_absent = may_be_absent;
  return out;
}

TEST(RemoteDocuments, AsksUntilItKnows) {
  using Answer = RemoteDocuments::Answer;
  RemoteDocuments documents({source("https://a/mac-1", 0), source("https://a/mac-2", 0), source("https://b?secret", 1), source("", 2, true)});
  EXPECT_EQ(documents.pending(), (std::vector<size_t>{0, 1, 2, 3}));
  EXPECT_EQ(documents.faults(), (std::vector<std::string>{"https://a/mac-2: not asked yet", "https://b: not asked yet", ": not asked yet"}));
  documents.answered(0, Answer::kAbsent, "404");
  documents.answered(1, Answer::kFound, "version = 1");
  documents.answered(2, Answer::kNotNow, "connect: refused");
  documents.answered(3, Answer::kAbsent, "404");
  EXPECT_EQ(documents.pending(), std::vector<size_t>{2}) << "who does not answer is asked again";
  EXPECT_EQ(documents.faults(), std::vector<std::string>{"https://b: connect: refused"}) << "one address of the machine is enough, and a cloud need not say anything";
  documents.answered(2, Answer::kRefused, "certificate has expired");
  EXPECT_TRUE(documents.pending().empty());
  ASSERT_EQ(documents.found().size(), 1u);
  EXPECT_EQ(documents.found()[0].text, "version = 1");
  documents.ask_again();
  EXPECT_EQ(documents.pending(), (std::vector<size_t>{0, 2, 3}));
  RemoteDocuments none({source("https://a/mac-1", 0), source("https://a/mac-2", 0)});
  none.answered(0, Answer::kRefused, "certificate");
  none.answered(1, Answer::kAbsent, "404");
  EXPECT_EQ(none.faults(), std::vector<std::string>{"https://a/mac-1: certificate"}) << "what says more";
}

TEST(Time, NtpdIsToldItsServersAndNothingElse) {
  EXPECT_EQ(ntpd_config("server 10.0.0.1\nservers pool.ntp.org\n"), "server 10.0.0.1\nservers pool.ntp.org\n");
  EXPECT_EQ(ntpd_config("server ntp.lan:124\nserver [fd00::1]:123\nserver fd00::2\n"), "server ntp.lan\nserver fd00::1\nserver fd00::2\n");
  EXPECT_EQ(ntpd_config("listen on *\nserver\nserver a b\nserver \"x\"\nconstraints from \"https://x\"\n\n"), "");
  std::string many;
  for (int i = 0; i < 40; ++i) many += "server 10.0.0.1\n";
  EXPECT_EQ(split(ntpd_config(many), '\n').size(), 17u);
}

TEST(Time, WhatNtpdSays) {
  EXPECT_EQ(ntpd_said("no reply received in time, skipping initial time setting"), NtpdSaid::kNoReply);
  EXPECT_EQ(ntpd_said("ntpd: set local clock to Sun Nov 22 00:40:01 UTC 2026 (offset 1782864000.1s)"), NtpdSaid::kClockSet);
  EXPECT_EQ(ntpd_said("set local clock to Sun Nov 22 01:52:52 UTC 2026 (offset 0.000000s)"), NtpdSaid::kNoReply) << "nobody was asked";
  EXPECT_EQ(ntpd_said("adjusting local clock by 0.2s"), NtpdSaid::kAdjusting);
  EXPECT_EQ(ntpd_said("ntp engine ready"), NtpdSaid::kOther);
}

TEST(AgentCommand, TakesWhatTheConfigurationMayAdd) {
  EXPECT_EQ(read_environment("SSL_CERT_FILE=/x\nHTTPS_PROXY=http://p:1\n"), (std::vector<std::string>{"SSL_CERT_FILE=/x", "HTTPS_PROXY=http://p:1"}));
  EXPECT_EQ(read_environment("LD_PRELOAD=/x\nPATH=/evil\nSSL_CERT_FILE\n\n=\n"), std::vector<std::string>());
  EXPECT_EQ(read_environment(""), std::vector<std::string>());
}

}  // namespace
}  // namespace steppe::node
