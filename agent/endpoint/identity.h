#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "agent/endpoint/capability.h"
#include "agent/endpoint/failure.h"
#include "init/base/secret.h"

namespace steppe::endpoint {

// Who asks, and what that one may do. Immutable, shared between threads.
class Identity {
 public:
  virtual ~Identity() = default;
  // For logs: "anonymous", "token <accessor>", "node <id>". Holds no secret.
  virtual std::string_view name() const = 0;
  // `capability` in `space`; `space` is ignored for capabilities that hold everywhere.
  virtual bool allows(Capability capability, std::string_view space) const = 0;
  // `capability` in one namespace at least.
  virtual bool allows_somewhere(Capability capability) const = 0;
};

// May do all. Everybody, as long as there are no ACLs.
std::shared_ptr<const Identity> management_identity(std::string name);

// Holds the listed capabilities and nothing else: `grants` by namespace, "" for those that hold everywhere.
std::shared_ptr<const Identity> granted_identity(std::string name, std::map<std::string, CapabilitySet, std::less<>> grants);

// Where an identity comes from. Thread-safe.
class Resolver {
 public:
  virtual ~Resolver() = default;
  // kDenied with the answer's text when the token is unknown or expired. An empty token is the anonymous identity.
  virtual Outcome<std::shared_ptr<const Identity>> resolve(const Secret& token) const = 0;
};

// Without ACLs: every token, known or not, is the anonymous identity, which may do all.
std::unique_ptr<Resolver> open_resolver();

}  // namespace steppe::endpoint
