#include <fcntl.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/client/artifact_child.h"
#include "agent/client/artifact_fetcher.h"
#include "agent/client/http_get.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_child.h"
#include "init/io/posix_net.h"
#include "init/io/scope.h"
#include "init/sys/kernel/file_access.h"

namespace steppe::client {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

// ---- Making archives ----

struct TarEntry {
  std::string name;
  char type = '0';
  std::string content, link;
  uint32_t mode = 0644;
};

std::string tar_header(const TarEntry& entry, uint64_t size) {
  std::string block(512, '\0');
  block.replace(0, std::min<size_t>(entry.name.size(), 100), entry.name.substr(0, 100));
  std::snprintf(block.data() + 100, 8, "%07o", entry.mode);
  std::snprintf(block.data() + 124, 12, "%011llo", static_cast<unsigned long long>(size));
  block[156] = entry.type;
  block.replace(157, std::min<size_t>(entry.link.size(), 100), entry.link.substr(0, 100));
  block.replace(257, 8, std::string("ustar\00000", 8));
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (unsigned char c : block) sum += c;
  std::snprintf(block.data() + 148, 8, "%06o", sum);
  return block;
}

std::string make_tar(const std::vector<TarEntry>& entries) {
  std::string out;
  for (const TarEntry& entry : entries) {
    out += tar_header(entry, entry.content.size()) + entry.content;
    out.resize((out.size() + 511) / 512 * 512);
  }
  return out + std::string(1024, '\0');
}

std::string gzip(const std::string& text) {
  z_stream z{};
  ::deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  ::deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  ::deflateEnd(&z);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string xz(const std::string& text) {
  std::string out(::lzma_stream_buffer_bound(text.size()), '\0');
  size_t size = 0;
  EXPECT_EQ(::lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                                      reinterpret_cast<uint8_t*>(out.data()), &size, out.size()), LZMA_OK);
  out.resize(size);
  return out;
}

std::string sha256(const std::string& text) {
  unsigned char value[32];
  EVP_Digest(text.data(), text.size(), value, nullptr, EVP_sha256(), nullptr);
  return hex(std::as_bytes(std::span(value)));
}

// One stored entry.
std::string make_zip(const std::string& name, const std::string& content, uint32_t mode = 0100644) {
  std::string out;
  auto put = [&](uint64_t value, int bytes) { for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i)); };
  uint32_t crc = static_cast<uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
  auto common = [&] {
    put(20, 2), put(0, 2), put(0, 2), put(0, 4), put(crc, 4), put(content.size(), 4), put(content.size(), 4), put(name.size(), 2), put(0, 2);
  };
  put(0x04034b50, 4), common(), out += name + content;
  size_t directory = out.size();
  put(0x02014b50, 4), put(0x0314, 2), common(), put(0, 2), put(0, 2), put(0, 2), put(uint64_t{mode} << 16, 4), put(0, 4), out += name;
  size_t size = out.size() - directory;
  put(0x06054b50, 4), put(0, 4), put(1, 2), put(1, 2), put(size, 4), put(directory, 4), put(0, 2);
  return out;
}

kernel::Fd memory_file(const std::string& content) {
  kernel::Fd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_TRUE(kernel::write_all(fd, "memfd", as_bytes(content)).ok());
  return fd;
}

class ArtifactTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/steppe-artifact-XXXXXX";
    base_ = ::mkdtemp(name);
    fs::create_directories(base_ + "/task/local");
    tree_ = std::make_unique<kernel::Beneath>(*kernel::Beneath::at(base_ + "/task"));
  }
  void TearDown() override { fs::remove_all(base_); }
  std::string content(const std::string& path) {
    std::ifstream in(base_ + "/task/" + path, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(in)), {});
  }
  size_t count_all() {
    size_t n = 0;
    for (auto& entry : fs::recursive_directory_iterator(base_)) n += entry.is_directory() ? 0 : 1;
    return n;
  }
  Result<> place(const std::string& source, const std::string& bytes, ArchiveLimits limits = {}) {
    auto plan = ArtifactPlan::make({source, "local/", "any", {}, {}, false, {}});
    if (!plan.ok()) return plan.error();
    auto into = tree_->sub("local");
    return place_artifact(*plan, memory_file(bytes), *into, limits);
  }
  std::string base_;
  std::unique_ptr<kernel::Beneath> tree_;
};

