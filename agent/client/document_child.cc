#include "agent/client/document_child.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "agent/client/resolving_connector.h"
#include "init/base/text.h"
#include "init/io/epoll_loop.h"
#include "init/io/posix_net.h"
#include "init/io/scope.h"
#include "init/sys/kernel/beneath.h"
#include "init/sys/kernel/self_confine.h"

namespace steppe::client {
namespace {

constexpr Duration kTimeLimit = std::chrono::seconds(20);
constexpr uint64_t kMaxDocument = 1 << 20;
constexpr const char* kMetadata = "http://169.254.169.254";  // of both clouds

struct Wanted {
  std::string kind, url, sha256;
};

Result<Wanted> read_words(const std::vector<std::string>& words) {
  Wanted out;
  size_t at = 1;
  if (at + 1 < words.size() && words[at] == "-sha256") {
    out.sha256 = lower(words[at + 1]);
    at += 2;
  }
  if (at < words.size()) out.kind = words[at++];
  if (out.kind == "url" && at < words.size()) out.url = words[at++];
  const bool fit = at == words.size() && ((out.kind == "url" && !out.url.empty()) || out.kind == "ec2" || out.kind == "gce");
  if (!fit) return Error(Code::kInvalid, "expected: fetch-document [-sha256 HEX] url URL | ec2 | gce");
  return out;
}

Result<std::string> sha256_of(std::string_view text) {
  unsigned char digest[32];
  if (EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha256(), nullptr) != 1) return Error(Code::kUnsupported, "SHA-256 cannot be computed here");
  return hex(std::as_bytes(std::span(digest)));
}

io::Task<Result<std::string>> get(Connector& connector, HttpGetRequest request, io::Deadline deadline) {
  std::string out;
  auto take = [&out](ByteView bytes) {
    out.append(as_text(bytes));
    return Result<>();
  };
  STEPPE_CO_TRY_VOID(co_await http_get(connector, std::move(request), take, deadline));
  co_return out;
}

Result<HttpGetRequest> request_of(const std::string& url, uint64_t most, int redirects) {
  HttpGetRequest out;
  STEPPE_TRY(out.url, Url::parse(url));
  if (out.url.scheme == "file") return Error(Code::kInvalid, "a document is asked for over http or https");
  out.max_body = Bytes(most);
  out.max_redirects = redirects;
  return out;
}

io::Task<Result<std::string>> ec2_user_data(Connector& connector, io::Deadline deadline) {
  STEPPE_CO_TRY(HttpGetRequest ask, request_of(std::string(kMetadata) + "/latest/api/token", 1024, 0));
  ask.method = "PUT";
  ask.headers["X-aws-ec2-metadata-token-ttl-seconds"] = "60";
  STEPPE_CO_TRY(const std::string token, co_await get(connector, std::move(ask), deadline));
  // It becomes a header.
  if (token.empty() || !std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7f; })) co_return Error(Code::kInvalid, "the metadata service's token is none");
  STEPPE_CO_TRY(HttpGetRequest request, request_of(std::string(kMetadata) + "/latest/user-data", kMaxDocument, 0));
  request.headers["X-aws-ec2-metadata-token"] = token;
  co_return co_await get(connector, std::move(request), deadline);
}

io::Task<Result<std::string>> gce_user_data(Connector& connector, io::Deadline deadline) {
  STEPPE_CO_TRY(HttpGetRequest request, request_of(std::string(kMetadata) + "/computeMetadata/v1/instance/attributes/user-data", kMaxDocument, 0));
  request.headers["Metadata-Flavor"] = "Google";
  co_return co_await get(connector, std::move(request), deadline);
}

io::Task<void> fetch(io::Loop& loop, const Wanted& wanted, Result<std::string>& out) {
  auto network = io::make_posix_network(loop);
  ResolvingConnector direct(*network), through(*network, proxies_of_environment());
  const io::Deadline deadline = io::Deadline::in(loop, kTimeLimit);
  if (wanted.kind == "ec2") {
    out = co_await ec2_user_data(direct, deadline);
  } else if (wanted.kind == "gce") {
    out = co_await gce_user_data(direct, deadline);
  } else {
    Result<HttpGetRequest> request = request_of(wanted.url, kMaxDocument, 10);
    out = request.ok() ? co_await get(through, *std::move(request), deadline) : Result<std::string>(request.error());
  }
}

Result<std::string> fetch_confined(const Wanted& wanted) {
  kernel::Confinement confinement;
  // /run/steppe: where /etc/resolv.conf leads on a machine of ours.
  confinement.readable = {"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/ssl", "/etc/ca-certificates",
                          "/usr/share/ca-certificates", "/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/run/steppe/network/resolv.conf.d"};
  for (const char* name : {"SSL_CERT_FILE", "SSL_CERT_DIR"}) {
    if (const char* path = std::getenv(name)) confinement.readable.emplace_back(path);
  }
  STEPPE_TRY_VOID(kernel::confine_self(confinement));
  STEPPE_TRY(auto loop, io::EpollLoop::create(1));
  Result<std::string> out = Error(Code::kUnavailable, "nothing was asked");
  io::start_root(*loop, fetch(*loop, wanted, out), [&] { loop->stop(); });
  loop->run();
  if (!out.ok() || wanted.sha256.empty()) return out;
  STEPPE_TRY(const std::string found, sha256_of(*out));
  if (found != wanted.sha256) return Error(Code::kInvalid, "the document's SHA-256 is " + found + ", expected " + wanted.sha256);
  return out;
}

int exit_code(Code code) {
  if (code == Code::kNotFound) return 3;
  return code == Code::kDenied || code == Code::kInvalid || code == Code::kExhausted ? 4 : 1;
}

}  // namespace

int run_document_command(const std::vector<std::string>& words) {
  ::signal(SIGPIPE, SIG_IGN);
  Result<Wanted> wanted = read_words(words);
  if (!wanted.ok()) {
    std::fprintf(stderr, "%s\n", wanted.error().message().c_str());
    return 2;
  }
  Result<std::string> document = fetch_confined(*wanted);
  if (!document.ok()) {
    std::fprintf(stderr, "%s\n", document.error().message().c_str());
    return exit_code(document.error().code());
  }
  const kernel::Fd out(::dup(STDOUT_FILENO));
  return kernel::write_all(out, "standard output", as_bytes(*document)).ok() ? 0 : 1;
}

}  // namespace steppe::client
