#include "agent/client/resolving_connector.h"

#include <netdb.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <format>

#include "agent/tls/tls_stream.h"
#include "init/base/text.h"

namespace steppe::client {
namespace {

constexpr size_t kMaxProxyHead = 8 << 10;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) value = std::getenv(lower(name).c_str());
  return value == nullptr ? "" : value;
}

bool excepted(std::string_view host, std::string_view rule) {
  rule = trim(rule);
  if (rule == "*") return true;
  if (rule.starts_with("*.")) rule.remove_prefix(1);
  if (rule.starts_with('.')) rule.remove_prefix(1);
  if (rule.empty()) return false;
  const std::string wanted = lower(rule), have = lower(host);
  return have == wanted || have.ends_with("." + wanted);
}

std::string authority(const Url& url) {
  return url.host.find(':') != url.host.npos ? std::format("[{}]:{}", url.host, url.port) : std::format("{}:{}", url.host, url.port);
}

// Asks the proxy for a way to `url`. What follows the answer's head is the other side's: nothing of it may be read here.
io::Task<Result<>> ask_proxy(io::Stream& stream, Url url, Url proxy, io::Deadline deadline) {
  std::string request = std::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\nUser-Agent: steppe\r\n", authority(url));
  if (!proxy.authorization.empty()) request += "Proxy-Authorization: " + proxy.authorization + "\r\n";
  request += "\r\n";
  STEPPE_CO_TRY_VOID(co_await stream.write(as_bytes(request), deadline));
  std::string head;
  while (!head.ends_with("\r\n\r\n") && !head.ends_with("\n\n")) {
    std::array<std::byte, 1> one;
    STEPPE_CO_TRY(const size_t n, co_await stream.read(one, deadline));
    if (n == 0 || head.size() == kMaxProxyHead) co_return Error(Code::kIo, "the proxy does not answer in HTTP");
    head.push_back(static_cast<char>(one[0]));
  }
  const std::string_view status = std::string_view(head).substr(0, head.find('\n'));
  if (!status.starts_with("HTTP/1.") || status.size() < 12 || status[9] != '2') {
    co_return Error(Code::kUnavailable, std::format("the proxy refuses: {}", trim(status.substr(0, 120))));
  }
  co_return Result<>();
}

}  // namespace

Proxies proxies_of_environment() {
  Proxies out{variable("HTTP_PROXY"), variable("HTTPS_PROXY"), {}};
  const std::string except = variable("NO_PROXY");
  for (std::string_view rule : split(except, ',')) {
    if (!trim(rule).empty()) out.except.emplace_back(trim(rule));
  }
  return out;
}

Result<std::optional<Url>> proxy_for(const Proxies& proxies, const Url& url) {
  const std::string& proxy = url.scheme == "https" ? proxies.https : proxies.http;
  if (proxy.empty() || std::ranges::any_of(proxies.except, [&](const std::string& rule) { return excepted(url.host, rule); })) return std::optional<Url>();
  STEPPE_TRY(Url out, Url::parse(proxy).wrap("proxy"));
  if (out.scheme == "file") return Error(Code::kInvalid, "the proxy is no http:// or https:// URL");
  return std::optional<Url>(std::move(out));
}

bool ResolvingConnector::whole_url(const Url& url) const {
  const Result<std::optional<Url>> proxy = proxy_for(proxies_, url);
  return proxy.ok() && proxy->has_value() && url.scheme == "http";
}

io::Task<Result<std::unique_ptr<io::Stream>>> ResolvingConnector::reach(Url url, io::Deadline deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  // Blocks; nothing else runs in this process, and its time is limited from outside.
  int code = ::getaddrinfo(url.host.c_str(), std::to_string(url.port).c_str(), &hints, &found);
  if (code != 0) co_return Error(Code::kUnavailable, std::format("resolve {}: {}", url.host, ::gai_strerror(code)));
  std::vector<io::Address> addresses;
  for (addrinfo* one = found; one != nullptr && addresses.size() < 8; one = one->ai_next) {
    char host[NI_MAXHOST];
    if (::getnameinfo(one->ai_addr, one->ai_addrlen, host, sizeof host, nullptr, 0, NI_NUMERICHOST) == 0) addresses.push_back({"", host, url.port});
  }
  ::freeaddrinfo(found);
  Error last(Code::kUnavailable, std::format("resolve {}: no address", url.host));
  for (const io::Address& address : addresses) {
    auto stream = co_await network_.connect(address, deadline);
    if (stream.ok()) co_return *std::move(stream);
    last = stream.error();
  }
  co_return last;
}

io::Task<Result<std::unique_ptr<io::Stream>>> ResolvingConnector::connect(Url url, bool insecure, io::Deadline deadline) {
  STEPPE_CO_TRY(const std::optional<Url> proxy, proxy_for(proxies_, url));
  STEPPE_CO_TRY(std::unique_ptr<io::Stream> stream, co_await reach(proxy ? *proxy : url, deadline));
  if (proxy && proxy->scheme == "https") {
    STEPPE_CO_TRY(stream, co_await tls::start_tls(std::move(stream), proxy->host, tls::Verify::kYes, deadline));
  }
  if (url.scheme != "https") co_return stream;
  if (proxy) STEPPE_CO_TRY_VOID(co_await ask_proxy(*stream, url, *proxy, deadline));
  co_return co_await tls::start_tls(std::move(stream), url.host, insecure ? tls::Verify::kNo : tls::Verify::kYes, deadline);
}

}  // namespace steppe::client