// ---- Plans ----

TEST(ArtifactPlan, Table) {
  struct Case {
    const char *source, *destination, *mode;
    ArchiveKind archive;
    Compression compression;
    const char *directory, *file;
  };
  using A = ArchiveKind;
  using C = Compression;
  const Case cases[] = {
      {"https://x.example/a/app.tar.gz", "local/", "any", A::kTar, C::kGzip, "local", "app.tar.gz"},
      {"http://x.example:8080/app.tzst", "", "any", A::kTar, C::kZstd, "", "app.tzst"},
      {"http://x.example/app.zip?checksum=md5:d41d8cd98f00b204e9800998ecf8427e", "local/d", "dir", A::kZip, C::kNone, "local/d", "app.zip"},
      {"http://x.example/bin%20x", "local", "any", A::kNone, C::kNone, "local", "bin x"},
      {"http://x.example/..%2f..%2fetc", "local", "any", A::kNone, C::kNone, "local", "artifact"},
      {"http://x.example/tool.gz", "local", "any", A::kSingle, C::kGzip, "local", "tool"},
      {"http://x.example/tool", "local/bin/app", "file", A::kNone, C::kNone, "local/bin", "app"},
      {"http://x.example/x.tar.gz?archive=false", "local", "any", A::kNone, C::kNone, "local", "x.tar.gz"},
      {"file:///opt/x.txz", "local", "any", A::kTar, C::kXz, "local", "x.txz"},
      {"/opt/x", "local", "any", A::kNone, C::kNone, "local", "x"},
  };
  for (const Case& c : cases) {
    auto plan = ArtifactPlan::make({c.source, c.destination, c.mode, {}, {}, false, {}});
    ASSERT_TRUE(plan.ok()) << c.source << ": " << plan.error().message();
    EXPECT_EQ(plan->archive, c.archive) << c.source;
    EXPECT_EQ(plan->compression, c.compression) << c.source;
    EXPECT_EQ(plan->directory, c.directory) << c.source;
    EXPECT_EQ(plan->file_name, c.file) << c.source;
  }
}

TEST(ArtifactPlan, Refusals) {
  struct Case {
    const char *source, *destination;
    std::map<std::string, std::string> options;
    Code code;
    const char* says;
  };
  const Case cases[] = {
      {"git::https://x/y", "local", {}, Code::kUnsupported, "git"},
      {"s3://bucket/key", "local", {}, Code::kUnsupported, "s3"},
      {"github.com/x/y", "local", {}, Code::kUnsupported, "scheme"},
      {"http:///nohost", "local", {}, Code::kInvalid, "host"},
      {"http://x:99999/y", "local", {}, Code::kInvalid, "port"},
      {"http://x/y z", "local", {}, Code::kInvalid, "space"},
      {"http://x/y\r\nEvil: 1", "local", {}, Code::kInvalid, "control"},
      {"http://x/y", "../../out", {}, Code::kDenied, "leads out"},
      {"http://x/y", "local", {{"checksum", "sha256:zz"}}, Code::kInvalid, "64 hexadecimal"},
      {"http://x/y", "local", {{"checksum", "crc32:00"}}, Code::kInvalid, "expected md5"},
      {"http://x/y", "local", {{"checksum", "file:http://x/sums"}}, Code::kUnsupported, "checksum files"},
      {"http://x/y", "local", {{"ref", "main"}}, Code::kUnsupported, "ref"},
      {"http://x/y.tar.bz2", "local", {}, Code::kUnsupported, "bzip2"},
      {"http://x/y.tar.gz//sub", "local", {}, Code::kUnsupported, "subdirectories"},
  };
  for (const Case& c : cases) {
    auto plan = ArtifactPlan::make({c.source, c.destination, "any", c.options, {}, false, {}});
    ASSERT_FALSE(plan.ok()) << c.source;
    EXPECT_EQ(plan.error().code(), c.code) << plan.error().message();
    EXPECT_NE(plan.error().message().find(c.says), std::string::npos) << plan.error().message();
  }
}

