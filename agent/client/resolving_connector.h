#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/client/http_get.h"

namespace steppe::client {

// Who stands between this process and the servers that it asks.
struct Proxies {
  std::string http, https;           // "http://HOST:PORT", "https://HOST:PORT"; "": none
  std::vector<std::string> except;   // hosts that are asked directly: "host", ".domain" or "domain" (and all below it), "*"
};
// HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in capitals or not, as curl and most others read them.
Proxies proxies_of_environment();
// The proxy for this URL; nullopt: none. kInvalid for a proxy that is no URL. Pure.
Result<std::optional<Url>> proxy_for(const Proxies& proxies, const Url& url);

// Resolves names by the C library, goes through a proxy where one is named (CONNECT for https, the whole URL in the request
// otherwise), and speaks TLS. Resolving blocks: for processes that do nothing else and whose time is limited from outside.
class ResolvingConnector final : public Connector {
 public:
  explicit ResolvingConnector(io::Network& network, Proxies proxies = {}) : network_(network), proxies_(std::move(proxies)) {}
  io::Task<Result<std::unique_ptr<io::Stream>>> connect(Url url, bool insecure, io::Deadline deadline) override;
  bool whole_url(const Url& url) const override;

 private:
  io::Task<Result<std::unique_ptr<io::Stream>>> reach(Url url, io::Deadline deadline);

  io::Network& network_;
  const Proxies proxies_;
};

}  // namespace steppe::client