TEST(ArtifactPlan, SecretsAreNotShown) {
  auto url = Url::parse("https://user:hunter2@x.example/a?token=abc");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->shown(), "https://x.example/a");
  EXPECT_EQ(url->authorization, "Basic " + base64(as_bytes("user:hunter2")));
}

// ---- Archives ----

TEST_F(ArtifactTest, UnpacksEveryCompression) {
  std::string tar = make_tar({{"./", '5'}, {"bin/app", '0', "#!x", "", 0755}, {"data/", '5'}, {"data/a", '0', std::string(100000, 'a')},
                              {"current", '2', "", "bin/app"}, {"copy", '1', "", "bin/app"}, {"suid", '0', "s", "", 04755}});
  for (auto& [source, bytes] : std::map<std::string, std::string>{{"http://x/a.tar", tar}, {"http://x/a.tgz", gzip(tar)}, {"http://x/a.tar.zst", zstd(tar)}, {"http://x/a.tar.xz", xz(tar)}, {"http://x/a.txz", xz(tar)}}) {
    fs::remove_all(base_ + "/task/local");
    fs::create_directories(base_ + "/task/local");
    Result<> done = place(source, bytes);
    ASSERT_TRUE(done.ok()) << source << done.error().message();
    EXPECT_EQ(content("local/bin/app"), "#!x");
    EXPECT_EQ(content("local/data/a").size(), 100000u);
    EXPECT_EQ(fs::read_symlink(base_ + "/task/local/current"), "bin/app");
    EXPECT_EQ(content("local/copy"), "#!x");
    EXPECT_EQ(fs::status(base_ + "/task/local/suid").permissions(), fs::perms(0755));
  }
  ASSERT_TRUE(place("http://x/a.zip", make_zip("dir/z", "zipped")).ok());
  EXPECT_EQ(content("local/dir/z"), "zipped");
  ASSERT_TRUE(place("http://x/tool.gz", gzip("a tool")).ok());
  EXPECT_EQ(content("local/tool"), "a tool");
}

TEST_F(ArtifactTest, HostileArchivesLeaveNothingBehind) {
  struct Case {
    const char* name;
    std::string source, bytes;
    Code code;
  };
  TarEntry good{"good", '0', "fine"};
  std::string tar = make_tar({good, {"b", '0', std::string(3000, 'b')}});
  std::string bomb = gzip(make_tar({good, {"zeros", '0', std::string(8 << 20, '\0')}}));
  std::vector<TarEntry> many(50, good);
  for (size_t i = 0; i < many.size(); ++i) many[i].name = "f" + std::to_string(i);
  std::string flipped = tar;
  flipped[3] ^= 1;
  std::string wrong_crc = make_zip("z", "zipped");
  wrong_crc[31] ^= 1;
  std::string deep;
  for (int i = 0; i < 45; ++i) deep += "a/";
  std::vector<TarEntry> copies{{"file", '0', std::string(300'000, 'c')}};
  for (int i = 0; i < 5; ++i) copies.push_back({"copy" + std::to_string(i), '1', "", "file"});
  const Case cases[] = {
      {"directories by names alone", "http://x/a.tar", make_tar({good, {deep + "f", '0', "x"}}), Code::kExhausted},
      {"zip directories by names alone", "http://x/a.zip", make_zip(deep + "f", "x"), Code::kExhausted},
      {"a directory with content", "http://x/a.tar", make_tar({good}).substr(0, 1024) + tar_header({"d", '5'}, 1ull << 32), Code::kCorrupt},
      {"copies by hard links", "http://x/a.tar", make_tar(copies), Code::kExhausted},
      {"hard link to nothing", "http://x/a.tar", make_tar({good, {"l", '1', "", "nothing"}}), Code::kCorrupt},
      {"a huge global header", "http://x/a.tar", tar_header({"g", 'g'}, 2 << 20), Code::kExhausted},
      {"cut in xz", "http://x/a.txz", xz(tar).substr(0, 60), Code::kCorrupt},
      {"dot dot", "http://x/a.tar", make_tar({good, {"../evil", '0', "x"}}), Code::kDenied},
      {"deep dot dot", "http://x/a.tar", make_tar({good, {"a/../../evil", '0', "x"}}), Code::kDenied},
      {"absolute", "http://x/a.tar", make_tar({good, {"/tmp/evil", '0', "x"}}), Code::kDenied},
      {"absolute link", "http://x/a.tar", make_tar({good, {"l", '2', "", "/etc/passwd"}}), Code::kDenied},
      {"link out", "http://x/a.tar", make_tar({good, {"d/l", '2', "", "../../secrets"}}), Code::kDenied},
      {"hard link out", "http://x/a.tar", make_tar({good, {"l", '1', "", "../../../etc/passwd"}}), Code::kDenied},
      {"device", "http://x/a.tar", make_tar({good, {"null", '3'}}), Code::kDenied},
      {"fifo", "http://x/a.tar", make_tar({good, {"pipe", '6'}}), Code::kDenied},
      {"bomb", "http://x/a.tgz", bomb, Code::kExhausted},
      {"too many files", "http://x/a.tar", make_tar(many), Code::kExhausted},
      {"cut in a file", "http://x/a.tar", tar.substr(0, 1600), Code::kCorrupt},
      {"cut in gzip", "http://x/a.tgz", gzip(tar).substr(0, 40), Code::kCorrupt},
      {"not a tar", "http://x/a.tar", std::string(2000, 'x'), Code::kCorrupt},
      {"empty", "http://x/a.tar", "", Code::kCorrupt},
      {"flipped header", "http://x/a.tar", flipped, Code::kCorrupt},
      {"zip dot dot", "http://x/a.zip", make_zip("../evil", "x"), Code::kDenied},
      {"zip link", "http://x/a.zip", make_zip("l", "/etc/passwd", 0120777), Code::kDenied},
      {"zip wrong sum", "http://x/a.zip", wrong_crc, Code::kCorrupt},
      {"not a zip", "http://x/a.zip", "PK nonsense that is long enough to hold an end record", Code::kCorrupt},
  };
  for (const Case& c : cases) {
    Result<> done = place(c.source, c.bytes, {Bytes::mib(1), 40});
    ASSERT_FALSE(done.ok()) << c.name;
    EXPECT_EQ(done.error().code(), c.code) << c.name << ": " << done.error().message();
    EXPECT_EQ(count_all(), 0u) << c.name;
  }
}

TEST_F(ArtifactTest, WhatFailsHalfWayIsTakenBack) {
  // A directory stands where the archive has a file: nothing of that is known before it is reached.
  fs::create_directories(base_ + "/task/local/kept/there");
  std::ofstream(base_ + "/task/local/kept/old") << "old";
  fs::create_directories(base_ + "/task/local/z");
  fs::permissions(base_ + "/task/local/z", fs::perms(0755));
  ASSERT_EQ(::symlink("/etc", (base_ + "/task/local/z/out").c_str()), 0);
  Result<> done = place("http://x/a.tar", make_tar({{"a", '0', "new"}, {"dir/deep/f", '0', "new"}, {"dir/deep/g", '2', "", "f"}, {"kept/new", '0', "new"},
                                                    {"kept/there/new", '5'}, {"dir/h", '1', "", "a"}, {"z/out/evil", '0', "new"}}));
  ASSERT_FALSE(done.ok());
  std::vector<std::string> left;
  for (auto& entry : fs::recursive_directory_iterator(base_ + "/task/local")) left.push_back(entry.path().string().substr((base_ + "/task/local/").size()));
  std::ranges::sort(left);
  EXPECT_EQ(left, (std::vector<std::string>{"kept", "kept/old", "kept/there", "z", "z/out"})) << done.error().message();
}

TEST_F(ArtifactTest, ALinkInsideThenAFileThroughItStaysInside) {
  // The link is replaced by a directory, or followed beneath the destination; never out of it.
  fs::create_directories(base_ + "/outside");
  ASSERT_EQ(::symlink((base_ + "/outside").c_str(), (base_ + "/task/local/d").c_str()), 0);
  Result<> done = place("http://x/a.tar", make_tar({{"d/evil", '0', "x"}}));
  EXPECT_FALSE(fs::exists(base_ + "/outside/evil"));
  EXPECT_FALSE(done.ok());
}

TEST(Links, StayInside) {
  EXPECT_TRUE(link_stays_inside("a/b", "../c"));
  EXPECT_TRUE(link_stays_inside("a", "b/../c"));
  EXPECT_FALSE(link_stays_inside("a", "../c"));
  EXPECT_FALSE(link_stays_inside("a/b", "c/../../../d"));
  EXPECT_FALSE(link_stays_inside("a", "/etc"));
  EXPECT_FALSE(link_stays_inside("a", ""));
}

// ---- Over HTTP and HTTPS, in the real process ----

// A server's context with a certificate for 127.0.0.1 that vouches for itself, and so for nobody who does not have it in
// `trusted`.
std::shared_ptr<SSL_CTX> self_signed(const std::string& trusted = "") {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  std::shared_ptr<EVP_PKEY> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  std::shared_ptr<X509> certificate(X509_new(), X509_free);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("127.0.0.1"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_version(certificate.get(), X509_VERSION_3);
  std::shared_ptr<X509_EXTENSION> names(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1"), X509_EXTENSION_free);
  EXPECT_EQ(X509_add_ext(certificate.get(), names.get(), -1), 1);
  EXPECT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  if (!trusted.empty()) {
    std::shared_ptr<BIO> file(BIO_new_file(trusted.c_str(), "w"), BIO_free);
    EXPECT_EQ(PEM_write_bio_X509(file.get(), certificate.get()), 1);
  }
  EXPECT_EQ(SSL_CTX_use_certificate(context.get(), certificate.get()), 1);
  EXPECT_EQ(SSL_CTX_use_PrivateKey(context.get(), key.get()), 1);
  return context;
}

// The server's end of one TLS connection, over memory.
class TlsEnd {
 public:
  TlsEnd(SSL_CTX* context, io::Stream& stream) : ssl_(SSL_new(context)), stream_(stream) {
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl_);
  }
  TlsEnd(const TlsEnd&) = delete;
  ~TlsEnd() { SSL_free(ssl_); }

  // 0 once the client has gone, or does not like what it sees.
  io::Task<size_t> read(std::byte* into, int size, std::stop_token stop) {
    for (;;) {
      int n = SSL_read(ssl_, into, size);
      int why = SSL_get_error(ssl_, n);
      if (!co_await flush(stop)) co_return 0;
      if (n > 0) co_return static_cast<size_t>(n);
      if (why != SSL_ERROR_WANT_READ) co_return 0;
      std::byte buffer[4096];
      auto got = co_await stream_.read(buffer, {.stop = stop});
      if (!got.ok() || *got == 0) co_return 0;
      BIO_write(SSL_get_rbio(ssl_), buffer, static_cast<int>(*got));
    }
  }
  io::Task<void> write(std::string text, std::stop_token stop) {
    SSL_write(ssl_, text.data(), static_cast<int>(text.size()));
    SSL_shutdown(ssl_);
    (void)co_await flush(stop);
  }

 private:
  io::Task<bool> flush(std::stop_token stop) {
    std::byte buffer[4096];
    for (int n; (n = BIO_read(SSL_get_wbio(ssl_), buffer, sizeof buffer)) > 0;) {
      Result<> sent = co_await stream_.write({buffer, static_cast<size_t>(n)}, {.stop = stop});
      if (!sent.ok()) co_return false;
    }
    co_return true;
  }
  SSL* ssl_;
  io::Stream& stream_;
};

class ServedTest : public ArtifactTest {
 protected:
  void SetUp() override {
    ArtifactTest::SetUp();
    loop_ = *io::EpollLoop::create(2);
    network_ = io::make_posix_network(*loop_);
    processes_ = io::make_posix_processes(*loop_);
    listener_ = *network_->listen({"", "127.0.0.1", 0});
    std::string self = fs::read_symlink("/proc/self/exe").parent_path().string();
    program_ = self + "/steppe-client-child";
  }
  // Answers each connection with what `answers` holds for its path.
  std::map<std::string, std::string> answers_;
  std::vector<std::string> requests_;
  std::shared_ptr<SSL_CTX> tls_;  // absent: plain HTTP
  ArtifactSettings settings_{{Bytes::mib(4), 100}, Bytes::mib(8)};
  std::string port() const { return std::to_string(listener_->local().port); }
  std::string url(const std::string& path) { return (tls_ ? "https://127.0.0.1:" : "http://127.0.0.1:") + port() + path; }

  Result<> fetch(ArtifactFetcher::Request request) {
    fetcher_ = std::make_unique<ChildArtifactFetcher>(*loop_, *processes_, program_, std::vector<std::string>{}, settings_);
    Result<> out;
    io::start_root(*loop_, both(*this, std::move(request), out), [this] { loop_->stop(); });
    loop_->run();
    return out;
  }

 private:
  static io::Task<void> serve(ServedTest& self, std::stop_token stop) {
    while (true) {
      auto stream = co_await self.listener_->accept({.stop = stop});
      if (!stream.ok()) co_return;
      std::optional<TlsEnd> tls;
      if (self.tls_) tls.emplace(self.tls_.get(), **stream);
      std::string head;
      std::byte buffer[4096];
      while (head.find("\r\n\r\n") == head.npos) {
        size_t size = 0;
        if (tls) {
          size = co_await tls->read(buffer, sizeof buffer, stop);
        } else {
          auto n = co_await (*stream)->read(buffer, {.stop = stop});
          size = n.ok() ? *n : 0;
        }
        if (size == 0) break;
        head += as_text({buffer, size});
      }
      if (tls && head.empty()) continue;  // it hung up during the handshake
      self.requests_.push_back(head);
      std::string path = head.substr(4, head.find(' ', 4) - 4);
      std::string answer = self.answers_.contains(path) ? self.answers_[path] : "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
      if (tls) co_await tls->write(answer, stop);
      else (void)co_await (*stream)->write(as_bytes(answer), {.stop = stop});
    }
  }
  static io::Task<void> both(ServedTest& self, ArtifactFetcher::Request request, Result<>& out) {
    io::Scope scope(*self.loop_);
    scope.spawn(serve(self, scope.token()));
    out = co_await self.fetcher_->fetch(*self.tree_, std::move(request), io::Deadline::in(*self.loop_, 20s));
    scope.request_stop();
    co_await scope.join();
  }
  std::unique_ptr<io::EpollLoop> loop_;
  std::unique_ptr<io::Network> network_;
  std::unique_ptr<io::Processes> processes_;
  std::unique_ptr<io::Listener> listener_;
  std::unique_ptr<ChildArtifactFetcher> fetcher_;
  std::string program_;
};

std::string answer_of(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST_F(ServedTest, FetchesChecksAndUnpacks) {
  std::string archive = gzip(make_tar({{"bin/app", '0', "program", "", 0755}}));
  answers_["/app.tgz"] = answer_of(archive);
  Result<> done = fetch({url("/app.tgz"), "local/app", "any", {{"checksum", "sha256:" + sha256(archive)}}, {{"X-Key", "v"}}, false, {}});
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(content("local/app/bin/app"), "program");
  EXPECT_NE(requests_[0].find("X-Key: v\r\n"), std::string::npos);
  EXPECT_EQ(count_all(), 1u);
}

TEST_F(ServedTest, RedirectsAndChunksAndFileMode) {
  answers_["/go"] = "HTTP/1.1 302 Found\r\nLocation: /there?x=1\r\nContent-Length: 0\r\n\r\n";
  answers_["/there?x=1"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n";
  Result<> done = fetch({url("/go"), "local/out.txt", "file", {}, {}, false, {}});
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(content("local/out.txt"), "hello world");
}

TEST_F(ServedTest, BadAnswersAreNamedAndLeaveNothing) {
  answers_["/cut"] = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this";
  answers_["/loop"] = "HTTP/1.1 301 Moved\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n";
  answers_["/down"] = "HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n";
  answers_["/file"] = "HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n";
  answers_["/big"] = "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n";
  answers_["/chunk"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
  answers_["/noise"] = "SSH-2.0-nope\r\n\r\n";
  answers_["/sum"] = answer_of("other bytes");
  struct Case {
    const char* path;
    Code code;
    const char* says;
  };
  const Case cases[] = {
      {"/missing", Code::kNotFound, "404"},  {"/cut", Code::kIo, "cut short"},       {"/loop", Code::kInvalid, "redirects"},
      {"/down", Code::kUnavailable, "503"},  {"/file", Code::kDenied, "file"},       {"/big", Code::kExhausted, "larger"},
      {"/chunk", Code::kIo, "malformed"},    {"/noise", Code::kIo, "HTTP/1"},        {"/sum", Code::kInvalid, "checksum does not match"},
  };
  for (const Case& c : cases) {
    std::map<std::string, std::string> options;
    if (std::string_view(c.path) == "/sum") options["checksum"] = "sha256:" + sha256("the right bytes");
    Result<> done = fetch({url(c.path), "local/x", "file", options, {}, false, {}});
    ASSERT_FALSE(done.ok()) << c.path;
    EXPECT_EQ(done.error().code(), c.code) << c.path << ": " << done.error().message();
    EXPECT_NE(done.error().message().find(c.says), std::string::npos) << done.error().message();
    EXPECT_EQ(count_all(), 0u) << c.path;
  }
}

TEST_F(ServedTest, ACertificateIsCheckedUnlessTheJobSaysOtherwise) {
  tls_ = self_signed();
  std::string archive = xz(make_tar({{"bin/app", '0', "program", "", 0755}}));
  answers_["/app.txz"] = answer_of(archive);
  Result<> refused = fetch({url("/app.txz"), "local", "any", {}, {}, false, {}});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find("certificate"), std::string::npos) << refused.error().message();
  EXPECT_EQ(requests_.size(), 0u) << "nothing is asked of a server that is not who it should be";
  EXPECT_EQ(count_all(), 0u);
  Result<> done = fetch({url("/app.txz"), "local", "any", {{"checksum", "sha256:" + sha256(archive)}}, {}, true, {}});
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(content("local/bin/app"), "program");
}

TEST_F(ServedTest, TrustsWhomTheAgentTrusts) {
  std::string ca = base_ + "/ca.pem";  // a place that the process could not read of itself
  tls_ = self_signed(ca);
  answers_["/tool"] = answer_of("a tool");
  settings_.environment = artifact_environment({{"SSL_CERT_FILE", ca}, {"AWS_SECRET_ACCESS_KEY", "x"}}, "");
  Result<> done = fetch({url("/tool"), "local", "any", {}, {}, false, {}});
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(content("local/tool"), "a tool");
  // The same certificate under a name that is not in it.
  Result<> misnamed = fetch({"https://localhost:" + port() + "/tool", "other", "any", {}, {}, false, {}});
  ASSERT_FALSE(misnamed.ok());
  EXPECT_NE(misnamed.error().message().find("hostname mismatch"), std::string::npos) << misnamed.error().message();
  // Somebody else's, under the same name.
  tls_ = self_signed();
  Result<> stranger = fetch({url("/tool"), "other", "any", {}, {}, false, {}});
  ASSERT_FALSE(stranger.ok());
  EXPECT_NE(stranger.error().message().find("certificate"), std::string::npos) << stranger.error().message();
  EXPECT_EQ(stranger.error().code(), Code::kDenied);
  EXPECT_FALSE(fs::exists(base_ + "/task/other/tool"));
}

TEST(ArtifactEnvironment, OnlyWhatItIsMeantToHave) {
  using List = std::vector<std::string>;
  const std::map<std::string, std::string, std::less<>> all = {{"A", "1"}, {"B", "2"}, {"PATH", "/evil"}, {"SSL_CERT_DIR", "/a:/b"}, {"TOKEN", "t"}};
  EXPECT_EQ(artifact_environment(all, ""), (List{"SSL_CERT_DIR=/a:/b"}));
  EXPECT_EQ(artifact_environment(all, "B, A,MISSING,PATH"), (List{"A=1", "B=2", "SSL_CERT_DIR=/a:/b"}));
  EXPECT_EQ(artifact_environment({}, "A"), List{});
}

TEST_F(ServedTest, TheSmallerLimitHolds) {
  std::string archive = gzip(make_tar({{"zeros", '0', std::string(3 << 20, '\0')}}));
  answers_["/a.tgz"] = answer_of(archive);
  answers_["/big"] = answer_of(std::string(200'000, 'x'));
  ArtifactFetcher::Request request{url("/a.tgz"), "local", "any", {}, {}, false, {}, {}};
  ASSERT_TRUE(fetch(request).ok());
  EXPECT_EQ(content("local/zeros").size(), 3u << 20);
  request.destination = "small";
  request.max_bytes = {100'000};
  for (const char* path : {"/a.tgz", "/big"}) {
    request.source = url(path);
    Result<> refused = fetch(request);
    ASSERT_FALSE(refused.ok()) << path;
    EXPECT_EQ(refused.error().code(), Code::kExhausted) << path;
    EXPECT_TRUE(refused.error().message().ends_with("than 100000 bytes")) << refused.error().message();
    EXPECT_TRUE(fs::is_empty(base_ + "/task/small")) << path;
  }
}

TEST_F(ServedTest, FilesThatOnlyRootMayReadAreNotFetched) {
  std::ofstream(base_ + "/open") << "public";
  fs::permissions(base_, fs::perms(0755));
  ASSERT_TRUE(fetch({"file://" + base_ + "/open", "local", "any", {}, {}, false, {}}).ok());
  EXPECT_EQ(content("local/open"), "public");
  if (::geteuid() != 0) GTEST_SKIP() << "the rest needs root: as another user every file is as it is";
  std::ofstream(base_ + "/closed") << "private";
  fs::permissions(base_ + "/closed", fs::perms(0600));
  Result<> done = fetch({"file://" + base_ + "/closed", "local", "any", {}, {}, false, {}});
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code(), Code::kDenied) << done.error().message();
}

TEST_F(ServedTest, TheProcessIsConfined) {
  // A symbolic link out of the task directory is refused, with Landlock or without.
  ASSERT_EQ(::symlink(base_.c_str(), (base_ + "/task/out").c_str()), 0);
  answers_["/x"] = answer_of("data");
  Result<> done = fetch({url("/x"), "out/", "any", {}, {}, false, {}});
  EXPECT_FALSE(done.ok());
  EXPECT_FALSE(fs::exists(base_ + "/x"));
}

}  // namespace
}  // namespace steppe::client
